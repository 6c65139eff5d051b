"""The study: several checkpoints side by side, each trained and untrained, over the same images."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from vitascope.checkpoints.checkpoint import Checkpoint
from vitascope.models.catalogue import build_model
from vitascope.streams import Stream, seed_of
from vitascope.studies.inductive_bias.measure import ModelResult, check_step, measure
from vitascope.studies.inductive_bias.pictures import Pictures
from vitascope.studies.inductive_bias.settings import InductiveBias

Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class BiasStudy:
    """All numbers."""

    settings: InductiveBias
    """What was asked."""
    pictures: str
    """Which images were looked at, for people."""
    models: tuple[ModelResult, ...]
    """Every model trained, and beside it untrained if that was asked."""

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "settings": asdict(self.settings),
            "images": self.pictures,
            "models": [model.as_json() for model in self.models],
        }


def compare_models(
    checkpoints: Sequence[tuple[str, Checkpoint]],
    pictures: Pictures,
    settings: InductiveBias,
    progress: Progress | None = None,
) -> BiasStudy:
    """Measures each of (name, checkpoint) on its model's device; the same settings give the same numbers.

    Raises `ConfigError` where the step does not fit a model, `ImageError` for an unreadable image.
    """
    steps = [settings.step] * len(checkpoints) if settings.step else steps_for([c for _, c in checkpoints])
    for (name, checkpoint), step in zip(checkpoints, steps, strict=True):  # not found out after measuring others
        check_step(name, step, checkpoint.config.pixels_per_token, checkpoint.preprocess.size)
    total, results = len(checkpoints) * (1 + settings.untrained), []
    for (name, checkpoint), step in zip(checkpoints, steps, strict=True):
        model = checkpoint.model
        for trained in (True, False) if settings.untrained else (True,):
            if not trained:
                device = next(model.parameters()).device
                drawn = torch.Generator().manual_seed(seed_of(Stream.INITIAL, settings.seed))
                model = build_model(checkpoint.config, drawn).eval().to(device)
            results.append(
                measure(
                    model,
                    checkpoint.preprocess,
                    pictures.images,
                    settings,
                    name=name,
                    step=step,
                    trained=trained,
                    labels=pictures.labels_of(checkpoint) if trained else None,
                )
            )
            if progress is not None:
                progress(len(results), total)
    return BiasStudy(settings=settings, pictures=pictures.name, models=tuple(results))


def steps_for(checkpoints: Sequence[Checkpoint]) -> list[int]:
    """The step of each: the smallest that all models share if it fits twice in every image, else each one's own."""
    own = [checkpoint.config.pixels_per_token for checkpoint in checkpoints]
    common = math.lcm(*own)
    fits = all(2 * common <= min(checkpoint.preprocess.size) for checkpoint in checkpoints)
    return [common] * len(own) if fits else own
