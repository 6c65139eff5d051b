"""The Transformer encoder: L pre-norm blocks (Equations 2 and 3) and the final LayerNorm."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vitascope.layers.attention import Attention
from vitascope.layers.config import ViTConfig
from vitascope.layers.gated_mlp import GatedMlp
from vitascope.layers.gelu import Gelu
from vitascope.layers.position import Places, over_tokens, positions_of
from vitascope.layers.recompute import in_turn


class Mlp(nn.Module):
    """Two dense layers with GELU between, (B, T, D) → (B, T, M) → (B, T, D)."""

    def __init__(self, c: ViTConfig) -> None:
        super().__init__()
        self.fc1 = nn.Linear(c.width, c.hidden)
        self.activation = Gelu(c.gelu)
        self.fc2 = nn.Linear(c.hidden, c.width)
        self.dropout = nn.Dropout(c.dropout)

    def forward(self, x: Tensor) -> Tensor:
        x = self.dropout(self.activation(self.fc1(x)))
        return self.dropout(self.fc2(x))


class LayerScale(nn.Module):
    """A learned factor per channel on a residual branch (CaiT; DeiT III and DINOv2 use it)."""

    def __init__(self, width: int, initial: float) -> None:
        super().__init__()
        self.initial = initial
        self.gamma = nn.Parameter(torch.full((width,), float(initial)))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gamma


class StochasticDepth(nn.Module):
    """Drops the whole residual branch of an image with probability `rate`, in training only (Huang et al., 2016)."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.rate == 0.0:
            return x
        keep = 1.0 - self.rate
        return x * x.new_empty(x.shape[0], 1, 1).bernoulli_(keep).div_(keep)


class Block(nn.Module):
    """z' = z + MSA(LN(z)); z = z' + MLP(LN(z')), (B, T, D) → (B, T, D)."""

    def __init__(self, c: ViTConfig, stochastic_depth: float = 0.0, number: int = 0) -> None:
        super().__init__()
        self.again, self.prefix = c.again and number > 0, c.prefix  # the embedding has added them for the first
        self.positions = positions_of(c) if self.again and c.anew else None
        self.norm1 = nn.LayerNorm(c.width, eps=c.norm_eps)
        self.attention = Attention(c)
        self.scale1 = LayerScale(c.width, c.layer_scale) if c.layer_scale is not None else nn.Identity()
        self.norm2 = nn.LayerNorm(c.width, eps=c.norm_eps)
        self.mlp = GatedMlp(c) if c.gated_mlp else Mlp(c)
        self.scale2 = LayerScale(c.width, c.layer_scale) if c.layer_scale is not None else nn.Identity()
        self.drop = StochasticDepth(stochastic_depth)

    def forward(self, z: Tensor, first: int | None = None, places: Places | None = None) -> Tensor:
        """With `first`, only that many tokens from the beginning come out; all are still attended to.

        `places` are for positions that the embedding does not add.
        """
        z = self.placed(z, places)
        return self.add(z[:, :first], self.attention(self.norm1(z), first, places))

    def placed(self, z: Tensor, places: Places | None) -> Tensor:
        """With positions added once more, where the model has them in every layer (Table 8)."""
        if not self.again or places is None:
            return z
        if self.positions is None:
            assert places.shared is not None
            return z + places.shared
        return z + over_tokens(self.positions(places.grid).to(z.device), self.positions.class_row, self.prefix)

    def add(self, z: Tensor, attended: Tensor) -> Tensor:
        """Both equations, MSA(LN(z)) being there already."""
        z = z + self.drop(self.scale1(attended))  # Equation 2
        del attended  # not held while the MLP needs most memory
        return z + self.drop(self.scale2(self.mlp(self.norm2(z))))  # Equation 3


class Encoder(nn.Module):
    """All blocks, then the final LayerNorm unless it belongs after the pooling, (B, T, D) → (B, T, D)."""

    def __init__(self, c: ViTConfig) -> None:
        super().__init__()
        # The rate grows linearly from 0 at the first block (Huang et al., Section 3).
        rates = [c.stochastic_depth * i / max(c.depth - 1, 1) for i in range(c.depth)]
        self.blocks = nn.ModuleList(Block(c, rate, number) for number, rate in enumerate(rates))
        self.norm: nn.Module = nn.LayerNorm(c.width, eps=c.norm_eps) if c.norm == "tokens" else nn.Identity()

    def forward(
        self, z: Tensor, first: int | None = None, recompute: bool = False, places: Places | None = None
    ) -> Tensor:
        """With `first`, only that many tokens from the beginning come out, and the last block computes no others.

        A head that reads the class token needs no more: of 12 blocks that saves a fourteenth of all products.
        `recompute` as in `in_turn`, `places` as in `Block`.
        """
        *early, last = self.blocks
        z = in_turn(early, z, None, places, recompute=recompute)
        return self.norm(in_turn([last], z, first, places, recompute=recompute))
