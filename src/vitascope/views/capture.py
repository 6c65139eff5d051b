"""What every view starts from: q, k and the tokens of the layers asked for, a few images at a time.

Attention matrices are never kept. They are computed from q and k, part by part, where a view reads them, so that
memory is bounded whatever the number of images and layers. The model itself runs as always, with its fused kernel.
"""

from __future__ import annotations

import operator
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Protocol, cast

import torch
from torch import Tensor, nn

from vitascope.errors import ConfigError
from vitascope.layers.attention import attention_weights
from vitascope.layers.encoder import Block
from vitascope.layers.patches import Size, patch_grid
from vitascope.models.config import ViTConfig
from vitascope.models.vit import ViT

CAPTURE_BYTES = 64 * 2**20
"""About this much of q, k and tokens is recorded at a time, one image at least; the part before may still be held."""
WEIGHT_BYTES = 16 * 2**20
"""About this much of attention weights is computed at a time, one query of one image at least."""

Progress = Callable[[int], None]
_one_at_a_time = threading.Lock()


class _Enough(Exception):
    """Leaves the last layer asked for as soon as its q and k are known."""


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
    images: int
    """B."""

    @property
    def patches(self) -> slice:
        """Where the patches stand among the tokens: after the class token and the registers."""
        return slice(self.config.prefix, None)

    @property
    def readers(self) -> slice:
        """The tokens that the head reads: the class token, or all patches where it pools their mean."""
        return slice(0, 1) if "token" in self.config.pooling else self.patches

    def weights(self, position: int, queries: slice | None = None) -> Iterator[tuple[slice, slice, Tensor]]:
        """Attention of the layer `layers[position]` in parts: (images, queries, weights (b, h, t, T)).

        The slices tell which images a part holds, and which tokens as queries; `queries` None: all.
        """
        q, k = self.q[position], self.k[position]
        images, heads, tokens = q.shape[:3]
        begin, end, _ = slice(None).indices(tokens) if queries is None else queries.indices(tokens)
        row = heads * tokens * q.element_size()
        rows = min(max(WEIGHT_BYTES // row, 1), end - begin)
        several = min(max(WEIGHT_BYTES // (row * rows), 1), images)
        for i in range(0, images, several):
            for j in range(begin, end, rows):
                at, part = slice(i, min(i + several, images)), slice(j, min(j + rows, end))
                with torch.no_grad(), torch.autocast(q.device.type, enabled=False):
                    weights = attention_weights(q[at, :, part], k[at])
                yield at, part, weights

    def zeros(self, *shape: int) -> Tensor:
        """For results: on the recorded tensors' device and of their dtype."""
        return self.q[0].new_zeros(shape)


class Reader(Protocol):
    """Makes a view of attention that it is shown part by part, each part once, the last layer first."""

    def read(self, position: int, images: slice, queries: slice, weights: Tensor) -> None:
        """Takes in a part of the layer `layers[position]`, as `Capture.weights` hands it out."""

    def result(self) -> Tensor:
        """The view of each captured image, after the last part."""


def read_attention(capture: Capture, *readers: Reader, queries: slice | None = None) -> list[Tensor]:
    """Computes the captured attention once and shows it to all readers; their results."""
    for position in reversed(range(len(capture.layers))):
        for images, part, weights in capture.weights(position, queries):
            for reader in readers:
                reader.read(position, images, part, weights)
    return [reader.result() for reader in readers]


def as_vit(model: nn.Module) -> ViT:
    """The model itself; raises `ConfigError` for what has no attention to look at."""
    if isinstance(model, ViT):
        return model
    raise ConfigError(f"a {type(model).__name__} has no attention to look at; give a ViT or a hybrid")


def captures(
    model: nn.Module,
    images: Tensor,
    layers: Iterable[int] | int | None = None,
    *,
    attention: bool = True,
    tokens: bool = False,
    each_chunk: Progress | None = None,
) -> Iterator[Capture]:
    """Runs the model over (B, C, H, W) normalised images, some at a time, up to the last of `layers` (None: all).

    The model is left as it was, also after an error; between two captures it is untouched. `each_chunk` is told how
    many images are done. Raises `ConfigError` for a model without attention, layers that it does not have, and images
    that it cannot take.
    """
    model = as_vit(model)
    chosen = chosen_layers(model, layers)
    grid = _checked_grid(model, images)
    weight = model.patches.projection.weight
    chunk = _images_at_once(model.config, grid, len(chosen), attention, tokens)
    for first in range(0, images.shape[0], chunk):
        batch = images[first : first + chunk].to(weight.device, weight.dtype)
        q, k, x = _record(model, batch, grid, chosen, attention, tokens)
        yield Capture(config=model.config, grid=grid, layers=chosen, q=q, k=k, tokens=x, images=len(batch))
        if each_chunk is not None:
            each_chunk(first + len(batch))


def mean_over_images(
    model: nn.Module,
    images: Tensor,
    by_image: Callable[[Capture], Tensor],
    each_chunk: Progress | None = None,
) -> Tensor:
    """Mean over (B, C, H, W) images of what `by_image` says of each captured one, (B, …) → (…), summed in float64."""
    total, count = torch.zeros((), dtype=torch.float64), 0
    dtype = torch.float32
    for capture in captures(model, images, each_chunk=each_chunk):
        of_each = by_image(capture)
        total, count, dtype = total + of_each.double().sum(0).cpu(), count + capture.images, of_each.dtype
    return (total / count).to(dtype)


def chosen_layers(model: ViT, layers: Iterable[int] | int | None) -> tuple[int, ...]:
    """Ascending layers from 0, each once; raises `ConfigError` for one that the model does not have."""
    depth = model.config.depth
    if layers is None:
        return tuple(range(depth))
    try:
        wanted = [operator.index(n) for n in ([layers] if isinstance(layers, int) else layers)]
    except TypeError:
        raise ConfigError(f"layers is {layers!r}, expected whole numbers from 0 to {depth - 1}, or None") from None
    for layer in wanted:
        if not 0 <= layer < depth:
            raise ConfigError(f"layer {layer} of a model with {depth} layers; expected numbers from 0 to {depth - 1}")
    if not wanted:
        raise ConfigError(f"layers is empty, expected numbers from 0 to {depth - 1}, or None for all")
    return tuple(sorted(set(wanted)))


def _record(
    model: ViT, images: Tensor, grid: Size, layers: tuple[int, ...], attention: bool, tokens: bool
) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...], tuple[Tensor, ...]]:
    q: list[Tensor] = []
    k: list[Tensor] = []
    states: list[Tensor] = []

    def record(query: Tensor, key: Tensor) -> None:
        # Half precision becomes float32. Copies, because these are views of one tensor that holds v as well.
        for kept, given in ((q, query), (k, key)):
            wide = given.dtype if given.dtype == torch.float64 else torch.float32
            kept.append(given.to(wide, memory_format=torch.contiguous_format, copy=True))
        if len(q) == len(layers) and not tokens:
            raise _Enough

    with (
        torch.no_grad(),
        evaluating(model),
        _recording(model, layers if attention else (), record),
        suppress(_Enough),
    ):
        x = images if model.stem is None else model.stem(images)
        x = model.embedding(model.patches(x), grid)  # (B, T, D), Equation 1
        for layer in range(layers[-1] + 1):
            x = model.encoder.blocks[layer](x)  # Equations 2 and 3
            if tokens and layer in layers:
                states.append(x)
    return tuple(q), tuple(k), tuple(states)


@contextmanager
def _recording(model: ViT, layers: tuple[int, ...], record: Callable[[Tensor, Tensor], None]) -> Iterator[None]:
    """Hands q and k of `layers` to `record`, from this thread's pass only: others may be predicting meanwhile."""
    here = threading.get_ident()

    def mine(q: Tensor, k: Tensor) -> None:
        if threading.get_ident() == here:
            record(q, k)

    with _one_at_a_time:
        attentions = [cast(Block, model.encoder.blocks[layer]).attention for layer in layers]
        before = [attention.recorder for attention in attentions]
        try:
            for attention in attentions:
                attention.recorder = mine
            yield
        finally:
            for attention, recorder in zip(attentions, before, strict=True):
                attention.recorder = recorder


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Without dropout; afterwards every module is in its own mode again."""
    training = [module for module in model.modules() if module.training]
    try:
        if training:
            model.eval()
        yield
    finally:
        for module in training:
            module.training = True


def _checked_grid(model: ViT, images: Tensor) -> Size:
    channels = model.config.channels
    if not isinstance(images, Tensor) or images.ndim != 4 or images.shape[1] != channels or not len(images):
        shape = tuple(images.shape) if isinstance(images, Tensor) else type(images).__name__
        raise ConfigError(f"images are {shape}, expected a tensor (1 or more, {channels}, height, width)")
    if not images.is_floating_point():
        raise ConfigError(f"images are {images.dtype}, expected normalised floats; use checkpoint.preprocess(image)")
    return patch_grid((images.shape[2], images.shape[3]), model.config.pixels_per_token)


def _images_at_once(c: ViTConfig, grid: Size, layers: int, attention: bool, tokens: bool) -> int:
    states = (c.prefix + grid[0] * grid[1]) * c.width * 4
    kept = layers * states * (2 * attention + tokens)
    return max(CAPTURE_BYTES // max(kept, 8 * states), 1)
