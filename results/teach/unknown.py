"""Which score tells images of none of the classes? A taught head's own probability, beside distances in closed form.

`unknown.py DATA CHECKPOINT`: DATA holds cifar10, cifar100 (test parts are used) and ants_bees. Writes unknown.csv
beside this file: for each head, each kind of unknown images and each score the area under the ROC curve, and, with
prediction sets calibrated to hold the label of 95 % of known images on images left out, what share of known and of
unknown images gets an empty set, and how many labels a set of a known image has.

Scores of an image x and class k: p, the head's probability; p/h, the same over the leverage xᵀA⁻¹x of the image under
the regression (A = XᵀX + λI); p/√h; "p, h": p and h each with half of the misses; p·c, with c the mean cosine of the 5
nearest taught images by standardised features. Of training images all are those of leave-one-out.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score

import vitascope as vs
from vitascope.data.kept import ArraySource
from vitascope.data.open import open_data
from vitascope.evaluation.features import FeatureStore
from vitascope.evaluation.fewshot import Ridge, signs
from vitascope.evaluation.taught import teach_head

ROWS = Path(__file__).with_suffix(".csv")
COVERAGE, SEED, MOST, NEAREST = 0.95, 0, 1000, 5
COLUMNS = ["head", "taught", "unknown", "score", "auroc", "known_held", "known_none", "labels", "unknown_none"]


class Scores:
    """Of a head taught with features (n, d) and labels (n,): (m, K) for other images and, left out, for its own."""

    def __init__(self, x: np.ndarray, y: np.ndarray, classes: int) -> None:
        targets = signs(y, classes)
        self.head, self.ridge, self.y = teach_head(x, targets), Ridge.of(x, targets), y
        self.rows = unit(self.ridge.scale(x))
        own = self.leverage(x)
        cosine = self.rows @ self.rows.T
        np.fill_diagonal(cosine, -1)
        self.own = self.combined(softmax(self.head.left_out), own / (1 - own), nearest(cosine))

    def leverage(self, x: np.ndarray) -> np.ndarray:
        rows = self.ridge.scale.rows(x)
        z = rows @ self.ridge.left
        inner = (z**2 / (self.ridge.eigenvalues + self.head.l2)).sum(axis=1)
        primal = len(self.ridge.eigenvalues) == rows.shape[1]
        return inner if primal else ((rows**2).sum(axis=1) - inner) / self.head.l2

    def of(self, x: np.ndarray) -> dict[str, np.ndarray]:
        logits = x @ self.head.weight.T + self.head.bias
        return self.combined(softmax(logits), self.leverage(x), nearest(unit(self.ridge.scale(x)) @ self.rows.T))

    @staticmethod
    def combined(p: np.ndarray, h: np.ndarray, c: np.ndarray) -> dict[str, np.ndarray]:
        h, c = h[:, None], c[:, None]
        alone = np.ones_like(p)
        return {"p": p, "h": alone / h, "c": alone * c, "p/h": p / h, "p/√h": p / h**0.5, "p·c": p * np.maximum(c, 0)}

    def judged(self, known: np.ndarray, labels: np.ndarray, unknown: np.ndarray) -> list[list[object]]:
        mine, foreign, told = self.of(known), self.of(unknown), []
        truth = np.r_[np.ones(len(known)), np.zeros(len(unknown))]
        places = np.arange(len(self.y))
        for name in [*mine, "p, h"]:
            parts = ["p", "h"] if name == "p, h" else [name]
            inside, outside, area = True, True, np.nan
            for part in parts:
                miss = (1 - COVERAGE) / len(parts)
                rank = int(miss * (len(places) + 1))
                least = np.sort(self.own[part][places, self.y])[max(rank - 1, 0)]
                inside, outside = inside & (mine[part] >= least), outside & (foreign[part] >= least)
            if len(parts) == 1:
                area = roc_auc_score(truth, np.r_[mine[name].max(axis=1), foreign[name].max(axis=1)])
            else:  # as many are withheld as the more suspicious of the two says
                ranks = [
                    np.searchsorted(
                        np.sort(self.own[part][places, self.y]), np.r_[mine[part], foreign[part]].max(axis=1)
                    )
                    for part in parts
                ]
                area = roc_auc_score(truth, np.minimum(*ranks))
            held = inside[np.arange(len(labels)), labels].mean()
            none, labelled = 1 - inside.any(axis=1).mean(), inside.sum(axis=1).mean()
            told.append(
                [name, *(round(float(v), 4) for v in (area, held, none, labelled, 1 - outside.any(axis=1).mean()))]
            )
        return told


def softmax(logits: np.ndarray) -> np.ndarray:
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def nearest(cosine: np.ndarray) -> np.ndarray:
    return np.sort(cosine, axis=1)[:, -NEAREST:].mean(axis=1)


def main(data: Path, checkpoint: str) -> None:
    ck, rng = vs.load(checkpoint), np.random.default_rng(SEED)
    store = FeatureStore(ck.model, ck.preprocess)

    def features(source: object, most: int) -> tuple[np.ndarray, np.ndarray]:
        chosen = np.sort(rng.permutation(len(source))[:most])
        return store(source, chosen).astype(np.float64), source.labels[chosen]

    ten, hundred, insects = (open_data(str(data / name)) for name in ("cifar10", "cifar100", "ants_bees"))
    side = ck.preprocess.size[0]
    noise = rng.integers(0, 256, (500, side, side, 3), dtype=np.uint8)
    x, y = features(ten.train, 4000)
    order = rng.permutation(len(x))
    x, y = x[order], y[order]
    tx, ty = features(ten.test, MOST)
    vx, vy = features(insects.validation, MOST)
    foreign = {
        "cifar100, test": features(hundred.test, MOST)[0],
        "digits": features(open_data("digits").test, 500)[0],
        "noise": store(ArraySource("noise", ("noise",), np.zeros(500, np.int64), noise), np.arange(500)),
    }
    rows: list[list[object]] = []

    def tell(head: str, scores: Scores, known: np.ndarray, labels: np.ndarray, unknown: dict[str, np.ndarray]) -> None:
        for kind, values in unknown.items():
            rows.extend([head, len(scores.y), kind, *row] for row in scores.judged(known, labels, values))
            print(*rows[-7:], sep="\n", flush=True)

    for n in (200, 4000):
        tell("cifar10", Scores(x[:n], y[:n], 10), tx, ty, {**foreign, "ants_bees": vx})
    five, five_test = y < 5, ty < 5
    half = Scores(x[five][:2000], y[five][:2000], 5)
    tell("cifar10, five classes", half, tx[five_test], ty[five_test], {"cifar10, the other five": tx[~five_test]})
    ax, ay = features(insects.train, MOST)
    tell("ants_bees", Scores(ax, ay, 2), vx, vy, {"cifar10, test": tx, **foreign})
    with ROWS.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([COLUMNS, *rows])


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
