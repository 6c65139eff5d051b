"""Everything the study measures of one model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vitascope.data.images import ImageLike
from vitascope.data.preprocess import Preprocess
from vitascope.errors import ConfigError
from vitascope.layers.config import Size
from vitascope.models.bit import BiT
from vitascope.models.vit import ViT
from vitascope.studies.inductive_bias.equivariance import Equivariance, change, errors_alone
from vitascope.studies.inductive_bias.maps import Layer, layers_of, predictions
from vitascope.studies.inductive_bias.receptive_field import ReceptiveFields, extents_alone
from vitascope.studies.inductive_bias.settings import InductiveBias
from vitascope.studies.inductive_bias.shuffling import features_of_reordered_tokens, shuffled
from vitascope.views.capture import evaluating
from vitascope.views.distance import attention_distance, uniform_distance
from vitascope.views.positions import position_locality

Values = dict[str, float | None]


@dataclass(frozen=True, kw_only=True)
class LayerResult:
    """Numbers of one layer."""

    name: str
    """As `maps.Layer`."""
    kind: str
    """As `maps.Layer`."""
    depth: float
    """As `maps.Layer`."""
    stride: int
    """As `maps.Layer`."""
    values: Values
    """By the names of `settings.OF_LAYERS`; None where it cannot be said."""


@dataclass(frozen=True, kw_only=True)
class ModelResult:
    """Numbers of one model, trained or untrained."""

    name: str
    """What people call it."""
    trained: bool
    """False for the same model with initial values."""
    kind: str
    """"ViT", "hybrid" or "BiT-ResNet"."""
    parameters: int
    """Trainable values."""
    image_size: Size
    """Height and width in pixels."""
    images: int
    """How many were looked at."""
    step: int
    """Largest shift and side of shuffled cells, pixels."""
    shifts: tuple[int, ...]
    """All shifts, pixels."""
    layers: tuple[LayerResult, ...]
    """From the image to the head."""
    whole: Values
    """By the names of `settings.OF_MODELS`."""

    def of(self, *kinds: str) -> list[LayerResult]:
        """Layers of these kinds, in order."""
        return [layer for layer in self.layers if layer.kind in kinds]

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def check_step(name: str, step: int, per_token: int, size: Size) -> None:
    """`ConfigError` for a step, in pixels, that does not fit a model of `per_token` pixels a token and its images."""
    if step % per_token or 2 * step > min(size):
        raise ConfigError(
            f"{name}: a step of {step} pixels, expected a multiple of its {per_token} pixels per token that fits "
            f"twice in {size[0]}×{size[1]}; choose another step or larger images"
        )


def measure(
    model: ViT | BiT,
    preprocess: Preprocess,
    images: Sequence[ImageLike],
    settings: InductiveBias,
    *,
    name: str,
    step: int,
    trained: bool = True,
    labels: np.ndarray | None = None,
) -> ModelResult:
    """Looks at `images` with the model, on its device, and leaves it as it was; `labels` as its classes count.

    Raises `ConfigError` for a step that does not fit the model, `ImageError` for an unreadable image.
    """
    size = preprocess.size
    check_step(name, step, model.config.pixels_per_token, size)
    if len(images) < 2:
        raise ConfigError(f"{len(images)} image, expected at least 2, whose difference is the yardstick")
    # One picture, seen in windows: nothing has to be invented where a shifted image ends.
    wider = preprocess.with_size((size[0] + step, size[1] + step))
    device = next(model.parameters()).device
    inputs = torch.stack([preprocess(image) for image in images]).to(device)
    larger = torch.stack([wider(image) for image in images]).to(device)
    layers = layers_of(model)
    shifts = (*(2**n for n in range(step.bit_length()) if 2**n < step), step)
    equivariance = Equivariance(model, layers, shifts, size)
    for batch in torch.split(larger, settings.batch):
        equivariance.add(batch)
    values = [_errors(layer, equivariance.errors(layer), step) for layer in layers]
    few = slice(settings.batch)
    for others in (_alone(model, layers, inputs[few], larger[few], step), _fields(model, layers, inputs, settings)):
        values = [of | other for of, other in zip(values, others, strict=True)]
    whole = _shifts(model, equivariance) | _shuffling(model, inputs, step, settings, labels)
    if isinstance(model, ViT):
        uniform, distances = _distances(model, inputs)
        for of, layer in zip(values, layers, strict=True):
            of |= distances.pop(0) if layer.kind == "attention" else {}
        whole |= {"uniform_distance": uniform} | _positions(model)
    return ModelResult(
        name=name,
        trained=trained,
        kind="BiT-ResNet" if isinstance(model, BiT) else "ViT" if model.stem is None else "hybrid",
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        image_size=size,
        images=len(images),
        step=step,
        shifts=shifts,
        layers=tuple(
            LayerResult(name=layer.name, kind=layer.kind, depth=layer.depth, stride=layer.stride, values=of)
            for layer, of in zip(layers, values, strict=True)
        ),
        whole=whole,
    )


def _errors(layer: Layer, by_shift: dict[int, float | None], step: int) -> Values:
    between = [error for shift, error in by_shift.items() if shift % layer.stride and error is not None]
    return {
        "error_step": by_shift[step],
        "error_between": sum(between) / len(between) if between else None,
        **{f"error_shift_{shift}": error for shift, error in by_shift.items()},
    }


def _alone(model: ViT | BiT, layers: Sequence[Layer], inputs: Tensor, larger: Tensor, step: int) -> list[Values]:
    errors = errors_alone(model, layers, larger, step)
    fixed = errors_alone(model, layers, larger, step, fixed=True)
    extents = extents_alone(model, layers, inputs[:1])
    return [
        {
            "error_alone": error,
            "error_alone_fixed": error_fixed,
            "alone_rows": box[0],
            "alone_columns": box[1],
            "input_rows": of[0],
            "input_columns": of[1],
        }
        for error, error_fixed, (box, of) in zip(errors, fixed, extents, strict=True)
    ]


def _fields(model: ViT | BiT, layers: Sequence[Layer], inputs: Tensor, settings: InductiveBias) -> list[Values]:
    fields = ReceptiveFields(model, layers, settings.seed)
    for batch in torch.split(inputs[: settings.field_images], settings.batch):
        fields.add(batch)
    return [
        {"field_rows": field.extent[0], "field_columns": field.extent[1]}
        | {f"field_{key}": value for key, value in asdict(field).items() if key != "extent"}
        for field in fields.fields()
    ]


def _shifts(model: ViT | BiT, equivariance: Equivariance) -> Values:
    whole: Values = {}
    for shift, outputs in equivariance.outputs.items():
        before, after = (torch.cat(parts) for parts in zip(*outputs, strict=True))
        whole[f"shift_change_{shift}"] = change(after, before)
        whole[f"shift_kept_{shift}"] = _same(predictions(model, before), predictions(model, after))
    return whole


@torch.no_grad()
def _shuffling(
    model: ViT | BiT, inputs: Tensor, cell: int, settings: InductiveBias, labels: np.ndarray | None
) -> Values:
    plain, mixed, ordered = [], [], []
    with evaluating(model):
        for first in range(0, len(inputs), settings.batch):
            images = inputs[first : first + settings.batch]
            plain.append(model.features(images))
            mixed.append(model.features(shuffled(images, cell, settings.seed, first)))
            if isinstance(model, ViT):
                ordered.append(features_of_reordered_tokens(model, images, settings.seed, first))
    before, after = torch.cat(plain), torch.cat(mixed)
    guesses, mixed_guesses = predictions(model, before), predictions(model, after)
    right = None if labels is None else torch.from_numpy(labels).to(inputs.device)
    return {
        "shuffle_change": change(after, before),
        "shuffle_kept": _same(guesses, mixed_guesses),
        "accuracy": _same(guesses, right),
        "accuracy_shuffled": _same(mixed_guesses, right),
        "order_change": change(torch.cat(ordered), before) if ordered else None,
    }


def _distances(model: ViT, inputs: Tensor) -> tuple[float, list[Values]]:
    """The yardstick, and the values of the attention branches."""
    pixels, (height, width) = model.config.pixels_per_token, inputs.shape[2:]
    uniform = uniform_distance((height // pixels, width // pixels), pixels, model.config.prefix)
    distances = attention_distance(model, inputs).mean(dim=1).tolist()
    return uniform, [{"distance": d, "distance_share": d / uniform if uniform else None} for d in distances]


def _positions(model: ViT) -> Values:
    if model.embedding.positions is None or math.prod(model.config.grid) < 2:
        return {}
    return {f"positions_{key}": value for key, value in position_locality(model).as_json().items()}


def _same(before: Tensor | None, after: Tensor | None) -> float | None:
    return None if before is None or after is None else float((before == after).double().mean())
