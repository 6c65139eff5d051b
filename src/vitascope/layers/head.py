"""Equation 4 and the classification head: pooling, the optional hidden layer, the linear layer."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vitascope.layers.gelu import Gelu


def pool(tokens: Tensor, prefix: int, how: str) -> Tensor:
    """One vector per image, (B, T, D) → (B, D), or (B, 2D) for "token+mean".

    "token" takes the class token (Equation 4); "mean" the mean of the patch tokens, leaving out the `prefix`
    tokens before them; "token+mean" both, one after the other (the linear heads of DINOv2).
    """
    if how == "token":
        return tokens[:, 0]
    mean = tokens[:, prefix:].mean(dim=1)
    return mean if how == "mean" else torch.cat([tokens[:, 0], mean], dim=1)


class Head(nn.Module):
    """(B, D) → features (B, D') → logits (B, K).

    With `representation_size` there is a hidden layer: the paper's pre-training head, "an MLP with one hidden
    layer" (Section 3.1; `pre_logits` in the official code, whose nonlinearity is tanh). Fine-tuning has the
    linear layer alone. `classes=0` leaves the features as they are.
    """

    def __init__(
        self,
        inputs: int,
        classes: int,
        *,
        norm_eps: float | None = None,
        representation_size: int | None = None,
        representation_activation: str = "gelu",
        gelu: str = "tanh",
    ) -> None:
        super().__init__()
        self.norm: nn.Module = nn.LayerNorm(inputs, eps=norm_eps) if norm_eps is not None else nn.Identity()
        self.hidden = nn.Linear(inputs, representation_size) if representation_size else None
        self.activation: nn.Module = nn.Tanh() if representation_activation == "tanh" else Gelu(gelu)
        self.linear = nn.Linear(representation_size or inputs, classes) if classes else None

    def features(self, x: Tensor) -> Tensor:
        """What the last linear layer sees, (B, D) → (B, D')."""
        x = self.norm(x)
        return x if self.hidden is None else self.activation(self.hidden(x))

    def forward(self, x: Tensor) -> Tensor:
        x = self.features(x)
        return x if self.linear is None else self.linear(x)
