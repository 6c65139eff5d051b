"""The study: several checkpoints side by side, each trained and untrained, over the same images."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vitascope.checkpoints.adapt import resize_model
from vitascope.checkpoints.checkpoint import Checkpoint
from vitascope.checkpoints.load import adapt
from vitascope.data.images import ImageLike
from vitascope.data.open import open_data
from vitascope.errors import ConfigError, DataError
from vitascope.layers.config import Size
from vitascope.models.bit import BiT
from vitascope.models.catalogue import build_model
from vitascope.models.evaluated import evaluated
from vitascope.models.vit import ViT
from vitascope.streams import Stream, generator, seed_of
from vitascope.studies.inductive_bias.equivariance import (
    Values,
    change,
    errors_alone,
    errors_from_image,
    features_of_reordered_tokens,
    shuffled,
)
from vitascope.studies.inductive_bias.layers import Layer, layers_of
from vitascope.studies.inductive_bias.receptive_field import extents_alone, receptive_fields
from vitascope.studies.inductive_bias.settings import InductiveBias
from vitascope.views.distance import attention_distance, uniform_distance
from vitascope.views.positions import position_locality
from vitascope.web.examples import examples

LayerRow = dict[str, Any]
"""A layer's name, kind, depth and stride as of `layers.Layer`, and its numbers by the names of `settings.OF_LAYERS`."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Numbers of one model."""

    name: str
    """What people call it."""
    trained: bool
    """False for the same model with initial values."""
    kind: str
    """"ViT", "hybrid" or "BiT-ResNet"."""
    image_size: Size
    """Height and width in pixels."""
    step: int
    """The shift, and the side of shuffled cells, pixels."""
    layers: tuple[LayerRow, ...]
    """From the image to the head."""
    whole: Values
    """By the names of `settings.OF_MODELS`."""

    def of(self, *kinds: str) -> list[LayerRow]:
        """Layers of these kinds, in order."""
        return [layer for layer in self.layers if layer["kind"] in kinds]

    @property
    def state(self) -> str:
        """In words."""
        return "trained" if self.trained else "untrained"


Pictures = tuple[str, Sequence[ImageLike]]
"""What the images are, for people, and those that all models see, as `Preprocess` takes them."""


def pictures_of(data: str, count: int, seed: int) -> Pictures:
    """`count` images of `data` at most, drawn by `seed` from its test split, else validation, else train.

    Raises `DataError`, and `ImageError` for one that cannot be read.
    """
    present = open_data(data, labels=False).first(least=2)
    if present is None:
        raise DataError(f"{data} holds no two images to look at; give other data")
    source = present[1]
    chosen = np.sort(generator(Stream.PICTURES, seed).permutation(len(source))[:count])
    return f"{len(chosen)} images of {source.name}", [source[int(i)] for i in chosen]


def example_pictures(sizes: Sequence[Size]) -> Pictures:
    """What the package carries, for models of these (height, width): photographs, and digits if all are small."""
    shown = examples((max(h for h, _ in sizes), max(w for _, w in sizes)), labels=())
    return ", ".join(example.name for example in shown), [example.content for example in shown]


def compare_models(
    checkpoints: Sequence[tuple[str, Checkpoint]],
    images: Sequence[ImageLike],
    settings: InductiveBias,
    progress: Callable[[int, int], None] | None = None,
    image_size: Size | None = None,
) -> tuple[Measured, ...]:
    """Measures each of (name, checkpoint) on its model's device; the same settings give the same numbers.

    Every model trained, and beside it untrained if that is asked; at another `image_size` with the positions of both
    resized, because resized ones have two dimensions whatever was learned. Raises `ConfigError` where the step does not
    fit a model, `ImageError` for an unreadable image.
    """
    if len(images) < 2:
        raise ConfigError(f"images is {len(images)}, expected at least 2, whose difference is the yardstick")
    if any(getattr(checkpoint.config, "positions", "") == "rotary" for _, checkpoint in checkpoints):
        raise ConfigError("a layer with rotary positions cannot be measured by itself: give models of other positions")
    measured: list[Measured] = []
    seen = [(name, adapt(checkpoint, image_size=image_size)) for name, checkpoint in checkpoints]
    for (name, checkpoint), (_, sized), step in zip(checkpoints, seen, steps_for(seen, settings.step), strict=True):
        model, preprocess = evaluated(sized.model), sized.preprocess
        device = next(model.parameters()).device
        # One picture, seen in windows: nothing has to be invented where a shifted image ends.
        wider = preprocess.with_size((preprocess.size[0] + step, preprocess.size[1] + step))
        inputs, larger = (torch.stack([p(image) for image in images]).to(device) for p in (preprocess, wider))
        kind = "BiT-ResNet" if isinstance(model, BiT) else "ViT" if model.stem is None else "hybrid"
        head: dict[str, Any] = {"name": name, "kind": kind, "image_size": preprocess.size, "step": step}
        for trained in (True, False)[: 1 + settings.untrained]:
            if not trained:
                drawn = torch.Generator().manual_seed(seed_of(Stream.INITIAL, settings.seed))
                model = resize_model(build_model(checkpoint.config, drawn), model.config.image_size).eval().to(device)
            layers, whole = _measure(model, inputs, larger, step, settings)
            measured.append(Measured(**head, trained=trained, layers=layers, whole=whole))
            if progress is not None:
                progress(len(measured), len(checkpoints) * (1 + settings.untrained))
    return tuple(measured)


