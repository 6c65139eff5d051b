"""Receptive fields: which pixels a layer's centre cell depends on, and on which it depends much.

As Luo et al. (2016), from the gradient of the centre cell. The cell's D values are weighted by independent normal
numbers, so that the squared gradient is, on average, the squared norm of the cell's Jacobian: its energy, by pixel.
Every image counts alike. GroupNorm's statistics tie each cell to all of the map: the extent is found with them held
fixed, the energy with them as they are, and how much of it lies outside the extent is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vitascope.errors import ConfigError
from vitascope.layers.config import Size
from vitascope.streams import Stream, seed_of
from vitascope.studies.inductive_bias.maps import Layer, Watched, fixed_statistics, watch
from vitascope.views.capture import evaluating


@dataclass(frozen=True, kw_only=True)
class Field:
    """What the centre cell of a layer sees."""

    extent: Size
    """Height and width in pixels of the box around all that it depends on, as far as the image goes."""
    radius: float
    """RMS distance of the energy from its own centre, pixels."""
    radius_share: float
    """The radius relative to that of an energy spread evenly over the image."""
    area_50: float
    """Share of the image's pixels that hold half of the energy, the strongest first."""
    area_90: float
    """Likewise 90 % of it."""
    outside: float
    """Share of the energy beyond the extent: GroupNorm's statistics."""


class ReceptiveFields:
    """The field of every layer, fed batch by batch."""

    def __init__(self, model: nn.Module, layers: Sequence[Layer], seed: int = 0) -> None:
        self.model, self.layers = model, layers
        self._random = torch.Generator().manual_seed(seed_of(Stream.CELL_WEIGHTS, seed))
        self._energy: list[Tensor] = []
        self._reached: list[Tensor] = []
        self._normalised = any(isinstance(module, nn.GroupNorm) for module in model.modules())

    def add(self, images: Tensor) -> None:
        """Takes in (B, C, H, W) images, all of one size."""
        energies = self._gradients(images, fixed=False)
        if not self._reached:  # what is wired is wired in every image
            self._reached = [e > 0 for e in (self._gradients(images, fixed=True) if self._normalised else energies)]
            self._reached = [mask.any(dim=0).cpu() for mask in self._reached]
            self._energy = [torch.zeros(mask.shape, dtype=torch.float64) for mask in self._reached]
        for total, energy in zip(self._energy, energies, strict=True):
            of_each = energy.sum(dim=(1, 2), keepdim=True)
            total += torch.where(of_each > 0, energy / of_each, 0.0).sum(dim=0).cpu()

    def fields(self) -> list[Field]:
        """One for each layer; raises `ConfigError` before any image was added."""
        if not self._energy:
            raise ConfigError("a receptive field of no images; add one or more")
        return [field_of(energy, reached) for energy, reached in zip(self._energy, self._reached, strict=True)]

    def _gradients(self, images: Tensor, *, fixed: bool) -> list[Tensor]:
        """Energy by pixel of the centre cell of every layer, each float64 (B, H, W)."""
        images = images.detach().clone().requires_grad_()
        # cuDNN may choose a convolution that leaves rounding where there is no wire at all.
        with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
            with fixed_statistics(self.model) if fixed else nullcontext():
                _, watched = watch(self.model, self.layers, images)
            return [energy_of(seen.after, images, self._random) for seen in watched]


def energy_of(after: Tensor, before: Tensor, random: torch.Generator) -> Tensor:
    """Squared gradient of a randomly weighted centre cell of `after` (B, D, h, w) by cell of `before`, (B, H, W)."""
    centre = after[:, :, after.shape[2] // 2, after.shape[3] // 2]  # (B, D)
    weights = torch.randn(centre.shape, generator=random).to(centre)
    (gradient,) = torch.autograd.grad((centre * weights).sum(), before, retain_graph=True)
    return gradient.double().square().sum(dim=1)


def extents_alone(model: nn.Module, layers: Sequence[Layer], images: Tensor) -> list[tuple[Size, Size]]:
    """(box around the cells of its input that the centre cell of each layer depends on, all of its input), in cells.

    With GroupNorm's statistics held fixed.
    """
    with torch.no_grad():
        _, watched = watch(model, layers, images)
    random = torch.Generator().manual_seed(seed_of(Stream.CELL_WEIGHTS, 0))
    with evaluating(model), torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
        return [_extent_alone(seen, random) for seen in watched]


def _extent_alone(seen: Watched, random: torch.Generator) -> tuple[Size, Size]:
    before = seen.before.detach().clone().requires_grad_()
    with fixed_statistics(seen.layer.module):
        energy = energy_of(seen.layer.alone(before, seen.first), before, random)
    return extent_of((energy > 0).any(dim=0)), (before.shape[2], before.shape[3])


def field_of(energy: Tensor, reached: Tensor) -> Field:
    """The field of an energy (H, W) of any scale, and of the pixels that are reached at all, bool (H, W)."""
    energy = energy.double() / energy.sum()
    rows, columns = _box(reached)
    even = torch.ones_like(energy)
    return Field(
        extent=extent_of(reached),
        radius=radius_of(energy),
        radius_share=radius_of(energy) / max(radius_of(even), 1e-12),
        area_50=area_of(energy, 0.5),
        area_90=area_of(energy, 0.9),
        outside=max(1.0 - float(energy[rows, columns].sum()), 0.0),
    )


def extent_of(reached: Tensor) -> Size:
    """Height and width of the box around what is True in (H, W)."""
    rows, columns = _box(reached)
    return rows.stop - rows.start, columns.stop - columns.start


def radius_of(energy: Tensor) -> float:
    """RMS distance of an energy (H, W) from its own centre, in pixels."""
    energy = energy.double() / energy.sum()
    squared = 0.0
    for dim in (0, 1):
        along = energy.sum(dim=1 - dim)
        place = torch.arange(len(along), dtype=torch.float64)
        squared += float((along * (place - (along * place).sum()).square()).sum())
    return squared**0.5


def area_of(energy: Tensor, share: float) -> float:
    """Share of all pixels of (H, W), the strongest first, that together hold this share of the energy."""
    ordered = energy.double().flatten().sort(descending=True).values.cumsum(0)
    # Rounding must not ask for a pixel more than it takes.
    needed = int((ordered < share * ordered[-1] * (1 - 1e-9)).sum()) + 1
    return needed / ordered.numel()


def _box(reached: Tensor) -> tuple[slice, slice]:
    if not reached.any():
        return slice(0, 0), slice(0, 0)
    sides = (torch.nonzero(reached.any(dim=1 - dim)).flatten() for dim in (0, 1))
    rows, columns = (slice(int(side[0]), int(side[-1]) + 1) for side in sides)
    return rows, columns
