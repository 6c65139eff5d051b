"""Are planted wrong labels found? `suspects.py CHECKPOINT DATA`: DATA holds cifar10 and ants_bees.

Labels are made wrong at random, the head is taught with them, and what it calls likelier wrong than right is compared
with what was planted. Labels that were wrong before count as false alarms.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from shared import features, keep, weights_of
from sklearn.metrics import roc_auc_score

from vitascope.data.copies import find_copies
from vitascope.data.open import open_data
from vitascope.evaluation.fewshot import signs
from vitascope.evaluation.taught import teach_head

SEEDS = 10
PIXELS = {"cifar10": 32, "ants_bees": 64}


def planted(y: np.ndarray, classes: tuple[str, ...], kind: str, rng: np.random.Generator) -> np.ndarray:
    """Labels of which some are wrong: of all one in twenty, or of cats and dogs one in ten."""
    y = y.copy()
    if kind == "one in twenty":
        bad = rng.permutation(len(y))[: round(0.05 * len(y))]
        y[bad] = (y[bad] + rng.integers(1, len(classes), len(bad))) % len(classes)
    elif kind == "cats and dogs":
        pair = np.array([classes.index("cat"), classes.index("dog")])
        either = rng.permutation(np.flatnonzero(np.isin(y, pair)))
        bad = either[: len(either) // 10]
        y[bad] = pair.sum() - y[bad]
    return y


def main(checkpoint: str, data: Path) -> None:
    rows = []
    for name, pixels in PIXELS.items():
        splits = open_data(str(data / name))
        sources = [splits.test] if name == "cifar10" else [splits.train, splits.validation]
        x = np.concatenate([features(checkpoint, s, image_size=pixels) for s in sources])
        y, classes = np.concatenate([s.labels for s in sources]), sources[0].classes
        copies = find_copies(sources)
        together = np.concatenate([copies.of(s) for s in sources])
        for kind in ("none", "one in twenty", "cats and dogs") if "cat" in classes else ("none", "one in twenty"):
            found = []
            for seed in range(1 if kind == "none" else SEEDS):
                z = planted(y, classes, kind, np.random.default_rng(seed))
                head = teach_head(x, signs(z, len(classes)), groups=together)
                bad, told = z != y, head.wrong > 0.5
                first = np.argsort(-head.wrong, kind="stable")[: bad.sum()]
                found.append(
                    {
                        "planted": bad.sum(),
                        "suspects": told.sum(),
                        "planted_found": (told & bad).sum(),
                        "precision_of_as_many": bad[first].mean() if bad.any() else np.nan,
                        "area_under_curve": roc_auc_score(bad, head.wrong) if bad.any() else np.nan,
                        "share_planted": bad.mean(),
                        "share_told": head.noise,
                        "left_out_top1": (head.left_out.argmax(axis=1) == z).mean(),
                    }
                )
            table = {key: np.array([one[key] for one in found], dtype=float) for key in found[0]}
            row = {"data": name, "pixels": pixels, "images": len(y), "wrong": kind, "seeds": len(found)}
            row |= {key: "" if np.isnan(values).all() else f"{values.mean():.4g}" for key, values in table.items()}
            right = table["planted_found"].sum()
            row["precision"] = f"{right / table['suspects'].sum():.3f}" if kind != "none" else ""
            row["recall"] = f"{right / table['planted'].sum():.3f}" if kind != "none" else ""
            row["share_told_deviation"] = f"{table['share_told'].std(ddof=1):.2g}" if len(found) > 1 else ""
            rows.append(row)
    keep("suspects", rows, weights=weights_of(checkpoint))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
