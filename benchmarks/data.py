"""A folder of photographs → random crops of 224 pixels in normalised float32 batches, on one core.

python benchmarks/data.py [--photographs FOLDER] [--rounds 7] [--side 256]

Beside the usual pipeline of torchvision: ImageFolder, RandomResizedCrop, flip, ToTensor, Normalize, DataLoader. Both
sides read the same files in a random order, in one process with one thread, and keep the same shares of an image (8 to
100 % of its area); theirs also with our way of drawing the crop, which TensorFlow defines and which keeps 0.43 of an
image on average where torchvision keeps 0.53. The gate: with the same crops both deliver the same pixels.

The first epoch decodes files. The second reads from what was kept: whole photographs in memory, which are the same
pixels, or a file of photographs shrunk to a shorter side of 256 pixels. FOLDER, a folder of class folders, is
otherwise $VITASCOPE_TEST_DATA/ants_bees/train.
"""

from __future__ import annotations

import argparse
import cProfile
import os
import pstats
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from contest import Way, contest, keep, ratios, summary
from peer_models import import_peer
from vitascope.data.augment import Augment, inception_box
from vitascope.data.batches import Order, training_batches
from vitascope.data.kept import ArraySource, Mapped, in_memory, on_disk
from vitascope.data.open import open_data
from vitascope.data.preprocess import Preprocess
from vitascope.data.resize import resample
from vitascope.data.settings import AugmentConfig
from vitascope.data.shrunk import Shrunk
from vitascope.data.source import Source

SIZE, BATCH = 224, 32
AREA, RATIO = (0.08, 1.0), (3 / 4, 4 / 3)
PREPROCESS = Preprocess(size=(SIZE, SIZE))
AUGMENT = Augment(AugmentConfig(crop_area=AREA, crop_ratio=RATIO), PREPROCESS)
LIMIT = (
    "decoding a JPEG's entropy-coded data, which runs from the top and which both sides do with the same library, "
    "takes about half of our time (profile: ImagingDecoder); only the rows below a crop are saved"
)
SECOND_LIMIT = (
    "PyTorch's 8-bit resampling takes two fifths of the time, most of it whatever the size of the crop, and writing "
    "float32 another quarter (profile: _upsample_bilinear2d_aa; copy_, sub_, div_)"
)


def ours(source: Source) -> Callable[[], int]:
    """An epoch of the training loop's batches, normalised; each call is the next epoch."""
    order = Order(size=len(source), batch=BATCH, seed=0)
    steps = len(source) // BATCH
    epoch = iter(range(1 << 30))

    def run() -> int:
        first = next(epoch) * steps
        batches = training_batches(source, AUGMENT, order, first, first + steps)
        return sum(len(PREPROCESS.normalise(images)) for images, _ in batches)

    return run


def theirs(folder: Path, same_crops: bool = False) -> Callable[[], int]:
    """An epoch of torchvision's."""
    transforms = import_peer("torchvision.transforms")
    datasets = import_peer("torchvision.datasets")

    class OurCrop(transforms.RandomResizedCrop):  # type: ignore[misc, name-defined]
        rng = np.random.default_rng(0)

        @staticmethod
        def get_params(img: Any, scale: Any, ratio: Any) -> tuple[int, int, int, int]:
            return inception_box(img.size[1], img.size[0], AREA, RATIO, OurCrop.rng)

    crop = OurCrop if same_crops else transforms.RandomResizedCrop
    steps = [
        crop(SIZE, scale=AREA, ratio=RATIO),
        transforms.RandomHorizontalFlip(),
        transforms.ToTensor(),
        transforms.Normalize((0.5,) * 3, (0.5,) * 3),
    ]
    dataset = datasets.ImageFolder(str(folder), transforms.Compose(steps))
    loader = torch.utils.data.DataLoader(dataset, batch_size=BATCH, shuffle=True, drop_last=True)
    return lambda: sum(len(images) for images, _ in loader)


def check(folder: Path, source: Source, images: int = 16) -> dict[str, float]:
    """Mean and largest difference of the two sides' pixels for the same crops, in levels; ends where they differ."""
    functional = import_peer("torchvision.transforms.functional")
    datasets = import_peer("torchvision.datasets")
    dataset, mean, largest = datasets.ImageFolder(str(folder)), 0.0, 0.0
    upright = Augment(AugmentConfig(crop_area=AREA, crop_ratio=RATIO, flip=False), PREPROCESS)
    for index in np.linspace(0, len(source) - 1, images).astype(int):
        picture, label = dataset[index]
        box = inception_box(picture.size[1], picture.size[0], AREA, RATIO, np.random.default_rng(int(index)))
        expected = torch.from_numpy(np.asarray(functional.resized_crop(picture, *box, [SIZE, SIZE]))).float()
        got = upright(source.open(int(index)), np.random.default_rng(int(index)))  # type: ignore[attr-defined]
        apart = (torch.from_numpy(got).float() - expected).abs()
        mean, largest = mean + float(apart.mean()) / images, max(largest, float(apart.max()))
        if label != source.labels[index] or largest > 2:
            sys.exit(f"{dataset.samples[index][0]}: pixels differ by {largest} levels, at most 2 were expected")
    return {"mean_levels": mean, "largest_levels": largest}


