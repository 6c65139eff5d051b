"""Attention pooling: a learned query gathers the tokens (Lee et al., 2019, Set Transformer; big_vision's `MAPHead`)."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from vitascope.layers.attention import Attention, attention_weights
from vitascope.layers.config import ViTConfig
from vitascope.layers.encoder import Mlp


class AttentionPooling(nn.Module):
    """y = MSA(probe, z), then y + MLP(LN(y)), (B, T, D) → (B, D): the head of SigLIP's image towers."""

    def __init__(self, c: ViTConfig) -> None:
        super().__init__()
        self.probe = nn.Parameter(torch.zeros(1, 1, c.width))
        self.attention = Attention(replace(c, positions="none"))  # places are no matter here
        self.norm = nn.LayerNorm(c.width, eps=c.norm_eps)
        self.mlp = Mlp(c)

    def forward(self, z: Tensor) -> Tensor:
        y = self.attention.mix(*self._heads(z))  # (B, 1, D)
        return (y + self.mlp(self.norm(y)))[:, 0]

    def weights(self, z: Tensor) -> Tensor:
        """How the probe attends to each token, (B, T, D) → (B, h, T); each row sums to 1."""
        q, k, _ = self._heads(z)
        return attention_weights(q, k)[:, :, 0]

    def _heads(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self.attention.asked(self.probe.expand(z.shape[0], -1, -1), z)
