"""Memory while a data set far larger than memory is trained on: it must not grow with the images seen.

python benchmarks/streaming.py [--gigabytes 20] [--side 224]

Images are made by index, cheaply, so that nothing is written: 20 GB decoded are 132,865 of 224 pixels. Each goes
through the training loop's own batches (random crop, flip) once. The resident memory's peak is told after 1 %, 10 % and
all of the images; the order of an epoch, 8 bytes an image, is its only part that grows with the data set.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from contest import keep
from vitascope.data.augment import Augment
from vitascope.data.batches import Order, training_batches
from vitascope.data.preprocess import Preprocess
from vitascope.data.settings import AugmentConfig
from vitascope.data.source import Source

BATCH = 128


@dataclass(frozen=True, eq=False)
class ByIndex(Source):
    """Images that are a pattern shifted by their index."""

    count: int
    """How many."""
    side: int
    """Pixels."""
    name: str = "patterns"
    """For people."""
    classes: tuple[str, ...] = ("even", "odd")
    """Of the indices."""

    @property
    def labels(self) -> np.ndarray:
        """int64 (count,)."""
        return np.arange(self.count, dtype=np.int64) % 2

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> np.ndarray:
        row = np.arange(index, index + 3 * self.side, dtype=np.uint64).astype(np.uint8)
        return np.broadcast_to(row, (self.side, 3 * self.side)).reshape(self.side, self.side, 3)


def peak_megabytes() -> float:
    """Of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def stream(source: ByIndex, size: int, shares: tuple[float, ...] = (0.01, 0.1, 1.0)) -> dict[str, Any]:
    """Peak memory after each share of an epoch, and the images a second."""
    augment = Augment(AugmentConfig(), Preprocess(size=(size, size)))
    steps = len(source) // BATCH
    marks = {max(round(share * steps), 1): share for share in shares}
    peaks, start = {}, time.perf_counter()
    order = Order(size=len(source), batch=BATCH, seed=0)
    for step, (images, _) in enumerate(training_batches(source, augment, order, 0, steps), start=1):
        assert len(images) == BATCH
        if step in marks:
            peaks[f"{marks[step]:.0%}"] = round(peak_megabytes(), 1)
    seconds = time.perf_counter() - start
    return {"peak_megabytes": peaks, "images_per_second": round(steps * BATCH / seconds, 1)}


def main() -> None:
    """Measures one epoch."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=20)
    parser.add_argument("--side", type=int, default=224)
    said = parser.parse_args()
    torch.set_num_threads(1)
    count = int(said.gigabytes * 1e9) // (3 * said.side**2)
    before = peak_megabytes()
    result = stream(ByIndex(count, said.side), said.side)
    growth = result["peak_megabytes"]["100%"] - result["peak_megabytes"]["1%"]
    head = {
        "measure": f"peak memory over {said.gigabytes:g} GB of images made by index, one process",
        "images": count,
        "order_megabytes": count * 8 / (1 << 20),
        "peak_megabytes_before": round(before, 1),
        "growth_megabytes": round(growth, 1),
    }
    print(keep("streaming", {**head, **result}).read_text())


if __name__ == "__main__":
    main()
