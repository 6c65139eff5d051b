"""Does `vitascope train` keep to its time and to the memory that is free? A row of budgets.csv a run.

`python budgets.py DATA OUT [--budgets 1m 3m 10m] [--threads 1 2]`: DATA holds ants_bees, OUT takes the runs. Memory is
the largest of the process itself (VmHWM), beside what the system had free before.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import time
from pathlib import Path

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
    free, load, begun, peak = meminfo("MemAvailable"), os.getloadavg()[0], time.monotonic(), 0
    with subprocess.Popen([*line, "--out", str(out), "--overwrite"]) as process:
        while process.poll() is None:
            peak = max(peak, status(process.pid, "VmHWM"))
            time.sleep(0.2)
    seconds = time.monotonic() - begun
    if process.returncode:
        sys.exit(process.returncode)
    told = json.loads((out / "results.json").read_text())
    commit = source_commit()["commit"][:12]
    share = seconds / seconds_of(budget)
    row = [budget, threads, f"{seconds:.1f}", f"{share:.3f}", told["kept"], f"{told['validation']['top1']:.4f}"]
    new = not ROWS.exists()
    with ROWS.open("a", newline="") as file:
        write = csv.writer(file)
        if new:
            write.writerow(COLUMNS)
        write.writerow([*row, peak // 1024, free // 1024, f"{load:.1f}", commit, processor()])


def meminfo(name: str) -> int:
    """kB of the whole machine."""
    return field(Path("/proc/meminfo"), name)


def status(pid: int, name: str) -> int:
    """kB of a process; 0 once it has ended."""
    return field(Path(f"/proc/{pid}/status"), name)


def field(path: Path, name: str) -> int:
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{name}:")), 0)


if __name__ == "__main__":
    main()
