"""Position embeddings: learned, fixed sine-cosine or none, and their resizing (Section 3.2)."""

from __future__ import annotations

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
        self.table = nn.Parameter(torch.zeros(1, rows, c.width)) if c.positions == "learned" else None
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
