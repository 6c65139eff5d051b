"""What every view starts from: q, k and the tokens of the layers asked for, a few images at a time.

Attention matrices are never kept. They are computed from q and k, part by part, where a view reads them, so that
memory is bounded whatever the number of images and layers. The model itself runs as always, with its fused kernel.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol, cast

import torch
from torch import Tensor, nn

from vitascope.errors import ConfigError
from vitascope.layers.attention import attention_weights
from vitascope.layers.config import Size, ViTConfig
from vitascope.layers.encoder import Block
from vitascope.layers.patches import check_images, patch_grid
from vitascope.models.evaluated import evaluated
from vitascope.models.vit import ViT

CAPTURE_BYTES = 64 * 2**20
"""About this much of q, k and tokens is recorded at a time, one image at least; the part before may still be held."""
WEIGHT_BYTES = 16 * 2**20
"""About this much of attention weights is computed at a time, one query of one image at least."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Capture:
    """What was recorded of a few images."""

    config: ViTConfig
    """The model's config."""
    grid: Size
    """Rows and columns of patches of these images."""
    layers: tuple[int, ...]
    """The layers recorded, counted from 0, ascending."""
    q: tuple[Tensor, ...]
    """Queries (B, h, T, d) of each layer in `layers`, float32 or float64, on the model's device."""
    k: tuple[Tensor, ...]
    """Keys, likewise."""
    tokens: tuple[Tensor, ...]
    """Tokens (B, T, D) after each layer in `layers`, before the final LayerNorm, in the model's own dtype; empty
    unless asked for."""
    pooled: Tensor | None = None
    """How attention pooling weighs the patches, (B, N), mean over its heads; None with another pooling, or where the
    last layer is not recorded."""

    @property
    def images(self) -> int:
        """B."""
        return len(self.q[0])

    @property
    def patches(self) -> slice:
        """Where the patches stand among the tokens: after the class token and the registers."""
        return slice(self.config.prefix, self.q[0].shape[2])

    @property
    def readers(self) -> slice:
        """The tokens that the head reads: the class token, DeiT's distillation token with it, or all patches where it
        pools their mean."""
        return slice(0, self.config.first_read or 1) if self.config.reads_class_token else self.patches


class Reader(Protocol):
    """Makes a view of attention that it is shown part by part, each part once, the last layer first."""

    queries: slice
    """The tokens whose attention it has to see."""

    def read(self, position: int, images: slice, queries: slice, weights: Tensor) -> None:
        """Takes in the weights (b, h, t, T) of these queries in these images, of the layer `layers[position]`."""

    def result(self) -> Tensor:
        """The view of each captured image, after the last part."""


class QueryMeans:
    """Reads the mean over `queries` of what `of_each` says of their attention, (b, h, t, T) → (b, h, t, …)."""

    def __init__(self, capture: Capture, queries: slice, of_each: Callable[[Tensor, slice], Tensor]) -> None:
        self.capture, self.queries, self.of_each = capture, queries, of_each
        self.sums: Tensor | None = None

    def read(self, position: int, images: slice, queries: slice, weights: Tensor) -> None:
        """Adds up what is said of these queries."""
        part = self.of_each(weights, queries).sum(2)
        if self.sums is None:
            self.sums = part.new_zeros(self.capture.images, len(self.capture.layers), *part.shape[1:])
        self.sums[images, position] += part

    def result(self) -> Tensor:
        """(B, L, h, …)."""
        assert self.sums is not None
        return self.sums / (self.queries.stop - self.queries.start)


