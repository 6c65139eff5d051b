"""Batches in an order that is a pure function of the seed: a resume needs only the step.

The training stream is the endless row of epochs, each a permutation drawn from (seed, epoch); step s takes its
positions s·B … s·B + B − 1, whatever the number of workers or processes. The randomness of an image's augmentation
comes from (seed, epoch, index) alone.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from vitascope.ahead import ahead
from vitascope.data.images import UInt8
from vitascope.data.picture import Picture
from vitascope.data.preprocess import to_tensor
from vitascope.data.source import Labels, Source
from vitascope.errors import ConfigError, DataError, ImageError, UserError
from vitascope.streams import Stream, generator

Transform = Callable[[Picture, np.random.Generator], UInt8]
"""(an opened image; randomness) → uint8 (h, w, C)."""
Batch = tuple[Tensor, Tensor]
"""Images uint8 (B, C, H, W) and labels int64 (B,), or bool (B, K) where there may be several."""
Item = tuple[int, int]
"""(epoch, index) of one training image."""
_READERS = 2
"""Threads that make batches of an evaluation, and batches that are begun before their turn."""


@lru_cache(maxsize=2)
def permutation(seed: int, epoch: int, size: int) -> np.ndarray:
    """The order of `size` images in an epoch, int64 (size,)."""
    return generator(Stream.ORDER, seed, epoch).permutation(size)


@dataclass(frozen=True, kw_only=True)
class Order:
    """Which images each step sees."""

    size: int
    """Images in the training set."""
    batch: int
    """Images in a step, over all processes; may exceed `size`."""
    seed: int
    """Seed of all permutations."""
    rank: int = 0
    """This process."""
    processes: int = 1
    """All processes; each takes an equal run of every step's images."""

    def __post_init__(self) -> None:
        if self.size < 1:
            raise DataError("the training set is empty; expected at least one image")
        if self.batch % self.processes:
            raise ConfigError(
                f"batch {self.batch} cannot be shared equally by {self.processes} processes; "
                "choose a --batch that is a multiple of them"
            )

    def items(self, step: int) -> list[Item]:
        """(epoch, index) of this process's images in `step`."""
        share = self.batch // self.processes
        first = step * self.batch + self.rank * share
        return [self._item(position) for position in range(first, first + share)]

    def epoch(self, step: int) -> float:
        """How many times the training set has been seen when `step` begins."""
        return step * self.batch / self.size

    def _item(self, position: int) -> Item:
        epoch, place = divmod(position, self.size)
        return epoch, int(permutation(self.seed, epoch, self.size)[place])


@dataclass(frozen=True)
class _Batches(Dataset[Batch | UserError]):
    """Answers a whole batch's items at once, so that a source which renders many images together may do so."""

    make: Callable[[Any], Batch]

    def __getitems__(self, items: Any) -> Batch | UserError:
        try:
            return self.make(items)
        except UserError as error:  # handed over whole: a worker's exception would arrive as a traceback
            return error


def _augmented(source: Source, labels: Labels, transform: Transform, seed: int, items: list[Item]) -> Batch:
    indices = [index for _, index in items]
    images = [
        transform(picture, generator(Stream.AUGMENT, seed, epoch, index))
        for picture, (epoch, index) in zip(source.open_many(indices), items, strict=True)
    ]
    return to_tensor(images), torch.from_numpy(labels[indices])


def _resized(
    source: Source, labels: Labels, resize: Callable[[UInt8], UInt8], skip: bool, items: Sequence[int]
) -> Batch:
    if not skip:
        return to_tensor([resize(image) for image in source.read_many(items)]), torch.from_numpy(labels[items])
    images: dict[int, UInt8] = {}
    for item in items:
        with suppress(ImageError):
            images[item] = resize(source[item])
    return to_tensor(list(images.values())), torch.from_numpy(labels[list(images)])


def training_batches(
    source: Source, transform: Transform, order: Order, start: int, stop: int, workers: int = 0
) -> Generator[Batch, None, None]:
    """Steps `start` to `stop` − 1; with `workers` 0 in this process. Raises ImageError for an unreadable image.

    `close()` ends the workers.
    """
    make = partial(_augmented, source, np.asarray(source.labels), transform, order.seed)
    return _loaded(make, map(order.items, range(start, stop)), workers)


def evaluation_batches(
    source: Source,
    resize: Callable[[UInt8], UInt8],
    batch: int,
    rank: int = 0,
    processes: int = 1,
    workers: int = 0,
    skip_unreadable: bool = False,
) -> Generator[Batch, None, None]:
    """Every image once over all processes, in order; the last batch may be smaller. Raises ImageError.

    With `skip_unreadable` the others are left out of their batches, of which some may be empty.

    At most `workers` processes read, no more than there are batches, or threads of this one where `workers` is 0;
    `close()` ends them.
    """
    mine = range(rank, len(source), processes)
    parts = [mine[first : first + batch] for first in range(0, len(mine), batch)]
    make = partial(_resized, source, np.asarray(source.labels), resize, skip_unreadable)
    if workers == 0 and not torch.cuda.is_available():  # with one the loader pins what it hands over
        return _unless_error(ahead(_Batches(make).__getitems__, parts, most=_READERS, threads=_READERS))
    return _loaded(make, parts, min(workers, len(parts)))


def _loaded(make: Callable[[Any], Batch], batches: Any, workers: int) -> Generator[Batch, None, None]:
    loader: DataLoader[Batch | UserError] = DataLoader(
        _Batches(make),
        batch_sampler=batches,
        num_workers=workers,
        collate_fn=_as_is,
        pin_memory=torch.cuda.is_available(),
        persistent_workers=False,
        worker_init_fn=_outlive_signals,
        generator=torch.Generator(),  # otherwise it draws from torch's own, which is the caller's
    )
    return _unless_error(iter(loader))


_GRACE = 20
"""Seconds that a worker works on after SIGTERM."""


def _outlive_signals(worker: int) -> None:
    # Ctrl-C and `torchrun` signal every process of the group. A run needs its workers to come to a step's end and
    # save; but they must not outlive it, nor may whoever ends them wait for ever.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "alarm"):
        signal.signal(signal.SIGTERM, lambda number, frame: signal.alarm(_GRACE))


def _unless_error(batches: Iterator[Batch | UserError]) -> Generator[Batch, None, None]:
    try:
        for batch in batches:
            if isinstance(batch, UserError):
                raise batch
            yield batch
    finally:
        if isinstance(batches, Generator):
            batches.close()
        del batches  # ends the workers now, not when a traceback that holds this frame is let go


def _as_is(batch: Any) -> Any:  # already collated by `__getitems__`
    return batch
