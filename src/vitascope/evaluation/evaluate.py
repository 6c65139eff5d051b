"""Evaluation of a model on a source: every image is counted once."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator
from contextlib import closing

import torch
from torch import Tensor, nn

from vitascope.data.batches import Batch, evaluation_batches
from vitascope.data.preprocess import Preprocess
from vitascope.data.source import Source
from vitascope.evaluation.metrics import Tally
from vitascope.precision import autocast


def evaluate(
    model: Callable[[Tensor], Tensor],
    source: Source,
    preprocess: Preprocess,
    *,
    batch: int = 64,
    device: torch.device | str = "cpu",
    precision: str = "float32",
    rank: int = 0,
    processes: int = 1,
    workers: int = 0,
    each_batch: Callable[[int], None] | None = None,
    until: float = math.inf,
    skip_unreadable: bool = False,
) -> Tally:
    """Counts `model`'s predictions on this process's share of `source`; a module's mode is left as it was.

    `workers` processes besides this one read the images. `each_batch` is told how many images are done and may raise
    to stop; what cannot be done `until` then, by `time.monotonic`, is not counted. Raises ImageError for an unreadable
    image, unless those are to be left out.
    """
    tally, module = Tally(len(source.classes)), model if isinstance(model, nn.Module) else nn.Identity()
    done, begun = 0, time.monotonic()
    batches = evaluation_batches(source, preprocess.pixels, batch, rank, processes, workers, skip_unreadable)
    with closing(outputs(module, model, batches, preprocess, torch.device(device), precision)) as judged:
        for logits, labels in judged:
            tally.add(logits, labels)
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
    preprocess: Preprocess,
    device: torch.device,
    precision: str = "float32",
) -> Generator[Batch, None, None]:
    """What `compute`, the model or a part of it, makes of each batch that holds images, and their labels.

    The model is in evaluation mode until the end, or `close()`, which ends the batches too.
    """
    was_training = model.training
    model.eval()
    try:
        with closing(batches):
            for images, labels in batches:
                if len(labels):
                    with autocast(precision, device):
                        output = compute(preprocess.normalise(images.to(device)))
                    yield output, labels
    finally:
        model.train(was_training)
