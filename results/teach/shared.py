"""What the scripts of this folder have in common: features computed once, and rows that say where they come from.

Features are kept in $VITASCOPE_CACHE, as `teach` keeps them.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from vitascope.checkpoints.adapt import replace_head
from vitascope.checkpoints.load import load
from vitascope.data.source import Source, Splits
from vitascope.evaluation.features import FeatureStore, features_folder
from vitascope.inference.engines.auto import Auto, make_engine
from vitascope.precision import processor
from vitascope.version import source_commit

HERE = Path(__file__).parent


def weights_of(checkpoint: str) -> str:
    """The beginning of the SHA-256 of a checkpoint's model.safetensors, by which rows call it."""
    (file,) = (f for f in (Path(checkpoint), Path(checkpoint) / "model") if (f / "model.safetensors").is_file())
    return hashlib.sha256((file / "model.safetensors").read_bytes()).hexdigest()[:12]


def features(checkpoint: str, source: Source, images: int | None = None, image_size: int | None = None) -> np.ndarray:
    """Of all images of `source` or the first so many, float32 (n, d), as `teach` computes them."""
    whole = load(checkpoint, image_size=image_size)
    headless = replace(whole, model=replace_head(whole.model, 0), labels=(), sets=None)
    engine = make_engine("auto", headless, None, "float32", 64)
    count = len(source) if images is None else images
    if isinstance(engine, Auto):
        engine.expect(count)
    store = FeatureStore(headless.model, whole.preprocess, folder=features_folder(), compute=engine)
    return store(source, np.arange(count))


def some_of(checkpoint: str, data: Splits, images: int) -> tuple[np.ndarray, np.ndarray]:
    """Features (n, d) and labels of the test images and so many of the training images."""
    assert data.train is not None
    assert data.test is not None
    x = [features(checkpoint, data.test)]
    if images:
        x.append(features(checkpoint, data.train, images))
    return np.concatenate(x), np.concatenate([data.test.labels, data.train.labels[:images]])


def likely(logits: np.ndarray) -> np.ndarray:
    """Softmax of rows."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def keep(name: str, rows: Iterable[Mapping[str, Any]], **same: Any) -> None:
    """Writes `rows` into NAME.csv in place of those that agree in `same`, which each gets, and commit and processor."""
    path, source = HERE / f"{name}.csv", source_commit()
    commit = f"{source['commit'][:12]}{'+' if source['dirty'] else ''}" if source else ""
    told = {key: str(value) for key, value in same.items()}
    old = list(csv.DictReader(path.open())) if path.exists() else []
    new = [{**told, **row, "commit": commit, "processor": processor()} for row in rows]
    others = [row for row in old if any(row.get(key) != value for key, value in told.items())]
    with path.open("w", newline="") as file:
        write = csv.DictWriter(file, list(new[0]))
        write.writeheader()
        write.writerows([*others, *new])
    print(*(" ".join(f"{k}={v}" for k, v in row.items() if k not in ("commit", "processor")) for row in new), sep="\n")
