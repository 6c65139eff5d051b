"""Equation 1: z0 = [x_class; x¹E; …; x^N E] + E_pos."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vitascope.layers.patches import Size
from vitascope.layers.position import Positions


class Embedding(nn.Module):
    """Class token, registers and positions around the projected patches, (B, N, D) → (B, T, D).

    Order of tokens: class token, registers, patches. Registers (Darcet et al., 2024) carry no position.
    With `class_row` the position table has a row for the class token, as the paper's has.
    """

    dropped: float = 0.0
    """In training, the share of each image's patches that is left out, others each time; `drop_tokens` sets it."""

    def __init__(
        self,
        width: int,
        grid: Size,
        *,
        class_token: bool,
        registers: int,
        positions: str,
        class_row: bool,
        dropout: float,
    ) -> None:
        super().__init__()
        self.class_token = nn.Parameter(torch.zeros(1, 1, width)) if class_token else None
        self.registers = nn.Parameter(torch.zeros(1, registers, width)) if registers else None
        self.positions = Positions(positions, grid, width, class_row) if positions != "none" else None
        self.dropout = nn.Dropout(dropout)

    @property
    def prefix(self) -> int:
        """How many tokens stand before the patches."""
        return int(self.class_token is not None) + (0 if self.registers is None else self.registers.shape[1])

    def forward(self, x: Tensor, grid: Size) -> Tensor:
        """Adds everything to `x`, the projected patches of a `grid` of rows × columns."""
        first = self.class_token
        if self.positions is not None:
            table = self.positions(grid).to(x.device)  # (1, [1+]N, D)
            if self.positions.class_row and first is not None:
                first, table = first + table[:, :1], table[:, 1:]
            x = x + table
        if self.training and self.dropped:
            x = random_tokens(x, 1 - self.dropped)
        before = [token.expand(x.shape[0], -1, -1) for token in (first, self.registers) if token is not None]
        return self.dropout(torch.cat([*before, x], dim=1) if before else x)  # (B, T, D)


def random_tokens(x: Tensor, share: float) -> Tensor:
    """This share of each image's tokens, at least one, drawn anew at each call, (B, N, D) → (B, n, D)."""
    count = max(round(share * x.shape[1]), 1)
    drawn = torch.rand(x.shape[:2], device=x.device).topk(count).indices  # (B, n)
    return x.gather(1, drawn[:, :, None].expand(-1, -1, x.shape[2]))


def drop_tokens(model: nn.Module, share: float) -> None:
    """Leaves this share of the patches out of training's forward passes: less work per image (PatchDropout, 2022)."""
    for module in model.modules():
        if isinstance(module, Embedding):
            module.dropped = share
