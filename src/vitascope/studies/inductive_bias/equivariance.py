"""Translation equivariance: the representation of the shifted image against the shifted representation; and order.

Two windows of one larger picture, `shift` pixels apart down and to the right, are two shifted images without a pixel
invented. A layer whose cells are s pixels apart ought to shift by shift/s cells, a whole number here. Only cells that
both windows show are compared, without the outermost.

The error is the mean squared difference, divided by the mean squared difference of any two cells of the layer, over
all places, images and windows: 0 is equivariant, 1 is as different as two unrelated places.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vitascope.models.vit import ViT
from vitascope.streams import Stream, generator
from vitascope.studies.inductive_bias.layers import Layer, Watched, fixed_statistics, watch

Values = dict[str, float | None]
"""By the names of `settings.OF_LAYERS` or `OF_MODELS`; None where it cannot be said."""

BORDER = 2
"""Outermost cells left out on every side of a path from the image, most of what padding changes."""


Sums = tuple[float, int, Tensor, float, int]
"""Squared differences and how many; vectors, their squares and how many. Those of several batches add up."""


def sums(got: Tensor, expected: Tensor, places: Tensor) -> Sums:
    """Of (n, D) pairs that ought to be equal, and of (m, D) vectors whose spread is the yardstick."""
    apart, wide = got.double() - expected.double(), places.double().cpu()
    return float(apart.square().sum()), len(got), wide.sum(0), float(wide.square().sum()), len(places)


def sums_of_maps(first: Tensor, second: Tensor, cells: int, border: int) -> list[Sums]:
    """Of a layer's maps (B, D, h, w) of two windows, the second `cells` further down and right; none in common: none.

    The `border` outermost cells are left out, fewer where nothing would be left; padding shows in the yardstick too,
    where it would pass for variety.
    """
    h, w = (side - cells for side in first.shape[-2:])
    if min(h, w) <= 0:
        return []
    parts = second[..., :h, :w], first[..., cells:, cells:], first, second
    got, expected, *places = (_cells(part, border) for part in parts)
    return [sums(got, expected, torch.cat(places))]


def error_of(parts: Sequence[Sums]) -> float | None:
    """0 where all pairs are equal, 1 where they are like unrelated vectors; None where nothing differs at all."""
    if sum(part[4] for part in parts) < 2:
        return None
    apart, pairs, total, squares, n = (sum(column) for column in zip(*parts, strict=True))
    unrelated = 2 * (squares - n * float(torch.as_tensor(total / n).square().sum())) / (n - 1)
    # What is left of a constant is rounding, not spread.
    return apart / pairs / unrelated if unrelated > 1e-12 * squares / n else None


def change(got: Tensor, expected: Tensor) -> float | None:
    """`error_of` (n, D) vectors, one per image: 0 unchanged, 1 as different as another image."""
    return error_of([sums(got, expected, expected)])


def window(larger: Tensor, size: Sequence[int], shift: int) -> Tensor:
    """What (h, w) show of (B, C, H, W), `shift` pixels from the top and the left."""
    return larger[..., shift : shift + size[0], shift : shift + size[1]]


def _cells(x: Tensor, border: int) -> Tensor:
    for dim in (-2, -1):
        out = min(border, (x.shape[dim] - 1) // 2)
        x = x.narrow(dim, out, x.shape[dim] - 2 * out)
    return x.movedim(1, -1).flatten(0, 2)  # (B·h·w, D)


@torch.no_grad()
def errors_from_image(
    model: nn.Module, layers: Sequence[Layer], batches: Sequence[Tensor], step: int
) -> tuple[list[Values], Values]:
    """From the image to each layer, and of the features; `batches` (B, C, H + step, W + step) hold both windows.

    `step` is a multiple of every stride. None where the map is too small for it, or is the same everywhere.
    """
    size = [side - step for side in batches[0].shape[-2:]]
    parts: list[list[Sums]] = [[] for _ in layers]
    features: list[tuple[Tensor, Tensor]] = []
    for images in batches:
        (before, firsts), (after, seconds) = (watch(model, layers, window(images, size, at)) for at in (0, step))
        features.append((after, before))
        for first, second, of_layer in zip(firsts, seconds, parts, strict=True):
            of_layer += sums_of_maps(first.after, second.after, step // first.layer.stride, BORDER)
    after, before = map(torch.cat, zip(*features, strict=True))
    return [{"error_step": error_of(of_layer)} for of_layer in parts], {"shift_change": change(after, before)}


@torch.no_grad()
def errors_alone(model: nn.Module, layers: Sequence[Layer], larger: Tensor, step: int) -> list[Values]:
    """Of each layer by itself: its own input map, from images that are `step` pixels larger, in two windows.

    So it is not blamed for the layers before it. `step` is a multiple of every stride. None where the map is too small
    to tell. "fixed": with GroupNorm's statistics of the first window for both.
    """
    _, watched = watch(model, layers, larger)
    return [{"error_alone": _alone(s, step), "error_alone_fixed": _alone(s, step, fixed=True)} for s in watched]


def _alone(seen: Watched, step: int, *, fixed: bool = False) -> float | None:
    layer, cells = seen.layer, step // seen.layer.stride
    shift = cells * layer.reduces
    size = [side - shift for side in seen.before.shape[-2:]]
    with fixed_statistics(layer.module) if fixed else nullcontext():
        first, second = (seen.alone(window(seen.before, size, start)) for start in (0, shift))
    if min(first.shape[-2:]) - cells <= 2 * layer.padded:  # padding reaches every cell that both windows show
        return None
    return error_of(sums_of_maps(first, second, cells, layer.padded))


def orders(images: int, pieces: int, seed: int, first: int = 0) -> Tensor:
    """A random order of the pieces of each image, int64 (B, N), by the seed and its number, counted from `first`."""
    drawn = [generator(Stream.PIECES, seed, first + i).permutation(pieces) for i in range(images)]
    return torch.from_numpy(np.stack(drawn))


def shuffled(images: Tensor, cell: int, seed: int, first: int = 0) -> Tensor:
    """(B, C, H, W) images cut into squares of `cell` pixels, at least two, which are put back in random order.

    So local texture is left and the arrangement is not. What does not fill a square at the right and the bottom stays.
    `first` is the number of the first image.
    """
    height, width = (side // cell * cell for side in images.shape[2:])
    pieces = F.unfold(images[..., :height, :width], cell, stride=cell)  # (B, C·cell², N)
    order = orders(len(images), pieces.shape[2], seed, first).to(images.device)
    mixed = pieces.gather(2, order[:, None].expand_as(pieces))
    result = images.clone()
    result[..., :height, :width] = F.fold(mixed, (height, width), cell, stride=cell)
    return result


def features_of_reordered_tokens(model: ViT, images: Tensor, seed: int, first: int = 0) -> Tensor:
    """Features of (B, C, H, W) images, (B, D'), with the patch tokens reordered after they got their positions.

    This tells whether anything after the embedding knows what is beside what.
    """
    prefix, z = model.config.prefix, model.embedded(images)  # (B, T, D)
    order = orders(len(z), z.shape[1] - prefix, seed, first).to(z.device)
    moved = z[:, prefix:].gather(1, order[..., None].expand(-1, -1, z.shape[2]))
    return model.head.features(model.encoder(torch.cat([z[:, :prefix], moved], dim=1)))
