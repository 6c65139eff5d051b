"""Equation 1: z0 = [x_class; x¹E; …; x^N E] + E_pos."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vitascope.layers.config import Size, ViTConfig
from vitascope.layers.position import positions_of


class Embedding(nn.Module):
    """Class token, registers and positions around the projected patches, (B, N, D) → (B, T, D); normed as CLIP does.

    Order of tokens: class token, registers, patches. Registers (Darcet et al., 2024) carry no position. The position
    table may have a row for the class token, as the paper's has.
    """

    def __init__(self, c: ViTConfig) -> None:
        super().__init__()
        self.class_token = nn.Parameter(torch.zeros(1, 1, c.width)) if c.class_token else None
        self.registers = nn.Parameter(torch.zeros(1, c.registers, c.width)) if c.registers else None
        self.positions = positions_of(c) if c.has_table else None
        self.dropout = nn.Dropout(c.dropout)
        self.norm: nn.Module = nn.LayerNorm(c.width, eps=c.norm_eps) if c.norm_before else nn.Identity()

    def forward(self, x: Tensor, grid: Size, drop_tokens: float = 0.0, seen: Tensor | None = None) -> Tensor:
        """Adds everything to `x`, the projected patches of a `grid` of rows × columns.

        `drop_tokens` is the share of each image's patches that is left out, others each time: less work for each image
        of a training (PatchDropout, 2022). Of those with places in `seen` (B, n) alone, tokens are made; None: of all.
        """
        first = self.class_token
        if self.positions is not None:
            table = self.positions(grid).to(x.device)  # (1, [1+]N, D)
            if self.positions.class_row and first is not None:
                first, table = first + table[:, :1], table[:, 1:]
            x = x + table
        if seen is not None:
            x = taken(x, seen)
        if drop_tokens:
            x = random_tokens(x, 1 - drop_tokens)
        before = [token.expand(x.shape[0], -1, -1) for token in (first, self.registers) if token is not None]
        return self.norm(self.dropout(torch.cat([*before, x], dim=1) if before else x))  # (B, T, D)


def random_tokens(x: Tensor, share: float) -> Tensor:
    """This share of each image's tokens, at least one, drawn anew at each call, (B, N, D) → (B, n, D)."""
    count = max(round(share * x.shape[1]), 1)
    return taken(x, torch.rand(x.shape[:2], device=x.device).topk(count).indices)


def taken(x: Tensor, places: Tensor) -> Tensor:
    """Each image's tokens at its `places`, int64 (B, n), (B, N, D) → (B, n, D)."""
    return x.gather(1, places[:, :, None].expand(-1, -1, x.shape[2]))
