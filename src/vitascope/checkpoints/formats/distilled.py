"""DeiT's distillation token (Touvron et al., 2021): a register that the head reads beside the class token.

Two heads, whose logits are averaged in evaluation, are one linear layer over both tokens side by side:
(W₁ z₁ + b₁ + W₂ z₂ + b₂)/2 = [W₁ W₂]/2 [z₁; z₂] + (b₁ + b₂)/2. The token's row of positions is added to the token.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from vitascope.errors import CheckpointError
from vitascope.layers.config import ViTConfig


@dataclass(frozen=True, kw_only=True)
class Distilled:
    """Names in one format; what is joined goes by the names of its plain ViTs."""

    token: str
    """The distillation token."""
    register: str
    """What the format calls registers."""
    table: str
    """Positions, with rows for the class token, then the distillation token, then the patches."""
    heads: tuple[str, str]
    """Of the class token and of the distillation token."""
    head: str
    """That of a plain ViT."""

    def join(self, tensors: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
        """The token as a register and two heads as one; as they are without such a token. Raises `CheckpointError`."""
        joined = dict(tensors)
        if self.token not in joined:
            return joined
        token, table = (self._take(joined, name, 3, path) for name in (self.token, self.table))
        if token.shape[1:] != table[:1, 1:2].shape[1:]:
            shapes = f"{self.token} is {tuple(token.shape)} and {self.table} {tuple(table.shape)}"
            raise CheckpointError(f"{path}: {shapes}; expected a row of positions for the distillation token")
        joined[self.register] = token + table[:, 1:2]
        joined[self.table] = torch.cat([table[:, :1], table[:, 2:]], dim=1)
        if f"{self.heads[1]}.weight" not in joined:
            return joined
        weights = [self._take(joined, f"{head}.weight", 2, path) for head in self.heads]
        biases = [self._take(joined, f"{head}.bias", 1, path) for head in self.heads]
        for one, other in (weights, biases):
            if one.shape != other.shape:
                shapes = f"{tuple(one.shape)} and {tuple(other.shape)}"
                raise CheckpointError(f"{path}: heads of {shapes}, expected two of one shape")
        joined[f"{self.head}.weight"] = torch.cat(weights, dim=1) / 2
        joined[f"{self.head}.bias"] = (biases[0] + biases[1]) / 2
        return joined

    def part(self, tensors: Mapping[str, Tensor], c: ViTConfig) -> dict[str, Tensor]:
        """The way back, for a model with one register: both heads have the bias that was their mean."""
        parted = dict(tensors)
        parted[self.token] = parted.pop(self.register)
        if c.pooling == "token+distillation" and c.classes:
            weight, bias = parted.pop(f"{self.head}.weight"), parted.pop(f"{self.head}.bias")
            for head, half in zip(self.heads, weight.chunk(2, dim=1), strict=True):
                parted |= {f"{head}.weight": 2 * half, f"{head}.bias": bias.clone()}
        return parted

    def _take(self, tensors: dict[str, Tensor], name: str, axes: int, path: Path) -> Tensor:
        tensor = tensors.pop(name, None)
        if tensor is None or tensor.ndim != axes or not tensor.is_floating_point():
            got = "is missing" if tensor is None else f"is {tensor.dtype} of {tuple(tensor.shape)}"
            raise CheckpointError(f"{path}: {name} {got}; expected numbers on {axes} axes, as of a distilled DeiT")
        return tensor.float()


def with_rows(table: Tensor, registers: int) -> Tensor:
    """A table (1, 1+N, D) with rows of zeros for the registers behind that of the class token."""
    return torch.cat([table[:, :1], table.new_zeros(1, registers, table.shape[2]), table[:, 1:]], dim=1)
