"""Runs every row that this machine can measure, one after the other, and writes the tables.

python benchmarks/bench.py [NAMES…] [--gpu]

A row that fails is told and left out; what it measured before stays. Nothing else should be running.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

from rows import ROWS

ROOT = Path(__file__).parent.parent


def main() -> int:
    """Runs the rows; 1 where any failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAMES", help=f"of {', '.join(row.name for row in ROWS)}")
    parser.add_argument("--gpu", action="store_true", help="the rows for a GPU instead of those for a CPU")
    said = parser.parse_args()
    unknown = set(said.names) - {row.name for row in ROWS}
    if unknown:
        parser.error(f"no row {', '.join(sorted(unknown))}; expected of {', '.join(row.name for row in ROWS)}")
    failed = []
    commands: dict[tuple[str, ...], list[str]] = {}  # a script may write several rows
    for row in ROWS:
        if row.photographs and not os.environ.get("VITASCOPE_TEST_DATA"):
            print(f"{row.name}: left out; set VITASCOPE_TEST_DATA to a folder that holds ants_bees/")
            continue
        if row.command and (row.name in said.names or (not said.names and row.gpu == said.gpu)):
            commands.setdefault(row.command, []).append(row.name)
    for command, names in commands.items():
        print(f"{', '.join(names)}: python {' '.join(command)}", flush=True)
        start = time.monotonic()
        done = subprocess.run([sys.executable, *command], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        if done.returncode:
            failed += names
            print(f"  failed with {done.returncode}: {done.stdout[-500:]}", flush=True)
        print(f"  {time.monotonic() - start:.0f} s", flush=True)
    subprocess.run([sys.executable, "benchmarks/table.py"], cwd=ROOT, check=True)
    if failed:
        print(f"failed: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
