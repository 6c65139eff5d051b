"""One image, looked at wholly in one forward pass; and what of a checkpoint can be seen without an image."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

import numpy as np
import torch
from torch import Tensor

from vitascope.checkpoints.checkpoint import Checkpoint, Prediction, probabilities, ranked
from vitascope.data.images import ImageLike
from vitascope.errors import ConfigError
from vitascope.layers.attention import attention_weights
from vitascope.models.catalogue import HYBRIDS, SIZES
from vitascope.models.config import ViTConfig, image_size_pair
from vitascope.views.attention_maps import ClassMaps
from vitascope.views.attention_rollout import Rollouts
from vitascope.views.attention_share import Shares
from vitascope.views.capture import as_vit, captures, read_attention
from vitascope.views.distance import Distances, uniform_distance
from vitascope.views.filters import embedding_filters
from vitascope.views.lens import lens_by_image
from vitascope.views.norms import norms_by_image
from vitascope.views.positions import Locality, locality_of, position_similarity

_PREDICTIONS, _LENS = 10, 5


@dataclass(frozen=True, kw_only=True, eq=False)
class Look:
    """Everything the page and the report show of one image."""

    image: np.ndarray
    """uint8 (H, W, 3): what the model saw, after geometry and before normalisation."""
    grid: tuple[int, int]
    """Rows and columns of patches."""
    pixels_per_token: tuple[int, int]
    """Height and width of a patch in pixels of `image`."""
    prefix: int
    """Tokens before the patches: class token and registers."""
    class_token: bool
    """Whether the first token is a class token."""
    reads_class_token: bool
    """Whether `class_maps` and `rollout` are the class token's; otherwise they are means over the patches, which this
    model's head pools."""
    predictions: list[Prediction]
    """Best first, at most 10; empty where there is no head."""
    lens: list[list[Prediction]]
    """For each layer the 5 best of the head applied to it; empty where there is no head."""
    norms: np.ndarray
    """float32 (L, T): length of every token after every block."""
    distance: np.ndarray
    """float32 (L, h): mean attention distance in this image, pixels."""
    share: np.ndarray
    """float32 (L, h): share of this image attended, 1/N to 1."""
    rollout: np.ndarray
    """float32 (r, c): attention rollout."""
    class_maps: np.ndarray
    """float32 (L, h, r, c): attention of the class token, or of what the head pools, to the patches."""
    queries: np.ndarray = field(repr=False)
    """float32 (L, h, T, d), kept so that `attention` needs no second pass."""
    keys: np.ndarray = field(repr=False)
    """float32 (L, h, T, d)."""

    def attention(self, layer: int) -> np.ndarray:
        """Attention of one layer, counted from 0, float32 (h, T, T); rows sum to 1. Raises `ConfigError`."""
        depth = len(self.queries)
        if not isinstance(layer, int) or not 0 <= layer < depth:
            raise ConfigError(f"layer {layer!r} of a model with {depth} layers; expected numbers from 0 to {depth - 1}")
        with torch.no_grad():
            q, k = (torch.from_numpy(part[layer]) for part in (self.queries, self.keys))
            return attention_weights(q, k).numpy()

    @property
    def nbytes(self) -> int:
        """Memory of all arrays."""
        values = (getattr(self, f.name) for f in fields(self))
        return sum(value.nbytes for value in values if isinstance(value, np.ndarray))


@dataclass(frozen=True, kw_only=True, eq=False)
class Scope:
    """What of a checkpoint can be seen without an image."""

    name: str
    """As the catalogue calls its architecture, such as "ViT-B/16"."""
    parameters: int
    """Number of trainable values."""
    layers: int
    """L."""
    heads: int
    """h."""
    image_size: tuple[int, int]
    """Height and width in pixels that preprocessing makes."""
    grid: tuple[int, int]
    """Rows and columns of patches at that size."""
    pixels_per_token: tuple[int, int]
    """Height and width of a patch in pixels."""
    prefix: int
    """Tokens before the patches: class token and registers."""
    class_token: bool
    """Whether the first token is a class token."""
    reads_class_token: bool
    """Whether the head reads the class token, rather than the mean of the patches."""
    labels: int
    """Number of classes; 0 without a head."""
    uniform_distance: float
    """Mean attention distance, in pixels, of a head that attends to all tokens alike."""
    filters: np.ndarray
    """float32 (28 or fewer, P, P, C): principal components of the first layer's filters."""
    similarity: np.ndarray | None
    """float32 (r, c, r, c) at the stored grid: cosine between positions; None without positions."""
    locality: Locality | None
    """How two-dimensional the positions are; None without positions or with a single patch."""


