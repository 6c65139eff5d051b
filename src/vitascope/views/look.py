"""One image, looked at wholly in one forward pass; and what of a checkpoint can be seen without an image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from vitascope.checkpoints.answer import answers
from vitascope.checkpoints.checkpoint import Checkpoint, Prediction, probabilities, ranked
from vitascope.data.images import UInt8
from vitascope.data.preprocess import to_tensor
from vitascope.errors import ConfigError
from vitascope.layers.attention import attention_weights
from vitascope.layers.config import Size, ViTConfig
from vitascope.models.catalogue import architecture_name
from vitascope.views.attention_maps import class_maps
from vitascope.views.attention_rollout import Rollouts
from vitascope.views.attention_share import shares
from vitascope.views.capture import as_vit, captures, read_attention
from vitascope.views.distance import distances, uniform_distance
from vitascope.views.filters import embedding_filters
from vitascope.views.lens import lens_by_image
from vitascope.views.norms import norms_by_image
from vitascope.views.pixels import as_rgb
from vitascope.views.positions import Locality, locality_of, position_similarity

PREDICTIONS = 10
"""Labels of an image that are shown, at most."""
_LENS = 5


@dataclass(frozen=True, kw_only=True, eq=False)
class Look:
    """Everything the page and the report show of one image."""

    config: ViTConfig
    """The model's: `class_maps` and `rollout` are the class token's where its head reads that, otherwise means over the
    patches."""
    image: np.ndarray
    """uint8 (H, W, 3): what the model saw, after geometry and before normalisation."""
    grid: Size
    """Rows and columns of patches."""
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
    members: tuple[str, ...] | None = None
    """The labels in its prediction set; None where the checkpoint states no coverage."""
    coverage: float | None = None
    """Which the set has; None likewise."""

    def attention(self, layer: int) -> np.ndarray:
        """Attention of one layer, counted from 0, float32 (h, T, T); rows sum to 1. Raises `ConfigError`."""
        depth = len(self.queries)
        if not isinstance(layer, int) or not 0 <= layer < depth:
            raise ConfigError(f"layer {layer!r} of a model with {depth} layers; expected numbers from 0 to {depth - 1}")
        q, k = (torch.from_numpy(part[layer]) for part in (self.queries, self.keys))
        return attention_weights(q, k).numpy()

    @property
    def nbytes(self) -> int:
        """Memory of all arrays."""
        return sum(value.nbytes for value in vars(self).values() if isinstance(value, np.ndarray))


def looks(checkpoint: Checkpoint, pixels: Sequence[UInt8]) -> Iterator[Look]:
    """Everything to be seen of each image, by one forward pass on the model's device.

    `pixels` are uint8 (h, w, C), all of one size, which need not be the checkpoint's. Raises `ConfigError` for a model
    without attention or a size that the patch does not divide.
    """
    model = as_vit(checkpoint.model)
    shown = iter(pixels)
    for capture in captures(model, checkpoint.preprocess.normalise(to_tensor(list(pixels))), tokens=True):
        views = read_attention(capture, distances, shares, Rollouts, class_maps)
        norms = norms_by_image(capture)
        logits = lens_by_image(model, capture) if checkpoint.labels and checkpoint.activation != "none" else None
        for n in range(capture.images):
            lens, members, sets = list[list[Prediction]](), None, checkpoint.sets
            if logits is not None:
                likely = probabilities(logits[n], checkpoint.activation).cpu()
                lens = ranked(likely, checkpoint.labels, PREDICTIONS)
                members = answers(likely[-1:], checkpoint.labels, sets)[0].members
            distance, share, rolled, maps = (_array(view[n]) for view in views)
            yield Look(
                config=model.config,
                image=as_rgb(next(shown)),
                grid=capture.grid,
                predictions=lens[-1] if lens else [],
                lens=[layer[:_LENS] for layer in lens],
                norms=_array(norms[n]),
                distance=distance,
                share=share,
                rollout=rolled,
                class_maps=maps,
                queries=_array(torch.stack([q[n] for q in capture.q])),
                keys=_array(torch.stack([k[n] for k in capture.k])),
                members=members,
                coverage=None if members is None or sets is None else sets.coverage,
            )


@dataclass(frozen=True, kw_only=True, eq=False)
class Scope:
    """What of a checkpoint can be seen without an image."""

    config: ViTConfig
    """The model's."""
    name: str
    """As the catalogue calls its architecture, such as "ViT-B/16"."""
    parameters: int
    """Number of trainable values."""
    image_size: Size
    """Height and width in pixels that preprocessing makes."""
    grid: Size
    """Rows and columns of patches at that size."""
    uniform_distance: float
    """Mean attention distance, in pixels, of a head that attends to all tokens alike."""
    filters: np.ndarray
    """float32 (28 or fewer, P, P, C): principal components of the first layer's filters."""
    similarity: np.ndarray | None
    """float32 (r, c, r, c) at the stored grid: cosine between positions; None without positions."""
    locality: Locality | None
    """How two-dimensional the positions are; None without positions or with a single patch."""


def scope(checkpoint: Checkpoint) -> Scope:
    """What of a checkpoint can be seen without an image; raises `ConfigError` for a model without attention."""
    model = as_vit(checkpoint.model)
    c, size = model.config, checkpoint.preprocess.size
    grid = size[0] // c.pixels_per_token, size[1] // c.pixels_per_token
    similarity = position_similarity(model) if c.has_table else None
    return Scope(
        config=c,
        name=architecture_name(c),
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        image_size=size,
        grid=grid,
        uniform_distance=uniform_distance(grid, c.pixels_per_token, c.prefix),
        filters=_array(embedding_filters(model)),
        similarity=None if similarity is None else _array(similarity),
        locality=None if similarity is None or c.grid == (1, 1) else locality_of(similarity),
    )


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().to("cpu", torch.float32).numpy()
