"""Tables of names and layouts between our tensors and a foreign format's, read in both directions.

One `Row` says which foreign tensors make up one of ours. Reading and writing walk the same rows, so that a
format is described once and a round trip gives back every bit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from vitascope.errors import CheckpointError
from vitascope.models.catalogue import empty_model
from vitascope.models.config import ModelConfig

Shape = tuple[int, ...]
_FLOATS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)


@dataclass(frozen=True)
class Row:
    """One tensor of ours and the foreign ones, one below the other along the first axis, that hold its values."""

    own: str
    """Name in our state dict."""
    foreign: tuple[str, ...]
    """Names in the foreign file; query, key and value are three there and one here."""
    shape: Shape | None = None
    """Shape of each foreign tensor; None: our share of it, its axes put back by `axes`."""
    axes: tuple[int, ...] | None = None
    """Order of the foreign axes that gives ours; None: as they are."""

    def foreign_shape(self, own_shape: Shape) -> Shape:
        """Shape that each foreign tensor must have, given the shape of ours."""
        if self.shape is not None:
            return self.shape
        share = (own_shape[0] // len(self.foreign), *own_shape[1:]) if len(self.foreign) > 1 else own_shape
        if self.axes is None:
            return share
        return tuple(share[self.axes.index(axis)] for axis in range(len(share)))


def row(own: str, *foreign: str, shape: Shape | None = None, axes: tuple[int, ...] | None = None) -> Row:
    """`Row` in the words of a table."""
    return Row(own, foreign, shape, axes)


def pair(own: str, foreign: str) -> list[Row]:
    """The rows of a weight and a bias whose layouts are ours."""
    return [row(f"{own}.weight", f"{foreign}.weight"), row(f"{own}.bias", f"{foreign}.bias")]


def own_shapes(config: ModelConfig) -> dict[str, Shape]:
    """Name → shape of every tensor of a model, without taking memory for it."""
    return {name: tuple(tensor.shape) for name, tensor in empty_model(config).state_dict().items()}


def to_own(rows: Sequence[Row], tensors: Mapping[str, Tensor], config: ModelConfig, path: Path) -> dict[str, Tensor]:
    """Foreign tensors → our state dict in float32, each tensor with its own memory.

    Raises `CheckpointError` that lists everything missing, extra, misshapen, not float or not finite at once.
    """
    shapes = own_shapes(config)
    rows = _needed(rows, shapes)
    wanted = {name: r.foreign_shape(shapes[r.own]) for r in rows for name in r.foreign}
    check_tensors(tensors, wanted, path)
    own: dict[str, Tensor] = {}
    for r in rows:
        parts = [tensors[name].to(torch.float32) for name in r.foreign]
        if r.axes is not None:
            parts = [part.permute(r.axes) for part in parts]
        joined = torch.cat(parts) if len(parts) > 1 else parts[0]
        own[r.own] = joined.reshape(shapes[r.own]).clone(memory_format=torch.contiguous_format)
    return own


def to_foreign(rows: Sequence[Row], own: Mapping[str, Tensor], config: ModelConfig) -> dict[str, Tensor]:
    """Our state dict → foreign tensors in the order of the rows."""
    shapes = own_shapes(config)
    foreign: dict[str, Tensor] = {}
    for r in _needed(rows, shapes):
        shape = r.foreign_shape(shapes[r.own])
        for name, part in zip(r.foreign, own[r.own].detach().cpu().chunk(len(r.foreign)), strict=True):
            if r.axes is not None:
                part = part.reshape([shape[axis] for axis in r.axes])
                part = part.permute([r.axes.index(axis) for axis in range(len(shape))])
            foreign[name] = part.reshape(shape).clone(memory_format=torch.contiguous_format)
    return foreign


def check_tensors(tensors: Mapping[str, Tensor], wanted: Mapping[str, Shape], path: Path) -> None:
    """Raises one `CheckpointError` that lists all missing, extra, misshapen, non-float and non-finite tensors."""
    missing = [name for name in wanted if name not in tensors]
    extra = [name for name in tensors if name not in wanted]
    both = [name for name in wanted if name in tensors]
    misshapen = [
        f"{name} is {_x(tensors[name].shape)}, expected {_x(wanted[name])}"
        for name in both
        if tuple(tensors[name].shape) != tuple(wanted[name])
    ]
    kinds = [f"{name} is {str(tensors[name].dtype)[6:]}" for name in both if tensors[name].dtype not in _FLOATS]
    problems = [
        f"{what}: {', '.join(names)}"
        for what, names in (
            ("missing", missing),
            ("not part of this model", extra),
            ("wrong shape", misshapen),
            ("not floating point", kinds),
        )
        if names
    ]
    if problems:
        raise CheckpointError(
            f"{path}: the tensors do not fit the model that the file describes; {'; '.join(problems)}"
        )
    refuse_not_finite(((name, tensors[name]) for name in both), path)


def refuse_not_finite(tensors: Iterable[tuple[str, Tensor]], path: Path) -> None:
    """Raises `CheckpointError` naming every tensor that holds NaN or infinite values."""
    bad = []
    for name, tensor in tensors:
        count = tensor.numel() - int(torch.isfinite(tensor.float()).sum())  # 1e300 is finite in float64 alone
        if count:
            bad.append(f"{name} ({count} of {tensor.numel()})")
    if bad:
        raise CheckpointError(
            f"{path}: weights are NaN or infinite in {', '.join(bad)}; take a checkpoint from before it diverged"
        )


def _needed(rows: Sequence[Row], shapes: Mapping[str, Shape]) -> list[Row]:
    # A table may list parts that this config has not; what the config has, the table must list once.
    used = [r for r in rows if r.own in shapes]
    covered = sorted(r.own for r in used)
    if covered != sorted(shapes):
        raise AssertionError(f"key table covers {set(covered) ^ set(shapes)} not exactly once")
    return used


def _x(shape: Iterable[int]) -> str:
    return "×".join(str(n) for n in shape) or "a single number"
