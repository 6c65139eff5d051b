"""Position embeddings: learned (1-D, 2-D), fixed sine-cosine or none, and their resizing (Section 3.2)."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vitascope.layers.config import Size, ViTConfig


def resize_positions(table: Tensor, old_grid: Size, new_grid: Size, class_row: bool) -> Tensor:
    """Interpolates E_pos by location in the image, (1, [1+]N, D) → (1, [1+]N', D); the class row is kept.

    Linear with aligned corners: what `scipy.ndimage.zoom(order=1)` does in the official `checkpoint.py`,
    extended to grids that are not square. Differentiable. Raises ValueError when `old_grid` does not fit.
    """
    prefix = int(class_row)
    rows, columns = old_grid
    if table.shape[1] != prefix + rows * columns:
        raise ValueError(f"table of {table.shape[1]} rows for a grid of {rows}×{columns} and {prefix} class row")
    if old_grid == new_grid:
        return table
    grid = table[:, prefix:].reshape(1, rows, columns, -1).permute(0, 3, 1, 2)  # (1, D, r, c)
    grid = F.interpolate(grid.float(), size=new_grid, mode="bilinear", align_corners=True)
    resized = grid.permute(0, 2, 3, 1).reshape(1, new_grid[0] * new_grid[1], -1).to(table.dtype)
    return torch.cat([table[:, :prefix], resized], dim=1)


def stretched(table: Tensor, count: int) -> Tensor:
    """The same along one axis, (1, n, D) → (1, count, D)."""
    if table.shape[1] == count:
        return table
    moved = F.interpolate(table.float().transpose(1, 2), size=count, mode="linear", align_corners=True)
    return moved.transpose(1, 2).to(table.dtype)


def over_tokens(table: Tensor, class_row: bool, prefix: int) -> Tensor:
    """A table (1, [1+]N, D) as something to add to all tokens, (1, T, D): zeros for those without a position."""
    none = table.new_zeros(1, prefix - int(class_row), table.shape[2])
    return torch.cat([table[:, : int(class_row)], none, table[:, int(class_row) :]], dim=1)


class Places(NamedTuple):
    """What blocks are told of where tokens stand, beyond what the embedding has added."""

    grid: Size
    """Rows and columns of patches."""
    turns: Tensor | None = None
    """By how much queries and keys turn, (2, T, d), where positions are rotary."""
    shared: Tensor | None = None
    """What every block but the first adds to its input, (1, T, D), where all share the embedding's positions."""


def sincos_positions(grid: Size, width: int, temperature: float = 10_000.0) -> Tensor:
    """Fixed 2-D sine-cosine positions, (1, N, D), in [−1, 1] (`big_vision/models/vit.py`, from MoCo v3)."""
    y, x = torch.meshgrid(torch.arange(grid[0]), torch.arange(grid[1]), indexing="ij")
    frequency = 1.0 / temperature ** (torch.arange(width // 4, dtype=torch.float64) / (width // 4 - 1))
    angle_x = x.flatten()[:, None] * frequency  # (N, D/4)
    angle_y = y.flatten()[:, None] * frequency
    table = torch.cat([angle_x.sin(), angle_x.cos(), angle_y.sin(), angle_y.cos()], dim=1)
    return table[None].float()


class Positions(nn.Module):
    """The stored E_pos of one grid, handed out for any grid; a size other than the stored is computed once."""

    def __init__(self, c: ViTConfig) -> None:
        super().__init__()
        self.grid, self.width, self.class_row = c.grid, c.width, c.has_class_row
        rows = int(self.class_row) + c.grid[0] * c.grid[1]
        self.table = nn.Parameter(torch.zeros(1, rows, c.width)) if c.learns_table else None
        self._kept: dict[Size, tuple[object, Tensor]] = {}

    def forward(self, grid: Size) -> Tensor:
        """E_pos for `grid` as (1, [1+]N, D); differentiable while learned positions are being trained."""
        if self.table is None:
            return self._computed_once(grid, None)
        if torch.is_grad_enabled() and self.table.requires_grad:
            # A step will follow, and fused optimisers write to the table without raising its version.
            self._kept.clear()
            return resize_positions(self.table, self.grid, grid, self.class_row)
        if grid == self.grid:
            return self.table
        # A table that was written to, moved or cast must not be answered from what is kept.
        version = 0 if self.table.is_inference() else self.table._version
        return self._computed_once(grid, (self.table.data_ptr(), version, self.table.dtype, self.table.device))

    def train(self, mode: bool = True) -> Positions:
        self._kept.clear()
        return super().train(mode)

    def _computed_once(self, grid: Size, stamp: object) -> Tensor:
        kept = self._kept.get(grid)
        if kept is None or kept[0] != stamp:
            with torch.inference_mode(False), torch.no_grad():
                if self.table is not None:
                    table = resize_positions(self.table.detach(), self.grid, grid, self.class_row)
                else:  # a class row of zeros, as in MAE
                    table = F.pad(sincos_positions(grid, self.width), (0, 0, int(self.class_row), 0))
            self._kept[grid] = kept = stamp, table
        return kept[1]

    def resized(self, c: ViTConfig) -> dict[str, Tensor]:
        """What is stored, for another grid."""
        if self.table is None:
            return {}
        return {"table": resize_positions(self.table, self.grid, c.grid, self.class_row)}


class Positions2d(nn.Module):
    """Two learned tables of width D/2, for columns and for rows, side by side at each patch (Table 8, D.4)."""

    def __init__(self, c: ViTConfig) -> None:
        super().__init__()
        self.grid, self.class_row = c.grid, c.has_class_row
        self.rows = nn.Parameter(torch.zeros(1, c.grid[0], c.width // 2))
        self.columns = nn.Parameter(torch.zeros(1, c.grid[1], c.width // 2))
        self.token = nn.Parameter(torch.zeros(1, 1, c.width)) if self.class_row else None

    def forward(self, grid: Size) -> Tensor:
        """E_pos for `grid` as (1, [1+]N, D)."""
        rows, columns = stretched(self.rows, grid[0]), stretched(self.columns, grid[1])
        x, y = columns[:, None].expand(-1, grid[0], -1, -1), rows[:, :, None].expand(-1, -1, grid[1], -1)
        table = torch.cat([x, y], dim=3).flatten(1, 2)
        return table if self.token is None else torch.cat([self.token, table], dim=1)

    def resized(self, c: ViTConfig) -> dict[str, Tensor]:
        """What is stored, for another grid."""
        return {"rows": stretched(self.rows, c.grid[0]), "columns": stretched(self.columns, c.grid[1])}


def positions_of(c: ViTConfig) -> Positions | Positions2d:
    """A table for the patches and, where it has a row there, the class token."""
    return Positions2d(c) if c.positions.startswith("learned2d") else Positions(c)
