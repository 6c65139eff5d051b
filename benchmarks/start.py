"""How long the command and the package take to start.

python benchmarks/start.py [--rounds 11]

Every measurement is a fresh process: `vitascope --help` from start to end, and a Python that imports torch beside one
that imports vitascope as well, or also every name at its top, which is imported when it is first used.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from contest import Way, contest, keep, spread, summary

NAMES = "vs.create_model, vs.load, vs.save, vs.Predictor, vs.open_data"

COMMANDS: dict[str, list[str]] = {
    "vitascope --help": [str(Path(sys.executable).parent / "vitascope"), "--help"],
    "import torch": [sys.executable, "-c", "import torch"],
    "import vitascope": [sys.executable, "-c", "import vitascope"],
    "import torch, vitascope": [sys.executable, "-c", "import torch, vitascope"],
    "import torch, vitascope, every name": [sys.executable, "-c", f"import torch, vitascope as vs; {NAMES}"],
}


def main() -> None:
    """Times every command in rounds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=11)
    rounds = parser.parse_args().rounds
    ways = [
        Way(name=name, run=lambda command=command: subprocess.run(command, check=True, capture_output=True))
        for name, command in COMMANDS.items()
    ]
    seconds = contest(ways, rounds, warmup=1)
    torch_alone = seconds["import torch"]
    more = {
        name: spread([1000 * (a - b) for a, b in zip(seconds[name], torch_alone, strict=True)])
        for name in ("import torch, vitascope", "import torch, vitascope, every name")
    }
    found = summary(ways, seconds)
    for way in found.values():
        del way["images_per_second"]
    result = {
        "measure": "seconds to start",
        "ways": found,
        "milliseconds_over_torch": more,
        "ratios": {},
    }
    print(keep("start", result).read_text())


if __name__ == "__main__":
    main()
