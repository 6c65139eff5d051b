"""Translation equivariance: the representation of the shifted image against the shifted representation.

Two windows of one larger picture, `shift` pixels apart down and to the right, are two shifted images without a pixel
invented. A layer whose cells are s pixels apart ought to shift by shift/s cells; where that is no whole number, the
cells between are interpolated bilinearly. Only cells that both windows show are compared, without the outermost.

The error is the mean squared difference, divided by the mean squared difference of any two cells of the layer, over
all places, images and windows: 0 is equivariant, 1 is as different as two unrelated places.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vitascope.errors import ConfigError
from vitascope.layers.config import Size
from vitascope.studies.inductive_bias.maps import Layer, Watched, fixed_statistics, watch
from vitascope.views.capture import evaluating

BORDER = 2
"""Outermost cells left out on every side of a path from the image, most of what padding changes."""


class Comparison:
    """Mean squared difference of vectors that ought to be equal, relative to that of unrelated ones."""

    def __init__(self) -> None:
        self._apart, self._pairs = 0.0, 0
        self._sum: Tensor | float = 0.0
        self._squares, self._count = 0.0, 0

    def add(self, got: Tensor, expected: Tensor, places: Tensor) -> None:
        """Takes in (n, D) pairs, and (m, D) vectors whose spread is the yardstick."""
        self._apart += float((got.double() - expected.double()).square().sum())
        self._pairs += len(got)
        wide = places.double().cpu()
        self._sum = self._sum + wide.sum(0)
        self._squares += float(wide.square().sum())
        self._count += len(places)

    def error(self) -> float | None:
        """0 where all pairs are equal, 1 where they are like unrelated vectors; None where nothing differs at all."""
        n = self._count
        if self._pairs == 0 or n < 2:
            return None
        mean = torch.as_tensor(self._sum) / n
        unrelated = 2 * (self._squares - n * float(mean.square().sum())) / (n - 1)
        # What is left of a constant is rounding, not spread.
        return self._apart / self._pairs / unrelated if unrelated > 1e-12 * self._squares / n else None


def change(got: Tensor, expected: Tensor) -> float | None:
    """`Comparison.error` of (n, D) vectors, one per image: 0 unchanged, 1 as different as another image."""
    comparison = Comparison()
    comparison.add(got, expected, expected)
    return comparison.error()


def shifted(x: Tensor, cells: float, *, circular: bool = False) -> Tensor:
    """A map (B, D, h, w) shifted up and to the left by `cells` ≥ 0, interpolated bilinearly.

    Without `circular`, ⌈cells⌉ rows and columns fewer, none of them invented. Raises `ConfigError` where none is left.
    """
    whole, part = math.floor(cells), cells - math.floor(cells)
    if not circular and min(x.shape[-2:]) <= math.ceil(cells):
        raise ConfigError(f"a map of {x.shape[-2]}×{x.shape[-1]} cells shifted by {cells:g}; take larger images")
    for dim in (-2, -1):
        if circular:
            near, far = x.roll(-whole, dim), x.roll(-whole - 1, dim)
        else:
            length = x.shape[dim] - math.ceil(cells)
            near, far = x.narrow(dim, whole, length), x.narrow(dim, math.ceil(cells), length)
        x = near if part == 0 else near.lerp(far, part)
    return x


def compare(
    first: Tensor, second: Tensor, cells: float, border: int, to: Comparison, *, circular: bool = False
) -> None:
    """Adds a layer's maps (B, D, h, w) of two windows, the second `cells` further down and right, to `to`.

    The `border` outermost cells are left out, fewer where nothing would be left. With `circular`, all count.
    """
    expected = shifted(first, cells, circular=circular)
    got = second[..., : expected.shape[-2], : expected.shape[-1]]
    if not circular:  # padding shows in the yardstick too, where it would pass for variety
        got, expected, first, second = (_inside(x, border) for x in (got, expected, first, second))
    to.add(_cells(got), _cells(expected), torch.cat([_cells(first), _cells(second)]))


def windows(larger: Tensor, size: Size, shift: int) -> tuple[Tensor, Tensor]:
    """Two windows of this size in (B, C, H + m, W + m) images, `shift` ≤ m pixels apart down and to the right."""
    (h, w), room = size, min(larger.shape[-2] - size[0], larger.shape[-1] - size[1])
    if not 0 <= shift <= room:
        raise ConfigError(f"windows of {h}×{w} shifted by {shift} in images that leave room for {room} pixels")
    return larger[..., :h, :w], larger[..., shift : shift + h, shift : shift + w]


class Equivariance:
    """Error of every layer for several shifts; fed batch by batch."""

    def __init__(self, model: nn.Module, layers: Sequence[Layer], shifts: Sequence[int], size: Size) -> None:
        if not shifts or min(shifts) < 1 or max(shifts) >= min(size):
            raise ConfigError(f"shifts {list(shifts)} of images of {size[0]}×{size[1]}, expected 1 to less than a side")
        self.model, self.layers, self.shifts, self.size = model, layers, tuple(shifts), size
        self.by_layer = {layer: {shift: Comparison() for shift in shifts} for layer in layers}
        self.outputs: dict[int, list[tuple[Tensor, Tensor]]] = {shift: [] for shift in shifts}
        """The model's features of both windows, by shift and batch."""

    @torch.no_grad()
    def add(self, larger: Tensor, *, circular: bool = False) -> None:
        """Takes in images (B, C, H + m, W + m) with room for all shifts; with `circular`, (B, C, H, W) turned round."""
        start = larger if circular else windows(larger, self.size, 0)[0]
        before, firsts = watch(self.model, self.layers, start)
        for shift in self.shifts:
            moved = start.roll((-shift, -shift), (-2, -1)) if circular else windows(larger, self.size, shift)[1]
            after, seconds = watch(self.model, self.layers, moved)
            for first, second in zip(firsts, seconds, strict=True):
                cells = shift / first.layer.stride
                if circular or min(first.after.shape[-2:]) > math.ceil(cells):
                    to = self.by_layer[first.layer][shift]
                    compare(first.after, second.after, cells, BORDER, to, circular=circular)
            self.outputs[shift].append((before, after))

    def errors(self, layer: Layer) -> dict[int, float | None]:
        """By shift; None where the map is too small for the shift, or is the same everywhere."""
        return {shift: comparison.error() for shift, comparison in self.by_layer[layer].items()}


