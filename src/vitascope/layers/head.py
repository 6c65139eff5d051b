"""Equation 4 and the classification head: pooling, the optional hidden layer, the linear layer."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vitascope.layers.attention_pooling import AttentionPooling
from vitascope.layers.config import ViTConfig
from vitascope.layers.gelu import Gelu


class LinearHead(nn.Module):
    """One linear layer, (B, D') → logits (B, K); without classes nothing. The head of a ResNet."""

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(features, classes) if classes else None

    def forward(self, x: Tensor) -> Tensor:
        return x if self.linear is None else self.linear(x)


class Head(nn.Module):
    """Tokens (B, T, D) → features (B, D') → logits (B, K), or the features where there are no classes.

    With `representation_size` there is a hidden layer: the paper's pre-training head, "an MLP with one hidden
    layer" (Section 3.1; `pre_logits` in the official code, whose nonlinearity is tanh), or CLIP's projection, a hidden
    layer with neither nonlinearity nor bias. Fine-tuning has the linear layer alone.
    """

    def __init__(self, c: ViTConfig) -> None:
        super().__init__()
        self.pooling, self.prefix = c.pooling, c.prefix
        self.attention = AttentionPooling(c) if c.pooling == "attention" else None
        self.norm: nn.Module = nn.LayerNorm(c.pooled, eps=c.norm_eps) if c.norm == "pooled" else nn.Identity()
        plain = c.representation_activation == "none"
        self.hidden = nn.Linear(c.pooled, c.representation_size, bias=not plain) if c.representation_size else None
        self.activation: nn.Module = (
            nn.Identity() if plain else nn.Tanh() if c.representation_activation == "tanh" else Gelu(c.gelu)
        )
        self.linear = nn.Linear(c.features, c.classes) if c.classes else None

    def forward(self, z: Tensor) -> Tensor:
        x = self.features(z)
        return x if self.linear is None else self.linear(x)

    def features(self, z: Tensor) -> Tensor:
        """What the last linear layer sees, (B, T, D) → (B, D')."""
        x = self.norm(self.pool(z))  # y of Equation 4
        return x if self.hidden is None else self.activation(self.hidden(x))

    def pool(self, z: Tensor) -> Tensor:
        """One vector per image, (B, T, D) → (B, D), or (B, 2D) for "token+mean" (the linear heads of DINOv2) and
        "token+distillation" (DeiT)."""
        if self.pooling == "token":
            return z[:, 0]
        if self.pooling == "token+distillation":
            return z[:, :2].flatten(1)
        patches = z[:, self.prefix :]
        if self.attention is not None:
            return self.attention(patches)
        mean = patches.mean(dim=1)
        return mean if self.pooling == "mean" else torch.cat([z[:, 0], mean], dim=1)
