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
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from vitascope.data.source import Source
from vitascope.errors import ConfigError, DataError, ImageError, UserError
from vitascope.streams import Stream, generator

Transform = Callable[[Any, np.random.Generator], np.ndarray]
"""(uint8 (H, W, C) not to be changed, or an `OpenJpeg`; randomness) → uint8 (h, w, C)."""
Batch = tuple[Tensor, Tensor]
"""Images uint8 (B, C, H, W) and labels int64 (B,)."""
Item = tuple[int, int]
"""(epoch, index) of one training image."""


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


class _Batches(Dataset[Batch | UserError]):
    """Answers a whole batch's items at once, so that a source which renders many images together may do so."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.labels = np.asarray(source.labels)

    def __getitems__(self, items: Any) -> Batch | UserError:
        try:
            return self._batch(items)
        except UserError as error:  # handed over whole: a worker's exception would arrive as a traceback
            return error

    def _batch(self, items: Any) -> Batch:
        raise NotImplementedError


class _Augmented(_Batches):
    def __init__(self, source: Source, transform: Transform, seed: int) -> None:
        super().__init__(source)
        self.transform, self.seed = transform, seed

    def _batch(self, items: list[Item]) -> Batch:
        indices = [index for _, index in items]
        opened = self.source.open_many(indices)
        images = [
            self.transform(image, generator(Stream.AUGMENT, self.seed, epoch, index))
            for image, (epoch, index) in zip(opened, items, strict=True)
        ]
        return to_tensor(images), torch.from_numpy(self.labels[indices])


class _Resized(_Batches):
    def __init__(self, source: Source, resize: Callable[[np.ndarray], np.ndarray], skip: bool) -> None:
        super().__init__(source)
        self.resize, self.skip = resize, skip

    def _batch(self, items: Sequence[int]) -> Batch:
        if self.skip:
            images: dict[int, np.ndarray] = {}
            for item in items:
                with suppress(ImageError):
                    images[item] = self.resize(self.source[item])
        else:
            images = dict(zip(items, map(self.resize, self.source.read_many(items)), strict=True))
        pixels = to_tensor(list(images.values())) if images else torch.empty(0)
        return pixels, torch.from_numpy(self.labels[list(images)])


def to_tensor(images: list[np.ndarray]) -> Tensor:
    """A list of uint8 (H, W, C) of one size → uint8 (B, C, H, W)."""
    height, width, channels = images[0].shape
    batch = torch.empty((len(images), channels, height, width), dtype=torch.uint8)
    for place, image in zip(batch, images, strict=True):
        writeable = image if image.flags.writeable else image.copy()  # PyTorch knows no read-only memory
        place.copy_(torch.from_numpy(writeable).permute(2, 0, 1))
    return batch


def training_batches(
    source: Source, transform: Transform, order: Order, start: int, stop: int, workers: int = 0
) -> Generator[Batch, None, None]:
    """Steps `start` to `stop` − 1; with `workers` 0 in this process. Raises ImageError for an unreadable image.

    `close()` ends the workers.
    """
    return _loaded(_Augmented(source, transform, order.seed), _Steps(order, start, stop), workers)


def evaluation_batches(
    source: Source,
    resize: Callable[[np.ndarray], np.ndarray],
    batch: int,
    rank: int = 0,
    processes: int = 1,
    workers: int = 0,
    skip_unreadable: bool = False,
) -> Generator[Batch, None, None]:
    """Every image once over all processes, in order; the last batch may be smaller. Raises ImageError.

    With `skip_unreadable` the others are left out of their batches, of which some may be empty.

    At most `workers` processes read, no more than there are batches; `close()` ends them.
    """
    mine = range(rank, len(source), processes)
    parts = [mine[first : first + batch] for first in range(0, len(mine), batch)]
    return _loaded(_Resized(source, resize, skip_unreadable), parts, min(workers, len(parts)))


def _loaded(dataset: Dataset[Any], batches: Any, workers: int) -> Generator[Batch, None, None]:
    loader: DataLoader[Batch | UserError] = DataLoader(
        dataset,
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
        del batches  # ends the workers now, not when a traceback that holds this frame is let go


class _Steps:
    def __init__(self, order: Order, start: int, stop: int) -> None:
        self.order, self.start, self.stop = order, start, stop

    def __iter__(self) -> Iterator[list[Item]]:
        return (self.order.items(step) for step in range(self.start, self.stop))

    def __len__(self) -> int:
        return max(self.stop - self.start, 0)


def _as_is(batch: Any) -> Any:  # already collated by `__getitems__`
    return batch
