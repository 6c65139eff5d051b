"""Are copies of photographs found, and no others? Each kind planted among ants and bees; by pixels and by features.

`near_copies.py DATA CHECKPOINT`: DATA holds ants_bees, cifar10 and cifar100. Writes near_copies.csv beside this file: of
100 photographs changed in one way and put among the 397, how many are found by `vitascope.data.copies`, which pairs are
false, and how many stand out by the cosine of CHECKPOINT's features, standardised, at the least threshold under which
no two different photographs are taken for copies.
"""

from __future__ import annotations

import csv
import io
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

import vitascope as vs
from vitascope.data.among import copied
from vitascope.data.copies import find_copies
from vitascope.data.open import open_data
from vitascope.data.source import Splits
from vitascope.evaluation.features import FeatureStore
from vitascope.evaluation.fewshot import Standard

ROWS = Path(__file__).with_suffix(".csv")
PLANTED = 100
Change = Callable[[Image.Image, np.random.Generator], Image.Image]


def crop(share: float) -> Change:
    def change(image: Image.Image, rng: np.random.Generator) -> Image.Image:
        width, height = (round(side * share**0.5) for side in image.size)
        left, top = rng.integers(image.width - width + 1), rng.integers(image.height - height + 1)
        return image.crop((left, top, left + width, top + height))

    return change


def blur(percent: float) -> Change:
    return lambda image, _: image.filter(ImageFilter.GaussianBlur(percent / 100 * max(image.size)))


def jpeg(quality: int) -> Change:
    def change(image: Image.Image, _: np.random.Generator) -> Image.Image:
        file = io.BytesIO()
        image.save(file, "JPEG", quality=quality)
        return Image.open(file).convert("RGB")

    return change


def flip(image: Image.Image, _: np.random.Generator) -> Image.Image:
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)


CHANGES: dict[str, Change] = {
    **{f"crop, {share:.0%} of the area": crop(share) for share in (0.9, 0.8, 0.7, 0.5)},
    **{f"blur, sigma {percent} % of the side": blur(percent) for percent in (0.5, 1, 2)},
    **{f"JPEG again, quality {quality}": jpeg(quality) for quality in (50, 10)},
    "flip": flip,
    "flip and crop, 80% of the area": lambda image, rng: crop(0.8)(flip(image, rng), rng),
}


def main(data: Path, checkpoint: str) -> None:
    ck, rng, rows = vs.load(checkpoint), np.random.default_rng(0), []
    store = FeatureStore(ck.model, ck.preprocess)
    with tempfile.TemporaryDirectory() as folder:
        train, val = Path(folder, "train"), Path(folder, "val")
        for file in sorted((data / "ants_bees").glob("*/*/*.jpg")):
            (train / file.parent.name).mkdir(parents=True, exist_ok=True)
            shutil.copy(file, train / file.parent.name / f"{file.parent.parent.name} {file.name}")
        files = sorted(train.rglob("*.jpg"))
        chosen = [files[i] for i in rng.permutation(len(files))[:PLANTED]]
        originals = open_data(str(train)).train
        known = store(originals, np.arange(len(originals)))
        directions = unit(Standard.of(known)(known))
        alike = directions @ directions.T - 2 * np.eye(len(known))
        least = float(alike.max())
        names = [Path(originals.describe(i)).name for i in range(len(originals))]
        for kind, change in CHANGES.items():
            shutil.rmtree(val, ignore_errors=True)
            for file in chosen:
                target = val / file.relative_to(train).with_suffix(".png")
                target.parent.mkdir(parents=True, exist_ok=True)
                change(Image.open(file).convert("RGB"), rng).save(target, compress_level=1)
            splits, begun = open_data(folder), time.monotonic()
            found = find_copies(splits.present().values()).found(splits)
            seconds = time.monotonic() - begun
            stems = [
                sorted(Path(splits.present()[split].describe(i)).stem for split, i in group.items) for group in found
            ]
            right = sum(len(s) == 2 and s[0] == s[1] for s in stems)
            copies = splits.validation
            cosine = unit(Standard.of(known)(store(copies, np.arange(len(copies))))) @ directions.T
            own = [names.index(f"{Path(copies.describe(i)).stem}.jpg") for i in range(len(copies))]
            apart = int((cosine[np.arange(len(own)), own] > least).sum())
            rows.append(
                [f"ants_bees, {kind}", len(names), PLANTED, right, len(found) - right, apart, round(seconds, 1)]
            )
            print(rows[-1], flush=True)
    splits = test_of(data / "cifar10")
    begun = time.monotonic()
    found = find_copies(splits.present().values()).found(splits)
    kinds = [group.kind for group in found]
    told = ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))
    row = [
        "cifar10, test: groups as they are",
        len(splits.test),
        0,
        "",
        told or "none",
        "",
        round(time.monotonic() - begun, 1),
    ]
    rows.append(row)
    print(row, flush=True)
    hundred = open_data(str(data / "cifar100"))
    for name, source, others in (
        ("cifar100, test images that are among its training images", hundred.test, hundred.train),
        ("cifar100, training images that are among cifar10's test images", hundred.train, splits.test),
    ):
        begun = time.monotonic()
        again = int(copied(source, others)[0].sum())
        rows.append([name, len(source) + len(others), 0, again, "", "", round(time.monotonic() - begun, 1)])
        print(rows[-1], flush=True)
    with ROWS.open("w", newline="") as file:
        columns = ["data", "images", "planted", "found", "false", f"by_features_above_{least:.3f}", "seconds"]
        csv.writer(file, lineterminator="\n").writerows([columns, *rows])


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_of(data: Path) -> Splits:
    return Splits(test=open_data(str(data)).test)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as empty:  # so that the seconds are those of a first search
        os.environ["VITASCOPE_CACHE"] = empty
        main(Path(sys.argv[1]), sys.argv[2])
