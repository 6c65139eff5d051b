"""How well a time budget is kept: one run, from the command's start to its end, added to runs.jsonl beside this file.

Usage: python results/time_budget/measure.py DATA BUDGET OTHERS, where OTHERS is the number of processes that are busy
meanwhile; then `python results/time_budget/measure.py` writes the table of all runs into README.md.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from vitascope.precision import processor
from vitascope.training.train_settings import seconds
from vitascope.version import source_commit

HERE = Path(__file__).parent
MODEL = ["--model", "ViT-Ti/4", "--image-size", "32", "--preset", "small", "--batch", "64"]


def measure(data: str, budget: str, others: int) -> None:
    """One run and its line."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(others)]
    try:
        with tempfile.TemporaryDirectory() as folder:
            words = ["pretrain", data, *MODEL, "--time-budget", budget, "--out", f"{folder}/run"]
            load, begun = os.getloadavg()[0], time.monotonic()
            subprocess.run([sys.executable, "-m", "vitascope", *words], check=True)
            took = time.monotonic() - begun
            results = json.loads((Path(folder) / "run/results.json").read_text())
            metrics = [json.loads(line) for line in (Path(folder) / "run/metrics.jsonl").read_text().splitlines()]
    finally:
        for process in busy:
            process.kill()
    rates = [line["lr"] for line in metrics if "lr" in line]
    line = {
        "data": Path(data).name,
        "budget": budget,
        "others": others,
        "load": [round(load, 1), round(os.getloadavg()[0], 1)],
        "seconds": round(took, 1),
        "of_budget": round(took / seconds(budget), 3),
        "training_share": round(results["training_seconds"] / took, 3),
        "steps": results["steps"],
        "last_rate_of_peak": round(rates[-1] / 1e-3, 4),
        "evaluations": sum("validation" in line for line in metrics),
        "judged": {part: results[part]["images"] for part in ("validation", "test") if part in results},
        "processor": processor(),
        "cores": os.cpu_count(),
        **source_commit(),
    }
    with (HERE / "runs.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")


def table() -> None:
    """README.md from runs.jsonl."""
    runs = [json.loads(line) for line in (HERE / "runs.jsonl").read_text().splitlines()]
    rows = [
        f"| {r['data']} | {r['budget']} | {r['others']} | {r['load'][0]} to {r['load'][1]} | {r['seconds']} s | "
        f"{100 * r['of_budget']:.1f} % | {100 * r['training_share']:.0f} % | {r['steps']:,} | {r['last_rate_of_peak']} | "
        f"{r['evaluations']} | {r['judged'].get('test', '–')} | {r['commit'][:7]} |"
        for r in runs
    ]
    head = (
        "| data | budget | busy processes beside | load | took | of budget | in training steps | steps | "
        "last rate of the peak | evaluations | test images | commit |\n" + "|---" * 12 + "|"
    )
    about = f"""# How well a time budget is kept

From the command's start to its end: imports, reading, measuring, training, judging, writing. `ViT-Ti/4` at 32 px in
batches of 64, `--preset small`, on {runs[0]["cores"]} cores of "{runs[0]["processor"]}".
The machine had other work besides the busy processes, which the load says (before and after). Before commit 4f0d006 two
further runs of 1m were refused at a load of 8, one image being measured at 2 seconds, and one on CIFAR-10 was ended
after 16 minutes of looking for near copies, which 42a9775 mends. Made by
`python results/time_budget/measure.py DATA BUDGET OTHERS`, a line a run in `runs.jsonl`.
"""
    (HERE / "README.md").write_text("\n".join([about, head, *rows, ""]))


if __name__ == "__main__":
    if sys.argv[1:]:
        measure(sys.argv[1], sys.argv[2], int(sys.argv[3]))
    else:
        table()
