"""The study: several checkpoints side by side, each trained and untrained, over the same images."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from vitascope.checkpoints.checkpoint import Checkpoint
from vitascope.data.images import ImageLike
from vitascope.data.open import open_data
from vitascope.data.source import View
from vitascope.errors import ConfigError, DataError
from vitascope.layers.config import Size
from vitascope.models.bit import BiT
from vitascope.models.catalogue import build_model
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
from vitascope.studies.inductive_bias.layers import layers_of
from vitascope.studies.inductive_bias.receptive_field import extents_alone, receptive_fields
from vitascope.studies.inductive_bias.settings import InductiveBias
from vitascope.views.capture import evaluating
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


class Pictures(NamedTuple):
    """The images that all models see, as `Preprocess` takes them, and what they are, for people."""

    name: str
    images: Sequence[ImageLike]


def pictures_of(data: str, count: int, seed: int) -> Pictures:
    """`count` images of `data` at most, drawn by `seed` from its test split, else validation, else train.

    Raises `DataError`, and `ImageError` for one that cannot be read.
    """
    present = open_data(data).first(least=2)
    if present is None:
        raise DataError(f"{data} holds no two images to look at; give other data")
    source = present[1]
    chosen = np.sort(generator(Stream.PICTURES, seed).permutation(len(source))[:count]).astype(np.int64)
    subset = View(source, chosen, f"{len(chosen)} images of {source.name}")
    return Pictures(subset.name, [subset[i] for i in range(len(subset))])


def example_pictures(sizes: Sequence[Size]) -> Pictures:
    """What the package carries, for models of these (height, width): photographs, and digits if all are small."""
    shown = examples((max(h for h, _ in sizes), max(w for _, w in sizes)))
    return Pictures(", ".join(example.name for example in shown), [example.content for example in shown])


def compare_models(
    checkpoints: Sequence[tuple[str, Checkpoint]],
    images: Sequence[ImageLike],
    settings: InductiveBias,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Measured, ...]:
    """Measures each of (name, checkpoint) on its model's device; the same settings give the same numbers.

    Every model trained, and beside it untrained if that is asked. Raises `ConfigError` where the step does not fit a
    model, `ImageError` for an unreadable image.
    """
    if len(images) < 2:
        raise ConfigError(f"images is {len(images)}, expected at least 2, whose difference is the yardstick")
    steps = [settings.step] * len(checkpoints) if settings.step else steps_for([c for _, c in checkpoints])
    for (name, checkpoint), step in zip(checkpoints, steps, strict=True):  # not found out after measuring others
        size, per_token = checkpoint.preprocess.size, checkpoint.model.config.pixels_per_token
        if step % per_token or 2 * step > min(size):
            raise ConfigError(
                f"{name}: a step of {step} pixels, expected a multiple of its {per_token} pixels per token that fits "
                f"twice in {size[0]}×{size[1]}; choose another step or larger images"
            )
    measured: list[Measured] = []
    for (name, checkpoint), step in zip(checkpoints, steps, strict=True):
        model, preprocess = checkpoint.model, checkpoint.preprocess
        device = next(model.parameters()).device
        # One picture, seen in windows: nothing has to be invented where a shifted image ends.
        wider = preprocess.with_size((preprocess.size[0] + step, preprocess.size[1] + step))
        inputs, larger = (torch.stack([p(image) for image in images]).to(device) for p in (preprocess, wider))
        for trained in (True, False)[: 1 + settings.untrained]:
            if not trained:
                drawn = torch.Generator().manual_seed(seed_of(Stream.INITIAL, settings.seed))
                model = build_model(model.config, drawn).eval().to(device)
            layers, whole = _measure(model, inputs, larger, step, settings)
            kind = "BiT-ResNet" if isinstance(model, BiT) else "ViT" if model.stem is None else "hybrid"
            head: dict[str, Any] = {"name": name, "trained": trained, "kind": kind, "image_size": preprocess.size}
            measured.append(Measured(**head, step=step, layers=layers, whole=whole))
            if progress is not None:
                progress(len(measured), len(checkpoints) * (1 + settings.untrained))
    return tuple(measured)


def steps_for(checkpoints: Sequence[Checkpoint]) -> list[int]:
    """The step of each: the smallest that all models share if it fits twice in every image, else each one's own."""
    own = [checkpoint.model.config.pixels_per_token for checkpoint in checkpoints]
    common = math.lcm(*own)
    fits = all(2 * common <= min(checkpoint.preprocess.size) for checkpoint in checkpoints)
    return [common] * len(own) if fits else own


def _measure(
    model: ViT | BiT, inputs: Tensor, larger: Tensor, step: int, settings: InductiveBias
) -> tuple[tuple[LayerRow, ...], Values]:
    """Looks at (B, C, H, W) inputs, and at the same images `step` pixels larger; the model stays as it was."""
    layers, few = layers_of(model), settings.batch
    from_image, whole = errors_from_image(model, layers, torch.split(larger, few), step)
    measured: list[list[Values]] = [
        from_image,
        errors_alone(model, layers, larger[:few], step),
        extents_alone(model, layers, inputs[:1]),
        receptive_fields(model, layers, torch.split(inputs[: settings.field_images], few), settings.seed),
    ]
    whole |= _reordered(model, inputs, step, settings)
    if isinstance(model, ViT):
        pixels, (height, width) = model.config.pixels_per_token, inputs.shape[2:]
        uniform = uniform_distance((height // pixels, width // pixels), pixels, model.config.prefix)
        distances = iter(attention_distance(model, inputs).mean(dim=1).tolist())
        looks = [next(distances) if layer.kind == "attention" else None for layer in layers]
        shares = [d / uniform if d is not None and uniform else None for d in looks]
        measured.append([{"distance": d, "distance_share": share} for d, share in zip(looks, shares, strict=True)])
        if model.embedding.positions is not None and math.prod(model.config.grid) > 1:
            locality = position_locality(model).as_json()
            whole |= {f"positions_{key}": locality[key] for key in ("correlation", "raster_correlation")}
    return tuple(
        {"name": layer.name, "kind": layer.kind, "depth": layer.depth, "stride": layer.stride}
        | {name: value for values in of_layer for name, value in values.items()}
        for layer, *of_layer in zip(layers, *measured, strict=True)
    ), whole


@torch.no_grad()
def _reordered(model: ViT | BiT, inputs: Tensor, cell: int, settings: InductiveBias) -> Values:
    """By how much the features change with the order of the image's cells, and of the tokens with their positions."""
    plain, mixed, ordered = [], [], []
    with evaluating(model):
        for number, images in enumerate(torch.split(inputs, settings.batch)):
            first = number * settings.batch
            plain.append(model.features(images))
            mixed.append(model.features(shuffled(images, cell, settings.seed, first)))
            if isinstance(model, ViT):
                ordered.append(features_of_reordered_tokens(model, images, settings.seed, first))
    before = torch.cat(plain)
    order = change(torch.cat(ordered), before) if ordered else None
    return {"shuffle_change": change(torch.cat(mixed), before), "order_change": order}
