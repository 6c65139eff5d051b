"""Evaluation of a model on a source: every image is counted once."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator
from contextlib import closing
from typing import Protocol, TypedDict, TypeVar, Unpack

import torch
from torch import Tensor, nn

from vitascope.data.batches import Batch, evaluation_batches
from vitascope.data.preprocess import Preprocess
from vitascope.data.source import Source
from vitascope.evaluation.answers import Answering, numbered
from vitascope.evaluation.label_metrics import LabelTally
from vitascope.evaluation.metrics import Tally
from vitascope.evaluation.sets import PredictionSets
from vitascope.precision import autocast


class Adding(Protocol):
    """What counts the images of an evaluation, batch by batch."""

    @property
    def images(self) -> int:
        """Images counted."""

    def add(self, output: Tensor, labels: Tensor, /) -> None:
        """Counts a batch."""


T = TypeVar("T", bound=Adding)


class Counting(TypedDict, total=False):
    """How the images of a source are counted."""

    batch: int
    """Images per forward pass, 64 unless given."""
    device: torch.device | str
    precision: str
    rank: int
    """This process, of so many `processes`, each of which takes its share."""
    processes: int
    workers: int
    """Processes besides this one that read the images."""
    each_batch: Callable[[int], None] | None
    """Is told how many images are done, and may raise to stop."""
    until: float
    """What cannot be done by then, by `time.monotonic`, is not counted."""
    skip_unreadable: bool


def evaluate(
    model: Callable[[Tensor], Tensor],
    source: Source,
    preprocess: Preprocess,
    sets: PredictionSets | None = None,
    *,
    by_label: bool = False,
    **how: Unpack[Counting],
) -> Tally | LabelTally:
    """Counts `model`'s predictions on `source`, and holds `sets` against the labels; a module's mode is left as it was.

    With `by_label` each label is judged by itself, of which an image may have several. Raises ImageError for an
    unreadable image, unless those are to be left out.
    """
    return answered(model, source, preprocess, sets, by_label=by_label, **how).tally


def answered(
    model: Callable[[Tensor], Tensor],
    source: Source,
    preprocess: Preprocess,
    sets: PredictionSets | None = None,
    *,
    by_label: bool = False,
    **how: Unpack[Counting],
) -> Answering:
    """As `evaluate`, with what was said of each image."""
    module = model if isinstance(model, nn.Module) else nn.Identity()
    kept = Answering((LabelTally if by_label else Tally)(len(source.classes), sets), source.labels)
    return count(kept, module, lambda x: model(preprocess.normalise(x)), numbered(source), preprocess, **how)


def count(
    tally: T,
    module: nn.Module,
    compute: Callable[[Tensor], Tensor],
    source: Source,
    preprocess: Preprocess,
    **how: Unpack[Counting],
) -> T:
    """Adds to `tally` what `compute`, which `module` takes part in, makes of uint8 images; otherwise as `evaluate`."""
    each_batch, until = how.get("each_batch"), how.get("until", math.inf)
    place = how.get("rank", 0), how.get("processes", 1), how.get("workers", 0), how.get("skip_unreadable", False)
    batches = evaluation_batches(source, preprocess.pixels, how.get("batch", 64), *place)
    device, precision = torch.device(how.get("device", "cpu")), how.get("precision", "float32")
    done, begun = 0, time.monotonic()
    with closing(outputs(module, compute, batches, device, precision)) as judged:
        for output, labels in judged:
            tally.add(output, labels)
            if each_batch is not None:
                each_batch(tally.images)
            done, now = done + 1, time.monotonic()
            if now + (now - begun) / done > until:
                break
    return tally


@torch.no_grad()  # not inference mode: the model may be trained afterwards, with positions it keeps
def outputs(
    model: nn.Module,
    compute: Callable[[Tensor], Tensor],
    batches: Generator[Batch, None, None],
    device: torch.device,
    precision: str = "float32",
) -> Generator[Batch, None, None]:
    """What `compute`, which the model takes part in, makes of each batch of uint8 images, and their labels.

    The model is in evaluation mode until the end, or `close()`, which ends the batches too.
    """
    was_training = model.training
    model.eval()
    try:
        with closing(batches):
            for images, labels in batches:
                if len(labels):
                    with autocast(precision, device):
                        output = compute(images.to(device))
                    yield output, labels
    finally:
        model.train(was_training)