@torch.no_grad()
def errors_alone(
    model: nn.Module, layers: Sequence[Layer], larger: Tensor, step: int, *, fixed: bool = False
) -> list[float | None]:
    """Error of each layer by itself: its own input map, from images that are `step` pixels larger, in two windows.

    So it is not blamed for the layers before it. `step` is a multiple of every stride. `fixed`: with GroupNorm's
    statistics of the first window for both (`fixed_statistics`). None where the map is too small to tell.
    """
    _, watched = watch(model, layers, larger)
    with evaluating(model):
        return [_alone(seen, step, fixed) for seen in watched]


def _alone(seen: Watched, step: int, fixed: bool) -> float | None:
    layer, comparison = seen.layer, Comparison()
    cells, shift = step // layer.stride, step * layer.reduces // layer.stride
    if cells * layer.stride != step:
        raise ConfigError(f"a step of {step} pixels is no multiple of {layer.stride}, the cells of {layer.name}")
    height, width = (side - shift for side in seen.before.shape[-2:])
    first, second = windows(seen.before, (height, width), shift)
    if fixed:
        with fixed_statistics(layer.module):
            maps = layer.alone(first, seen.first), layer.alone(second, seen.first)
    else:
        maps = layer.alone(first, seen.first), layer.alone(second, seen.first)
    if min(maps[0].shape[-2:]) - cells <= 2 * layer.padded:
        return None  # padding reaches every cell that both windows show
    compare(*maps, cells, layer.padded, comparison)
    return comparison.error()


def _inside(x: Tensor, border: int) -> Tensor:
    for dim in (-2, -1):
        out = min(border, (x.shape[dim] - 1) // 2)
        x = x.narrow(dim, out, x.shape[dim] - 2 * out)
    return x


def _cells(x: Tensor) -> Tensor:
    return x.movedim(1, -1).flatten(0, 2)  # (B·h·w, D)
