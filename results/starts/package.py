"""`package.py [RUN]`: puts the model that `start.sh` trained into the package, in half precision, with its card.

What the card says of accuracy is read from rows.csv beside this file; without RUN that alone is made again.
"""

from __future__ import annotations

import csv
import json
import sys
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Any

import vitascope as vs
from vitascope.checkpoints.ours import FOLDER
from vitascope.reports.figures import CURVES


def main(run: Path | None) -> None:
    ours = vs.load(run or FOLDER)
    card = ours.card if run is None else card_of(run)
    held = card["results"]["of the held-out images"]
    curves = ((FOLDER if run is None else run) / CURVES).read_bytes()
    (FOLDER / CURVES).unlink(missing_ok=True)
    own = replace(ours, card={**card, "results": {"of the held-out images": held, **judged()}})
    vs.save(own, FOLDER, overwrite=True, half=True)
    (FOLDER / CURVES).write_bytes(curves)
    with (FOLDER / "README.md").open("a", encoding="utf-8") as readme:
        readme.write(f"\n## Curves\n\n![training loss, rate, accuracy on held-out images]({CURVES})\n")


def card_of(run: Path) -> dict[str, Any]:
    recipe = json.loads((run / "model" / "config.json").read_text())["card"]["recipe"]
    results = json.loads((run / "results.json").read_text())
    return {
        "task": "a start for photographs; by itself it tells CIFAR-100's hundred classes apart at 32×32 pixels",
        "licence": "Apache-2.0, as the package; CIFAR-100, of which it learned, is published without a licence",
        "data": {
            "trained on": "CIFAR-100's training images with their fine labels (Krizhevsky, 2009), 32×32 pixels",
            "held out": "a fiftieth of them, to watch; nothing was chosen by them",
            "never seen": "CIFAR-100's test images, CIFAR-10, photographs of ants and bees, digits",
        },
        "recipe": {name: value for name, value in recipe.items() if name not in ("data", "out", "device")},
        "cost": {
            "steps": results["steps"],
            "hours": round(results["training_seconds"] / 3600, 1),
            "on": "one thread of an AMD EPYC (AVX-512), with other work beside it",
        },
        "results": {"of the held-out images": results["validation"]},
        "limits": "a small model of small pictures: fine detail of large photographs is lost to it, and of what is no"
        " object of everyday life it has seen nothing",
    }


def judged() -> dict[str, float]:
    """Top-1 by task, the mean over seeds."""
    found = defaultdict(list)
    with Path(__file__).with_name("rows.csv").open() as file:
        for row in csv.DictReader(file):
            if row["arm"] == "start":
                found[f"{row['task']}, {float(row['labels']):.0%} of its labels"].append(float(row["top1"]))
    return {task: round(mean(values), 4) for task, values in found.items()}


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
