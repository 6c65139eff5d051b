"""Does a mirrored view of each taught image help? As rows of its own, or averaged, which prediction must then do too.

`views.py DATA CHECKPOINT`: DATA holds cifar10 and ants_bees. Writes views.csv beside this file: accuracy and loss on
test images of the head taught with images as they are, with their mirror images as further rows (left out together with
them), and with the mean of both features, in teaching and in testing.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np
import torch

import vitascope as vs
from vitascope.data.kept import ArraySource
from vitascope.data.open import open_data
from vitascope.data.source import Source
from vitascope.evaluation.features import FeatureStore
from vitascope.evaluation.fewshot import signs
from vitascope.evaluation.metrics import Tally
from vitascope.evaluation.taught import teach_head

ROWS = Path(__file__).with_suffix(".csv")
COLUMNS = ["data", "taught", "seed", "way", "top1", "loss"]


def views(store: FeatureStore, source: Source, places: np.ndarray) -> np.ndarray:
    """Of images as they are and mirrored, (2, n, d)."""
    seen = np.stack([store.preprocess.pixels(source[int(i)]) for i in places])
    labels = np.zeros(len(seen), np.int64)
    both = [ArraySource("seen", ("",), labels, x) for x in (seen, np.ascontiguousarray(seen[:, :, ::-1]))]
    return np.stack([store(each, np.arange(len(seen))) for each in both]).astype(np.float64)


def main(data: Path, checkpoint: str) -> None:
    ck, rows = vs.load(checkpoint), []
    store = FeatureStore(ck.model, ck.preprocess)
    ten, insects = (open_data(str(data / name)) for name in ("cifar10", "ants_bees"))
    rng = np.random.default_rng(0)
    parts = {
        "ants_bees": (insects.train, insects.validation, None, (122, 244)),
        "cifar10": (ten.train, ten.test, 1000, (100, 1000)),
    }
    for name, (train, test, most, sizes) in parts.items():
        judged = np.sort(rng.permutation(len(test))[:most])
        known = rng.permutation(len(train))[: 3 * (most or len(train))]
        x, tx, ty, classes = (
            views(store, train, known),
            views(store, test, judged),
            test.labels[judged],
            len(test.classes),
        )
        for size in sizes:
            for seed in range(1 if size == len(train) else 10):
                some = np.random.default_rng(seed).permutation(len(known))[:size]
                y, both = train.labels[known[some]], np.tile(np.arange(size), 2)
                ways = {
                    "as they are": (x[0, some], y, None, tx[0]),
                    "rows of their own": (np.concatenate([x[0, some], x[1, some]]), np.tile(y, 2), both, tx[0]),
                    "averaged": (x[:, some].mean(axis=0), y, None, tx.mean(axis=0)),
                }
                for way, (features, labels, groups, asked) in ways.items():
                    head = teach_head(features, signs(labels, classes), groups=groups)
                    tally = Tally(classes)
                    tally.add(torch.from_numpy(asked @ head.weight.T + head.bias), torch.from_numpy(ty))
                    rows.append([name, size, seed, way, round(tally.top1, 4), round(tally.summary()["loss"], 4)])
            for way in ways:
                found = np.array([row[4:] for row in rows if row[:2] == [name, size] and row[3] == way])
                print(name, size, way, found.mean(axis=0), found.std(axis=0, ddof=min(len(found) - 1, 1)), flush=True)
    with ROWS.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([COLUMNS, *rows])


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
