"""Receptive fields: which pixels a layer's centre cell depends on, and on which it depends much.

As Luo et al. (2016), from the gradient of the centre cell. The cell's D values are weighted by independent normal
numbers, so that the squared gradient is, on average, the squared norm of the cell's Jacobian: its energy, by pixel.
Every image counts alike. GroupNorm's statistics tie each cell to all of the map: the extent is found with them held
fixed, the energy with them as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext

import torch
from torch import Tensor, nn

from vitascope.layers.config import Size
from vitascope.streams import Stream, seed_of
from vitascope.studies.inductive_bias.equivariance import Values
from vitascope.studies.inductive_bias.layers import Layer, fixed_statistics, watch


def extents_alone(model: nn.Module, layers: Sequence[Layer], images: Tensor) -> list[Values]:
    """Of each layer by itself, in cells: the box around what its centre cell depends on, and all of its input."""
    with torch.no_grad():
        _, watched = watch(model, layers, images)
    random = torch.Generator().manual_seed(seed_of(Stream.CELL_WEIGHTS, 0))
    extents: list[Values] = []
    with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
        for seen in watched:
            before = seen.before.detach().clone().requires_grad_()
            with fixed_statistics(seen.layer.module):
                energy = energy_of(seen.alone(before), before, random)
            rows, columns = extent_of((energy > 0).any(dim=0))
            sides = {"input_rows": before.shape[2], "input_columns": before.shape[3]}
            extents.append({"alone_rows": rows, "alone_columns": columns, **sides})
    return extents


def receptive_fields(
    model: nn.Module, layers: Sequence[Layer], batches: Sequence[Tensor], seed: int = 0
) -> list[Values]:
    """Of the centre cell of each layer, over batches (B, C, H, W) of images of one size."""
    random = torch.Generator().manual_seed(seed_of(Stream.CELL_WEIGHTS, seed))

    def energies(images: Tensor, *, fixed: bool) -> list[Tensor]:
        images = images.detach().clone().requires_grad_()
        # cuDNN may choose a convolution that leaves rounding where there is no wire at all.
        with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
            with fixed_statistics(model) if fixed else nullcontext():
                _, watched = watch(model, layers, images)
            return [energy_of(seen.after, images, random) for seen in watched]

    extents: list[Size] = []
    totals = [torch.zeros(batches[0].shape[-2:], dtype=torch.float64) for _ in layers]
    for images in batches:
        natural = energies(images, fixed=False)
        if not extents:  # what is wired is wired in every image
            normalised = any(isinstance(module, nn.GroupNorm) for module in model.modules())
            wired = energies(images, fixed=True) if normalised else natural
            extents = [extent_of((energy > 0).any(dim=0)) for energy in wired]
        for total, energy in zip(totals, natural, strict=True):
            of_each = energy.sum(dim=(1, 2), keepdim=True)
            total += torch.where(of_each > 0, energy / of_each, 0.0).sum(dim=0).cpu()
    widest = max(radius_of(torch.ones_like(totals[0])), 1e-12)
    return [
        {"field_rows": rows, "field_columns": columns, "field_radius": radius, "field_radius_share": radius / widest}
        for (rows, columns), radius in zip(extents, map(radius_of, totals), strict=True)
    ]


def energy_of(after: Tensor, before: Tensor, random: torch.Generator) -> Tensor:
    """Squared gradient of a randomly weighted centre cell of `after` (B, D, h, w) by cell of `before`, (B, H, W)."""
    centre = after[:, :, after.shape[2] // 2, after.shape[3] // 2]  # (B, D)
    weights = torch.randn(centre.shape, generator=random).to(centre)
    (gradient,) = torch.autograd.grad((centre * weights).sum(), before, retain_graph=True)
    return gradient.double().square().sum(dim=1)


def extent_of(reached: Tensor) -> Size:
    """Height and width of the box around what is True in (H, W)."""
    rows, columns = (torch.nonzero(reached.any(dim=1 - dim)).flatten() for dim in (0, 1))
    return (int(rows[-1] - rows[0]) + 1, int(columns[-1] - columns[0]) + 1) if len(rows) else (0, 0)


def radius_of(energy: Tensor) -> float:
    """RMS distance of an energy (H, W) from its own centre, in pixels."""
    energy = energy.double() / energy.sum()
    squared = 0.0
    for dim in (0, 1):
        along = energy.sum(dim=1 - dim)
        place = torch.arange(len(along), dtype=torch.float64)
        squared += float((along * (place - (along * place).sum()).square()).sum())
    return squared**0.5
