"""At which rate, with which optimiser, do a head and factors of low rank learn best from a start?

`run.py CHECKPOINT DATA RUNS SIZE [PART …]`: DATA is a folder of classes, of which a fifth is held out; RUNS takes the
runs; SIZE is in pixels. Each way is judged on the fifth, once, at the end; what is there already is not run again. What
each gave is a line of rows.csv beside this file. One thread.
"""

from __future__ import annotations

import csv
import json
import sys
import time
from pathlib import Path

import torch

from vitascope.precision import processor
from vitascope.recipes.finetune import finetune
from vitascope.recipes.recipe import FinetuneRecipe
from vitascope.version import source_commit

ROWS = Path(__file__).with_name("rows.csv")
COLUMNS = (
    "pixels",
    "train",
    "optimizer",
    "lr",
    "seed",
    "top1",
    "loss",
    "images",
    "steps",
    "cpu_seconds",
    "commit",
    "processor",
)
SGD, ADAM = (0.003, 0.01, 0.03, 0.1), (0.0003, 0.001, 0.003)
"""Rates of either; what did best at an end is followed further."""
FURTHER = {("head", "sgd"): (0.3,), ("head", "adamw"): (0.01,), ("lora:8", "sgd"): (0.3,), ("lora:8", "adamw"): (0.01,)}
PARTS = ("lora:8", "head", "last:2")
SEEDS = (0,)


def main(checkpoint: Path, data: Path, runs: Path, size: int, parts: list[str]) -> None:
    torch.set_num_threads(1)
    for seed in SEEDS:
        for part in parts or PARTS:
            ways = [("sgd", rate) for rate in SGD] + [("adamw", rate) for rate in ADAM]
            ways += [(name, rate) for name in ("sgd", "adamw") for rate in FURTHER.get((part, name), ())]
            for optimizer, rate in ways:
                if not any(row[:5] == [str(size), part, optimizer, f"{rate:g}", str(seed)] for row in rows()):
                    one(checkpoint, data, runs, size, part, optimizer, rate, seed)


def one(checkpoint: Path, data: Path, runs: Path, size: int, part: str, optimizer: str, rate: float, seed: int) -> None:
    """Six passes over four fifths, judged once, at the end."""
    begun = time.process_time()
    out = str(runs / f"{size}-{part}-{optimizer}-{rate:g}-{seed}")
    recipe = FinetuneRecipe(
        checkpoint=str(checkpoint), data=str(data), out=out, train=part,
        optimizer=optimizer, lr=rate, seed=seed, image_size=size, holdout=0.2, batch=16, steps=72, eval_every=1000,
        save_every=1000, log_every=10, precision="float32",
    )  # type: ignore[arg-type]  # fmt: skip
    folder = finetune(recipe, overwrite=True)
    held = json.loads((folder.parent / "results.json").read_text())["validation"]
    row = [size, part, optimizer, f"{rate:g}", seed, f"{held['top1']:.4f}", f"{held['loss']:.4f}", held["images"], 72]
    with ROWS.open("a", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        if file.tell() == 0:
            writer.writerow(COLUMNS)
        writer.writerow(
            [*row, round(time.process_time() - begun), str(source_commit().get("commit", ""))[:12], processor()]
        )


def rows() -> list[list[str]]:
    """What is there already."""
    return list(csv.reader(ROWS.open(newline=""))) if ROWS.exists() else []


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]), int(sys.argv[4]), sys.argv[5:])
