"""Between our tensors and a foreign format's: one table of names, read in both directions, so that no bit is lost."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
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
class Kept:
    """How a format keeps one of our tensors."""

    names: tuple[str, ...]
    """In the file, one below the other along our first axis; query, key and value are three there and one here."""
    shape: Shape
    """Of each in the file."""
    axes: tuple[int, ...]
    """Order of the file's axes that gives ours."""


def as_in_torch(own: str, shape: Shape) -> tuple[str, Shape | None, tuple[int, ...] | None]:
    """The leaf of PyTorch's own names and layouts."""
    return f".{own.rpartition('.')[2]}", None, None


@dataclass(frozen=True)
class Layout:
    """Names and layouts of a whole format."""

    names: Mapping[str, str | tuple[str, ...]]
    """Our module or tensor, "*" for each number → theirs, "{0}", "{1}" for the numbers; of two "{2}", "{3}" count from
    one."""
    leaf: Callable[[str, Shape], tuple[str, Shape | None, tuple[int, ...] | None]] = as_in_torch
    """Our name and shape → what follows a module's name there, shape (None: ours, by the axes), axes (None: ours)."""

    def kept(self, own: str, shape: Shape) -> Kept | None:
        """Where our tensor of this shape is kept; None where the format has no name for it."""
        numbers = [int(n) for n in re.findall(r"(?<=\.)\d+(?=\.)", own)]
        path = re.sub(r"(?<=\.)\d+(?=\.)", "*", own)
        end, stored, axes = self.leaf(path, shape)
        theirs = self.names.get(path)
        if theirs is None:
            theirs = self.names.get(path.rpartition(".")[0])
        else:
            end = ""
        if theirs is None:
            return None
        theirs = (theirs,) if isinstance(theirs, str) else theirs
        names = tuple(name.format(*numbers, *(n + 1 for n in numbers)) + end for name in theirs)
        axes = tuple(range(len(stored or shape))) if axes is None else axes
        share = (shape[0] // len(names), *shape[1:]) if len(names) > 1 else shape
        return Kept(names, stored or tuple(share[axes.index(axis)] for axis in range(len(share))), axes)

    def every(self, shapes: Mapping[str, Shape]) -> dict[str, Kept]:
        """Our tensors → where they are kept, but for those that have no name there."""
        kept = {own: self.kept(own, shape) for own, shape in shapes.items()}
        return {own: place for own, place in kept.items() if place is not None}

    def to_own(self, tensors: Mapping[str, Tensor], config: ModelConfig, path: Path) -> dict[str, Tensor]:
        """Their tensors → our state dict in float32, each tensor with its own memory; `CheckpointError` as below."""
        shapes = own_shapes(config)
        places = self.every(shapes)
        check_tensors(tensors, {name: place.shape for place in places.values() for name in place.names}, path)
        own: dict[str, Tensor] = {}
        for name, place in places.items():
            parts = [tensors[part].to(torch.float32).permute(place.axes) for part in place.names]
            joined = torch.cat(parts) if len(parts) > 1 else parts[0]
            own[name] = joined.reshape(shapes[name]).clone(memory_format=torch.contiguous_format)
        return own

    def to_theirs(self, own: Mapping[str, Tensor], config: ModelConfig) -> dict[str, Tensor]:
        """Our state dict → their tensors; what has no name there is left out."""
        theirs: dict[str, Tensor] = {}
        for name, place in self.every(own_shapes(config)).items():
            back = [place.axes.index(axis) for axis in range(len(place.axes))]
            for part, tensor in zip(place.names, own[name].detach().cpu().chunk(len(place.names)), strict=True):
                laid = tensor.reshape([place.shape[axis] for axis in place.axes]).permute(back)
                theirs[part] = laid.clone(memory_format=torch.contiguous_format)
        return theirs


def own_shapes(config: ModelConfig) -> dict[str, Shape]:
    """Name → shape of every tensor of a model, without taking memory for it."""
    return {name: tuple(tensor.shape) for name, tensor in empty_model(config).state_dict().items()}


def check_tensors(tensors: Mapping[str, Tensor], wanted: Mapping[str, Shape], path: Path) -> None:
    """Raises one `CheckpointError` that lists all missing, extra, misshapen and non-float tensors, or not finite."""
    both = [name for name in wanted if name in tensors]
    problems = {
        "missing": [name for name in wanted if name not in tensors],
        "not part of this model": [name for name in tensors if name not in wanted],
        "wrong shape": [
            f"{name} is {_x(tensors[name].shape)}, expected {_x(wanted[name])}"
            for name in both
            if tuple(tensors[name].shape) != wanted[name]
        ],
        "not floating point": [
            f"{name} is {str(tensors[name].dtype)[6:]}" for name in both if tensors[name].dtype not in _FLOATS
        ],
    }
    told = "; ".join(f"{what}: {', '.join(names)}" for what, names in problems.items() if names)
    if told:
        raise CheckpointError(f"{path}: the tensors do not fit the model that the file describes; {told}")
    bad = []
    for name in both:
        count = tensors[name].numel() - int(torch.isfinite(tensors[name].float()).sum())  # 1e300 is not, in float32
        if count:
            bad.append(f"{name} ({count} of {tensors[name].numel()})")
    if bad:
        raise CheckpointError(
            f"{path}: weights are NaN or infinite in {', '.join(bad)}; take a checkpoint from before it diverged"
        )


def _x(shape: Iterable[int]) -> str:
    return "×".join(str(n) for n in shape) or "a single number"