def look(checkpoint: Checkpoint, image: ImageLike, *, size: int | tuple[int, int] | None = None) -> Look:
    """Everything to be seen of one image, by one forward pass on the model's device.

    `image` is a path, encoded bytes, a Pillow image or a uint8 array; `size` is another (height, width) than the
    checkpoint's own. Raises `ConfigError` for a model without attention or a size that the patch does not divide,
    `ImageError` for what is no image.
    """
    as_vit(checkpoint.model)
    preprocess = checkpoint.preprocess if size is None else checkpoint.preprocess.with_size(image_size_pair(size))
    return look_at(checkpoint, preprocess.resize(preprocess.read(image)))


def look_at(checkpoint: Checkpoint, pixels: np.ndarray) -> Look:
    """`look` from pixels of the size that is looked at, uint8 (h, w, C)."""
    model = as_vit(checkpoint.model)
    c = model.config
    batch = checkpoint.preprocess.normalise(torch.from_numpy(pixels.transpose(2, 0, 1).copy()))[None]
    capture = next(captures(model, batch, tokens=True))
    distance, share, rolled, maps = read_attention(capture, Distances, Shares, Rollouts, ClassMaps)
    classifies = checkpoint.labels and checkpoint.activation != "none"
    lens: list[list[Prediction]] = []
    if classifies:
        likely = probabilities(lens_by_image(model, capture)[0], checkpoint.activation).cpu()
        lens = ranked(likely, checkpoint.labels, _PREDICTIONS)
    return Look(
        image=as_rgb(pixels),
        grid=capture.grid,
        pixels_per_token=(c.pixels_per_token, c.pixels_per_token),
        prefix=c.prefix,
        class_token=c.class_token,
        reads_class_token="token" in c.pooling,
        predictions=lens[-1] if lens else [],
        lens=[layer[:_LENS] for layer in lens],
        norms=_array(norms_by_image(capture)[0]),
        distance=_array(distance[0]),
        share=_array(share[0]),
        rollout=_array(rolled[0]),
        class_maps=_array(maps[0]),
        queries=_array(torch.cat(capture.q)),
        keys=_array(torch.cat(capture.k)),
    )


def scope(checkpoint: Checkpoint) -> Scope:
    """What of a checkpoint can be seen without an image; raises `ConfigError` for a model without attention."""
    model = as_vit(checkpoint.model)
    c = model.config
    height, width = checkpoint.preprocess.size
    grid = (height // c.pixels_per_token, width // c.pixels_per_token)
    similarity = position_similarity(model) if c.positions != "none" else None
    return Scope(
        name=architecture_name(c),
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        layers=c.depth,
        heads=c.heads,
        image_size=(height, width),
        grid=grid,
        pixels_per_token=(c.pixels_per_token, c.pixels_per_token),
        prefix=c.prefix,
        class_token=c.class_token,
        reads_class_token="token" in c.pooling,
        labels=len(checkpoint.labels),
        uniform_distance=uniform_distance(grid, c.pixels_per_token, c.prefix),
        filters=_array(embedding_filters(model)),
        similarity=None if similarity is None else _array(similarity),
        locality=None if similarity is None or c.grid == (1, 1) else locality_of(similarity),
    )


def architecture_name(config: ViTConfig) -> str:
    """ "ViT-B/16" where the catalogue has these sizes, otherwise in words: "ViT 192 wide, 9 deep, patch 4"."""

    def sizes(c: ViTConfig) -> tuple[int, ...]:
        return c.width, c.depth, c.heads, c.hidden

    for name, known in HYBRIDS.items():
        if (known.stem, known.patch, sizes(known)) == (config.stem, config.patch, sizes(config)):
            return name
    kind = "ViT" if config.stem is None else "hybrid ViT"
    for name, known in SIZES.items():
        if config.stem is None and sizes(known) == sizes(config) and name != "b":
            return f"{kind}-{name}/{config.patch}"
    return f"{kind} {config.width} wide, {config.depth} deep, patch {config.pixels_per_token}"


def as_rgb(pixels: np.ndarray) -> np.ndarray:
    """uint8 (H, W, C) → (H, W, 3), for showing: the first three channels, or the first alone as grey."""
    return np.ascontiguousarray(pixels[..., :3] if pixels.shape[2] >= 3 else np.repeat(pixels[..., :1], 3, axis=2))


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().to("cpu", torch.float32).numpy()
