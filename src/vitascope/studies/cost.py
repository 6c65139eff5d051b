"""What a model costs: parameters, operations an image, and images a second measured here; and what a grid will take."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F

from vitascope.device import resolve_device
from vitascope.models.catalogue import build_model, count_parameters, forward_flops
from vitascope.models.config import ModelConfig
from vitascope.recipes.pretrain import pretraining_config
from vitascope.streams import Stream, seed_of
from vitascope.studies.cells import pretrain_recipe
from vitascope.studies.settings import EVALUATIONS, Cell, Study

_MEASURED = 1.5  # seconds of training steps per model
_BACKWARD = 3.0  # a training step against a forward pass, in operations and roughly in time


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Of one contender at the study's image size, with the head of its pre-training."""

    parameters: int
    """Trainable values."""
    flops: float
    """Floating-point operations of a forward pass of one image; a multiplication and an addition are two."""
    images_per_second: float
    """In training steps, float32, on the GPU if there is one, otherwise with one job's share of the cores."""


def measure_cost(study: Study, cell: Cell, classes: int, threads: int) -> Cost:
    """The cost of a cell's model; the machine should have nothing else to do."""
    config = pretraining_config(pretrain_recipe(study, cell, Path("unused")), classes)
    return Cost(
        parameters=count_parameters(config),
        flops=forward_flops(config),
        images_per_second=training_rate(config, study.batch, threads),
    )


def training_rate(config: ModelConfig, batch: int, threads: int) -> float:
    """Images per second of the fastest of several training steps on random images, where runs will train."""
    device = resolve_device(None)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        drawn = torch.Generator().manual_seed(seed_of(Stream.COST, 0))
        model = build_model(config, drawn).train().to(device)
        optimizer = torch.optim.AdamW(model.parameters(), fused=True)
        images = torch.randn(batch, config.channels, *config.image_size, generator=drawn).to(device)
        labels = torch.zeros(batch, dtype=torch.long, device=device)
        fastest, begun = math.inf, time.perf_counter()
        while math.isinf(fastest) or time.perf_counter() - begun < _MEASURED:
            start = time.perf_counter()
            F.cross_entropy(model(images), labels).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            optimizer.zero_grad()
            if device.type == "cuda":
                torch.cuda.synchronize()  # a GPU is only told what to do; this waits until it is done
            fastest = min(fastest, time.perf_counter() - start)
        return batch / fastest
    finally:
        torch.set_num_threads(before)


def cell_seconds(study: Study, cell: Cell, cost: Cost, classes: int, tests: int) -> float:
    """About how long one job takes for a cell; `classes` and `tests` are the target's classes and test images."""
    training = (cell.steps + study.finetune_steps) * study.batch
    features = tests + study.draws * max(study.shots) * classes
    evaluated = EVALUATIONS * study.validation_images + tests + features
    return (training + evaluated / _BACKWARD) / cost.images_per_second
