"""Does `vitascope train` keep to its time and to the memory that is free? A row of budgets.csv a run.

`python budgets.py DATA OUT [--budgets 1m 3m 10m] [--threads 1 2]`: DATA holds ants_bees, OUT takes the runs. Memory is
the largest of the process itself, beside what was free before.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
import time
from pathlib import Path

from vitascope.memory import free_memory
from vitascope.precision import processor
from vitascope.training.train_settings import seconds as seconds_of
from vitascope.version import source_commit

ROWS = Path(__file__).with_name("budgets.csv")
COLUMNS = ("budget", "threads", "seconds", "share", "kept", "top1", "peak_mb", "free_mb", "load", "commit", "processor")


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("data", type=Path)
    asked.add_argument("out", type=Path)
    asked.add_argument("--budgets", nargs="+", default=["1m", "3m", "10m"])
    asked.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    said = asked.parse_args()
    for budget in said.budgets:
        for threads in said.threads:
            keep(budget, threads, said.data / "ants_bees", said.out / f"{budget}-{threads}")


def keep(budget: str, threads: int, data: Path, out: Path) -> None:
    """One run and its row."""
    line = [sys.executable, "-m", "vitascope", "train", str(data), "--time-budget", budget, "--threads", str(threads)]
    free, load, begun = free_memory(), os.getloadavg()[0], time.monotonic()
    process = os.spawnv(os.P_NOWAIT, sys.executable, [*line, "--out", str(out), "--overwrite"])
    _, status, used = os.wait4(process, 0)
    seconds = time.monotonic() - begun
    if status:
        sys.exit(os.waitstatus_to_exitcode(status))
    told = json.loads((out / "results.json").read_text())
    commit = source_commit()["commit"][:12]
    share = seconds / seconds_of(budget)
    row = [budget, threads, f"{seconds:.1f}", f"{share:.3f}", told["kept"], f"{told['validation']['top1']:.4f}"]
    new = not ROWS.exists()
    with ROWS.open("a", newline="") as file:
        write = csv.writer(file)
        if new:
            write.writerow(COLUMNS)
        write.writerow([*row, used.ru_maxrss // 1024, f"{free / 2**20:.0f}", f"{load:.1f}", commit, processor()])


if __name__ == "__main__":
    main()