def effect_of_shrinking(source: Source, small: Source, images: int = 64) -> float:
    """Mean difference in levels between the same relative crops of shrunk and of whole photographs."""
    apart = []
    for index in np.linspace(0, len(source) - 1, images).astype(int).tolist():
        whole, shrunk = source[index], small[index]
        top, left, height, width = inception_box(*whole.shape[:2], AREA, RATIO, np.random.default_rng(index))
        scale = shrunk.shape[0] / whole.shape[0]
        box = (left * scale, top * scale, (left + width) * scale, (top + height) * scale)
        box = (box[0], box[1], min(box[2], shrunk.shape[1]), min(box[3], shrunk.shape[0]))
        expected = resample(np.ascontiguousarray(whole[top : top + height, left : left + width]), (SIZE, SIZE))
        apart.append(np.abs(resample(shrunk, (SIZE, SIZE), box=box).astype(int) - expected).mean())
    return float(np.mean(apart))


def kept(source: Source, folder: Path) -> tuple[Source, dict[str, float]]:
    """The source in a file, and what that took."""
    start = time.perf_counter()
    stored = on_disk(source, 1 << 40, folder=folder, workers=1)
    took = time.perf_counter() - start
    if not isinstance(stored, ArraySource) or not isinstance(stored.images, Mapped):
        sys.exit(f"{source.name} could not be kept in {folder}; is there room on the disk?")
    return stored, {"microseconds_per_image": 1e6 * took / len(source), "bytes": stored.images.path.stat().st_size}


def profile(run: Callable[[], object], lines: int = 15) -> str:
    """Where the time of a call goes, by function, each without those it calls."""
    profiler = cProfile.Profile()
    profiler.runcall(run)
    rows = pstats.Stats(profiler).stats.items()  # type: ignore[attr-defined]
    whole = sum(row[2] for _, row in rows)
    text = [f"{'':64} {'calls':>6} {'ms':>8} {'share':>7}"]
    for (file, _, name), row in sorted(rows, key=lambda item: -item[1][2])[:lines]:
        shown = f"{Path(file).name} {name}" if file != "~" else name
        text.append(f"{shown[:64]:64} {row[0]:6d} {1000 * row[2]:8.1f} {100 * row[2] / whole:6.1f} %")
    return "\n".join(text) + "\n"


def main() -> None:
    """Measures the first and the second epoch."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photographs", type=Path)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--side", type=int, default=256)
    said = parser.parse_args()
    folder = said.photographs or Path(os.environ.get("VITASCOPE_TEST_DATA", ".")) / "ants_bees" / "train"
    torch.set_num_threads(1)
    source = open_data(str(folder)).train
    assert source is not None
    gate = check(folder, source)
    images = len(source) // BATCH * BATCH
    peers = [
        Way(name="torchvision", run=theirs(folder), images=images),
        Way(name="torchvision, our crops", run=theirs(folder, same_crops=True), images=images),
    ]
    first = [Way(name="vitascope", run=ours(source), images=images), *peers]
    seconds = contest(first, said.rounds, warmup=1)
    shared = {"gate": gate, "images": len(source)}
    result = {"measure": f"random crops of {SIZE} px from files, one core", **shared, "ways": summary(first, seconds)}
    if any(one["median"] < 2 for one in ratios(first, seconds).values()):
        result["limit"] = LIMIT
    path = keep("data-first-epoch", {**result, "ratios": ratios(first, seconds)})
    path.with_name("data-first-epoch-profile.txt").write_text(profile(first[0].run))
    print(path.read_text())
    with tempfile.TemporaryDirectory() as place:
        small = Shrunk(source, said.side)
        shrunk, cost = kept(small, Path(place))
        whole, whole_cost = kept(source, Path(place))
        second = [
            Way(name=f"vitascope, {said.side} px on disk", run=ours(shrunk), images=images),
            Way(name="vitascope, whole on disk", run=ours(whole), images=images),
            Way(name="vitascope, whole in memory", run=ours(in_memory(source, 1 << 40)), images=images),
            *peers,
        ]
        seconds = contest(second, said.rounds, warmup=1)
        shared |= {"keeping": {f"{said.side} px": cost, "whole": whole_cost}}
        warm = profile(second[0].run)
        shared |= {"shrinking_levels": effect_of_shrinking(source, small)}
    result = {
        "measure": f"random crops of {SIZE} px kept decoded, one core",
        **shared,
        "ways": summary(second, seconds),
    }
    found = ratios(second, seconds)
    if any(one["median"] < 10 for one in found.values()):
        result["limit"] = SECOND_LIMIT
    path = keep("data-second-epoch", {**result, "ratios": found})
    path.with_name("data-second-epoch-profile.txt").write_text(warm)
    print(path.read_text())


if __name__ == "__main__":
    main()
