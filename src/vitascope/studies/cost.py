"""What a model costs: parameters, operations an image, and images a second measured here; and what a grid will take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from vitascope.models.catalogue import count_parameters, forward_flops
from vitascope.recipes.pretrain import pretraining_config
from vitascope.studies.cells import pretrain_recipe
from vitascope.studies.settings import Cell, Study
from vitascope.training.speed import judged_at_once, training_rate

_ROUNDS = 3
_BACKWARD = 3.0  # a training step against a forward pass, in operations and roughly in time


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Of one contender at the study's image size, with the head of its pre-training."""

    parameters: int
    """Trainable values."""
    flops: float
    """Floating-point operations of a forward pass of one image; a multiplication and an addition are two."""
    images_per_second: float
    """In the study's training steps, on the GPU if there is one, otherwise with one job's share of the cores."""


def measure_costs(study: Study, cells: Sequence[tuple[Cell, int]], threads: int) -> dict[str, Cost]:
    """The costs of the models of `cells`, each with the number of its classes, by name.

    They are timed in turns, a few times each, so that a machine whose speed changes treats all alike; it should have
    nothing else to do.
    """
    configs = {
        cell.contender.name: pretraining_config(pretrain_recipe(study, cell, Path("unused")), classes)
        for cell, classes in cells
    }
    how: dict[str, Any] = {"precision": study.precision, "compile": study.compile}
    rounds = [
        {name: training_rate(config, study.batch, threads, **how) for name, config in configs.items()}
        for _ in range(_ROUNDS)
    ]
    return {
        name: Cost(
            parameters=count_parameters(config),
            flops=forward_flops(config),
            images_per_second=median(rates[name] for rates in rounds),
        )
        for name, config in configs.items()
    }


def trial_seconds(study: Study, cell: Cell, cost: Cost, pretraining: int, finetuning: int) -> float:
    """About how long trials of so many rates take, in a model's middle cell."""
    judged = study.evaluations * study.validation_images / judged_at_once(_BACKWARD, study.precision)
    images = (cell.steps * study.batch + judged) * max(pretraining, 1)  # one is fine-tuned from
    return (images + study.finetune_steps * study.batch * finetuning) / cost.images_per_second


def cell_seconds(study: Study, cell: Cell, cost: Cost, targets: Sequence[tuple[int, int]]) -> float:
    """About how long one job takes for a cell; `targets` are classes and test images of each."""
    training = (cell.steps + study.finetune_steps * len(targets)) * study.batch
    judged = sum(2 * tests + study.draws * max(study.shots) * classes for classes, tests in targets)
    judged += study.evaluations * study.validation_images
    return (training + judged / judged_at_once(_BACKWARD, study.precision)) / cost.images_per_second
