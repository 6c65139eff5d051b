"""SwiGLU (Shazeer, 2020, "GLU Variants Improve Transformer"), the MLP of DINOv3's S+, H+ and 7B."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from vitascope.layers.config import ViTConfig


class GatedMlp(nn.Module):
    """W2 (SiLU(V x) ⊙ W1 x), each with its bias, (B, T, D) → twice (B, T, M) → (B, T, D)."""

    def __init__(self, c: ViTConfig) -> None:
        super().__init__()
        self.gate = nn.Linear(c.width, c.hidden)
        self.fc1 = nn.Linear(c.width, c.hidden)
        self.fc2 = nn.Linear(c.hidden, c.width)
        self.dropout = nn.Dropout(c.dropout)

    def forward(self, x: Tensor) -> Tensor:
        x = self.dropout(F.silu(self.gate(x)) * self.fc1(x))
        return self.dropout(self.fc2(x))