def steps_for(checkpoints: Sequence[tuple[str, Checkpoint]], asked: int | None = None) -> list[int]:
    """The step of each: the one asked for, else the smallest that all share if it fits in every image, else its own.

    Raises `ConfigError` for one that is not a whole number of a model's tokens or does not fit twice in its images.
    """
    own = [checkpoint.model.config.pixels_per_token for _, checkpoint in checkpoints]
    sides = [min(checkpoint.preprocess.size) for _, checkpoint in checkpoints]
    common = asked or math.lcm(*own)
    steps = [common] * len(own) if asked or 2 * common <= min(sides) else own
    for (name, _), per_token, side, step in zip(checkpoints, own, sides, steps, strict=True):
        if step % per_token or 2 * step > side:
            raise ConfigError(
                f"{name}: a step of {step} pixels, expected a multiple of its {per_token} pixels per token that fits "
                f"twice in a side of {side}; choose another step or larger images"
            )
    return steps


def _measure(
    model: ViT | BiT, inputs: Tensor, larger: Tensor, step: int, settings: InductiveBias
) -> tuple[tuple[LayerRow, ...], Values]:
    """Looks at (B, C, H, W) inputs, and at the same images `step` pixels larger."""
    layers, few = layers_of(model), settings.batch
    from_image, shifted = errors_from_image(model, layers, torch.split(larger, few), step)
    measured = [
        from_image,
        errors_alone(model, layers, larger[:few], step),
        extents_alone(model, layers, inputs[:1]),
        receptive_fields(model, layers, torch.split(inputs[: settings.field_images], few), settings.seed),
    ]
    whole = shifted | _reordered(model, inputs, step, settings)
    if isinstance(model, ViT):
        measured.append(_distances(model, layers, inputs))
        if model.embedding.positions is not None and math.prod(model.config.grid) > 1:
            locality = position_locality(model).as_json()
            whole |= {f"positions_{key}": locality[key] for key in ("correlation", "raster_correlation")}
    rows: list[LayerRow] = []
    for layer, *of_layer in zip(layers, *measured, strict=True):
        rows.append({"name": layer.name, "kind": layer.kind, "depth": layer.depth, "stride": layer.stride})
        for values in of_layer:
            rows[-1].update(values)
    return tuple(rows), whole


def _distances(model: ViT, layers: Sequence[Layer], inputs: Tensor) -> list[Values]:
    """How far each attention looks, on average over its heads; None of other layers."""
    pixels, (height, width) = model.config.pixels_per_token, inputs.shape[2:]
    uniform = uniform_distance((height // pixels, width // pixels), pixels, model.config.prefix)
    means = iter(attention_distance(model, inputs).mean(dim=1).tolist())
    looks = [next(means) if layer.kind == "attention" else None for layer in layers]
    return [{"distance": d, "distance_share": d / uniform if d is not None and uniform else None} for d in looks]


@torch.no_grad()
def _reordered(model: ViT | BiT, inputs: Tensor, cell: int, settings: InductiveBias) -> Values:
    """By how much the features change with the order of the image's cells, and of the tokens with their positions."""
    plain, mixed, ordered = [], [], []
    for first in range(0, len(inputs), settings.batch):
        images = inputs[first : first + settings.batch]
        plain.append(model.features(images))
        mixed.append(model.features(shuffled(images, cell, settings.seed, first)))
        if isinstance(model, ViT):
            ordered.append(features_of_reordered_tokens(model, images, settings.seed, first))
    before = torch.cat(plain)
    order = change(torch.cat(ordered), before) if ordered else None
    return {"shuffle_change": change(torch.cat(mixed), before), "order_change": order}
