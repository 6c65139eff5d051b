"""Fine-tuning from a taught head or from a zero one, by the same recipe: what is right after so many steps?

`head_kept.py DATA CHECKPOINT RUNS`: DATA holds ants_bees; RUNS takes the runs. Writes head_kept.csv beside this file:
top-1 and loss on the validation images, which chose nothing.
"""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

from vitascope.cli import main as vitascope

ROWS = Path(__file__).with_suffix(".csv")
CASES, SEEDS = (("1e-4", 15), ("1e-3", 15), ("1e-3", 60)), (0, 1)
"""Rates and steps."""
COLUMNS = ["head", "lr", "steps", "seed", "top1", "loss"]


def main(data: str, checkpoint: str, runs: Path) -> None:
    taught = runs / "taught"
    if not taught.is_dir():
        vitascope(["teach", checkpoint, data, "--out", str(taught)])
    results = json.loads((taught / "results.json").read_text())["validation"]
    rows: list[list[object]] = [["taught alone", "", 0, "", round(results["top1"], 4), round(results["loss"], 4)]]
    for rate, steps in CASES:
        for seed in SEEDS:
            for head, start in {"zero": checkpoint, "kept": str(taught)}.items():
                out = runs / f"{head}-{steps}-{rate}-{seed}"
                words = ["finetune", start, data, "--preset", "small", "--steps", str(steps), "--lr", rate]
                words += ["--batch", "32", "--seed", str(seed), "--out", str(out), "--eval_every", "100000"]
                if not (out / "results.json").is_file() and vitascope(words):
                    raise SystemExit(1)
                found = json.loads((out / "results.json").read_text())["validation"]
                rows.append([head, rate, steps, seed, round(found["top1"], 4), round(found["loss"], 4)])
                print(rows[-1], flush=True)
    with ROWS.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([COLUMNS, *rows])


if __name__ == "__main__":
    main(f"{sys.argv[1]}/ants_bees", sys.argv[2], Path(sys.argv[3]))
