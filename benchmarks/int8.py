"""What int8 costs in accuracy: a trained checkpoint, exported in int8, beside itself in float32 on the same images.

python benchmarks/int8.py CHECKPOINT DATA [--samples 300]

Calibrated on `--samples` images of the training split, judged on the whole test split; DATA must have both. The
standard error of the difference is that of paired images: only those matter that one has right and the other wrong.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from contest import keep
from vitascope.checkpoints.load import load
from vitascope.data.open import open_data
from vitascope.data.source import Source
from vitascope.inference.class_token import for_prediction
from vitascope.inference.export import export
from vitascope.inference.exported import open_model
from vitascope.models.config import config_to_dict
from vitascope.recipes.evaluation import relabelled


def right(run: Any, preprocess: Any, source: Source) -> np.ndarray:
    """Which images get their own label, bool (n,)."""
    found = []
    for first in range(0, len(source), 64):
        positions = range(first, min(first + 64, len(source)))
        with torch.no_grad():
            found.append(run(torch.stack([preprocess(source[i]) for i in positions])).argmax(1).numpy())
    return np.concatenate(found) == np.asarray(source.labels)


def lost(before: np.ndarray, after: np.ndarray) -> dict[str, float]:
    """Points of top-1, and the standard error of their difference."""
    difference = before.astype(float) - after.astype(float)
    return {
        "float32": 100 * float(before.mean()),
        "int8": 100 * float(after.mean()),
        "lost": 100 * float(difference.mean()),
        "standard_error": 100 * float(difference.std(ddof=1)) / math.sqrt(len(difference)),
    }


def main() -> None:
    """Measures one checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint")
    parser.add_argument("data")
    parser.add_argument("--samples", type=int, default=300)
    said = parser.parse_args()
    checkpoint, splits = load(said.checkpoint), open_data(said.data).present()
    test = relabelled(splits["test"], checkpoint.labels)
    with tempfile.TemporaryDirectory() as folder:
        record = export(
            checkpoint,
            Path(folder) / "int8",
            "openvino",
            precision="int8",
            calibration=relabelled(splits["train"], checkpoint.labels),
            samples=said.samples,
        )
        exported = open_model(Path(folder) / "int8")
        after = right(exported.engine(), checkpoint.preprocess, test)  # type: ignore[union-attr]
    before = right(for_prediction(checkpoint.model), checkpoint.preprocess, test)
    result = {
        "measure": f"top-1 in int8, {test.name}, {len(test)} images",
        "model": config_to_dict(checkpoint.config),
        "top1": lost(before, after),
        "export": record,
        "ways": {},
        "ratios": {},
    }
    print(keep("int8-accuracy", result).read_text())


if __name__ == "__main__":
    main()