def read_attention(capture: Capture, *kinds: Callable[[Capture], Reader]) -> list[Tensor]:
    """Computes the captured attention once and shows it to a reader of each kind; their results."""
    readers = [kind(capture) for kind in kinds]
    begin, end = min(r.queries.start for r in readers), max(r.queries.stop for r in readers)
    images, heads, tokens = capture.q[0].shape[:3]
    row = heads * tokens * capture.q[0].element_size()
    rows = min(max(WEIGHT_BYTES // row, 1), end - begin)
    several = min(max(WEIGHT_BYTES // (row * rows), 1), images)
    for position in reversed(range(len(capture.layers))):
        for i in range(0, images, several):
            for j in range(begin, end, rows):
                at, part = slice(i, min(i + several, images)), slice(j, min(j + rows, end))
                q, k = capture.q[position][at, :, part], capture.k[position][at]
                with torch.no_grad(), torch.autocast(q.device.type, enabled=False):
                    weights = attention_weights(q, k)
                    for reader in readers:
                        wanted = slice(max(j, reader.queries.start), min(part.stop, reader.queries.stop))
                        if wanted.start < wanted.stop:
                            reader.read(position, at, wanted, weights[:, :, wanted.start - j : wanted.stop - j])
    return [reader.result() for reader in readers]


def by_image(
    model: nn.Module, images: Tensor, kind: Callable[[Capture], Reader], layers: Iterable[int] | int | None = None
) -> Tensor:
    """What a kind of reader makes of each of (B, C, H, W) images, (B, …) on the CPU."""
    return torch.cat([read_attention(capture, kind)[0].cpu() for capture in captures(model, images, layers)])


def mean_over_images(model: nn.Module, images: Tensor, kind: Callable[[Capture], Reader]) -> Tensor:
    """Its mean over all images, summed in float64."""
    of_each = by_image(model, images, kind)
    return of_each.double().mean(0).to(of_each.dtype)


def as_vit(model: nn.Module) -> ViT:
    """The model itself; raises `ConfigError` for what has no attention to look at."""
    if isinstance(model, ViT):
        return model
    raise ConfigError(f"a {type(model).__name__} has no attention to look at; give a ViT or a hybrid")


def captures(
    model: nn.Module, images: Tensor, layers: Iterable[int] | int | None = None, *, tokens: bool = False
) -> Iterator[Capture]:
    """Runs the model over (B, C, H, W) normalised images, some at a time, up to the last of `layers` (None: all).

    As in evaluation; the model is left as it was. Raises `ConfigError` for a model without attention, layers that it
    does not have, and images that it cannot take.
    """
    model = as_vit(model)
    if any(module.training for module in model.modules()):
        model = evaluated(model)
    c, chosen = model.config, chosen_layers(model.config.depth, layers)
    check_images(images, c.channels)
    grid = patch_grid((images.shape[2], images.shape[3]), c.pixels_per_token)
    weight = model.patches.projection.weight
    state = 4 * (c.prefix + grid[0] * grid[1]) * c.width
    chunk = max(CAPTURE_BYTES // (state * max(len(chosen) * (2 + tokens), 8)), 1)
    for batch in torch.split(images, chunk):
        q, k, x, pooled = _record(model, batch.to(weight.device, weight.dtype), chosen, tokens)
        yield Capture(config=c, grid=grid, layers=chosen, q=q, k=k, tokens=x, pooled=pooled)


@torch.no_grad()
def _record(
    model: ViT, images: Tensor, layers: tuple[int, ...], tokens: bool
) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...], tuple[Tensor, ...], Tensor | None]:
    q: list[Tensor] = []
    k: list[Tensor] = []
    states: list[Tensor] = []
    pooling = model.head.attention if layers[-1] == model.config.depth - 1 else None
    z, places = model.embedded(images), model.places(images)  # (B, T, D), Equation 1
    for layer in range(layers[-1] + 1):
        block = cast(Block, model.encoder.blocks[layer])
        z = block.placed(z, places)
        query, key, value = block.attention.heads(block.norm1(z), None, places)
        if layer in layers:
            # Half precision becomes float32. Copies, because these are views of one tensor that holds v as well.
            wide = query.dtype if query.dtype == torch.float64 else torch.float32
            for kept, given in ((q, query), (k, key)):
                kept.append(given.to(wide, memory_format=torch.contiguous_format, copy=True))
        if layer == layers[-1] and not tokens and pooling is None:
            break
        z = block.add(z, block.attention.mix(query, key, value))  # Equations 2 and 3
        if tokens and layer in layers:
            states.append(z)
    pooled = None if pooling is None else pooling.weights(model.encoder.norm(z)[:, model.config.prefix :]).mean(1)
    return tuple(q), tuple(k), tuple(states), None if pooled is None else pooled.to(q[0].dtype)


def chosen_layers(depth: int, layers: Iterable[int] | int | None) -> tuple[int, ...]:
    """Ascending layers from 0, each once; raises `ConfigError` for one that a model of this depth does not have."""
    if layers is None:
        return tuple(range(depth))
    try:
        wanted = sorted({operator.index(n) for n in ([layers] if isinstance(layers, int) else layers)})
    except TypeError:
        wanted = []
    if not wanted or not 0 <= wanted[0] <= wanted[-1] < depth:
        raise ConfigError(f"layers is {layers!r}, expected whole numbers from 0 to {depth - 1}, or None for all")
    return tuple(wanted)
