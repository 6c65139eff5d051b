"""`make torture`: every campaign of this folder at length, each in a process of bounded memory and time.

python tests/faults/torture.py --seed 0 --count 2000 --only images

A campaign is a file here with `run(seed, count) -> {outcome: how often}`. "read", "loaded", "refused" and what the file
lists in ALLOWED are allowed; any other outcome, a crash or a hang is a fault, and the exit code 1. The result goes to
results/torture/PROCESSOR.json.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
ALLOWED = frozenset({"read", "loaded", "refused"})
_MEBIBYTES = 12 << 10  # of addresses, of which torch's libraries take some for nothing
_MOST_SHOWN = 20


def main(words: list[str] | None = None, folder: Path = FOLDER) -> int:
    """Runs the campaigns and writes what came of them → 0, or 1 if anything did that should not."""
    parser = argparse.ArgumentParser(description="run the campaigns of faults")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=2000, help="inputs for each campaign (default %(default)s)")
    parser.add_argument("--only", nargs="+", default=[], help="campaigns whose names contain one of these words")
    parser.add_argument("--seconds", type=int, default=3600, help="for each campaign at most (default %(default)s)")
    parser.add_argument("--out", type=Path, default=FOLDER.parents[1] / "results" / "torture", help="folder of results")
    asked = parser.parse_args(words)
    results = {}
    for path in sorted(folder.glob("*.py")):
        wanted = not asked.only or any(word in path.stem for word in asked.only)
        if wanted and not path.name.startswith("test_") and "\ndef run(" in path.read_text():
            results[path.stem] = campaign(path, asked.seed, asked.count, asked.seconds)
            _show(path.stem, results[path.stem])
    if not results:
        parser.error(f"no campaign is called {' or '.join(asked.only)}")
    _keep(asked.out, {"seed": asked.seed, "count": asked.count, "campaigns": results})
    return int(any(result["faults"] for result in results.values()))


def campaign(path: Path, seed: int, count: int, seconds: int) -> dict[str, Any]:
    """One campaign in a process of its own → {"seconds", "outcomes", "faults"}, both of the last by how often."""
    began = time.monotonic()
    command = [sys.executable, __file__, "campaign", str(path), str(seed), str(count)]
    places = [str(FOLDER.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        env={**os.environ, "PYTHONPATH": os.pathsep.join(places)},
        start_new_session=True,  # so that what it started ends with it
    )
    try:
        out, err = process.communicate(timeout=seconds)
        if process.returncode == 0:
            met, allowed = json.loads(out.splitlines()[-1])
        else:
            met, allowed = {f"ended with {process.returncode}: {err[-1000:]}": 1}, []
    except subprocess.TimeoutExpired:
        met, allowed = {f"not done within {seconds} seconds": 1}, []
    finally:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            process.wait()
        process.communicate()
    good = {name: times for name, times in met.items() if name in {*ALLOWED, *allowed}}
    faults = {name: times for name, times in met.items() if name not in good}
    return {"seconds": round(time.monotonic() - began, 1), "outcomes": good, "faults": faults}


def _show(name: str, result: dict[str, Any]) -> None:
    counts = ", ".join(f"{times} {outcome}" for outcome, times in sorted(result["outcomes"].items()))
    print(f"{name:24} {result['seconds']:8.1f} s  {counts or 'nothing'}; {len(result['faults'])} faults", flush=True)
    for fault in list(result["faults"])[:_MOST_SHOWN]:
        print(f"    {fault}", flush=True)


def _keep(folder: Path, result: dict[str, Any]) -> None:
    from vitascope.precision import processor
    from vitascope.version import source_commit
    from vitascope.whole import written_whole

    machine = processor()
    command = ["python", "tests/faults/torture.py", *sys.argv[1:]]
    with written_whole(folder / f"{re.sub(r'[^a-z0-9]+', '-', machine.lower()).strip('-')}.json") as temporary:
        content = {"processor": machine, **source_commit(), "command": command, **result}
        temporary.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def _within(path: str, seed: str, count: str) -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (_MEBIBYTES << 20, _MEBIBYTES << 20))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    names = runpy.run_path(path, run_name="campaign")
    print(json.dumps([names["run"](int(seed), int(count)), sorted(names.get("ALLOWED", ()))]))


if __name__ == "__main__":
    if sys.argv[1:2] == ["campaign"]:
        _within(*sys.argv[2:])
    else:
        sys.exit(main())
