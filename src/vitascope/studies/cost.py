"""What a model costs: parameters, operations an image, and images a second measured here; and what a grid will take."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vitascope.models.catalogue import count_parameters, forward_flops
from vitascope.recipes.pretrain import pretraining_config
from vitascope.studies.cells import pretrain_recipe
from vitascope.studies.settings import EVALUATIONS, Cell, Study
from vitascope.training.speed import training_rate

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


def cell_seconds(study: Study, cell: Cell, cost: Cost, classes: int, tests: int) -> float:
    """About how long one job takes for a cell; `classes` and `tests` are the target's classes and test images."""
    training = (cell.steps + study.finetune_steps) * study.batch
    features = tests + study.draws * max(study.shots) * classes
    evaluated = EVALUATIONS * study.validation_images + tests + features
    return (training + evaluated / _BACKWARD) / cost.images_per_second
