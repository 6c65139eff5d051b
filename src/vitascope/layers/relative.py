"""Relative positions (Table 8, D.4): the offset from query to key has an embedding, which the query meets as a key."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from vitascope.layers.config import ViTConfig
from vitascope.layers.position import stretched


class Relative(nn.Module):
    """Logits q · e(i − j) to be added to those of the contents, by the 1-D order of tokens, the class token's included.

    One embedding of all heads' width for each of 2T − 1 offsets, anew in every layer; each head sees its part, as of
    keys. The paper says no more than that.
    """

    def __init__(self, c: ViTConfig) -> None:
        super().__init__()
        self.h = c.heads
        self.offsets = nn.Parameter(torch.zeros(1, 2 * c.tokens - 1, c.inner))

    def forward(self, q: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
        """q (B, h, t, d) and k (B, h, T, d), each with T channels more, whose products are these logits.

        So that softmax(q kᵀ / √(d + T)) is that of the paper's sum over √d, and whatever attends, or looks at q and k,
        needs to know nothing of it.
        """
        (t, d), tokens = q.shape[2:], k.shape[2]
        table = stretched(self.offsets, 2 * tokens - 1)[0].reshape(2 * tokens - 1, self.h, d)
        every = q @ table.permute(1, 2, 0).to(q.dtype)  # (B, h, t, 2T − 1)
        asked, told = (torch.arange(count, device=q.device) for count in (t, tokens))
        offset = asked[:, None] - told + tokens - 1  # (t, T)
        logits = every.gather(3, offset.expand(*q.shape[:2], -1, -1))
        one = torch.eye(tokens, dtype=k.dtype, device=k.device).expand(*k.shape[:2], -1, -1)
        return math.sqrt((d + tokens) / d) * torch.cat([q, logits], dim=3), torch.cat([k, one], dim=3)

    def resized(self, c: ViTConfig) -> dict[str, Tensor]:
        """What is stored, for another grid: linear over the offsets."""
        return {"offsets": stretched(self.offsets, 2 * c.tokens - 1)}
