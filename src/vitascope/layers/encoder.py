"""The Transformer encoder: L pre-norm blocks (Equations 2 and 3) and the final LayerNorm."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vitascope.layers.attention import Attention
from vitascope.layers.gelu import Gelu
from vitascope.layers.recompute import Chain


class Mlp(nn.Module):
    """Two dense layers with GELU between, (B, T, D) → (B, T, M) → (B, T, D)."""

    def __init__(self, width: int, hidden: int, gelu: str, dropout: float) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.activation = Gelu(gelu)
        self.fc2 = nn.Linear(hidden, width)
        self.dropout = nn.Dropout(dropout)

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

    def __init__(
        self,
        width: int,
        heads: int,
        hidden: int,
        *,
        gelu: str = "tanh",
        norm_eps: float = 1e-6,
        layer_scale: float | None = None,
        dropout: float = 0.0,
        stochastic_depth: float = 0.0,
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=norm_eps)
        self.attention = Attention(width, heads, dropout)
        self.scale1 = LayerScale(width, layer_scale) if layer_scale is not None else nn.Identity()
        self.norm2 = nn.LayerNorm(width, eps=norm_eps)
        self.mlp = Mlp(width, hidden, gelu, dropout)
        self.scale2 = LayerScale(width, layer_scale) if layer_scale is not None else nn.Identity()
        self.drop = StochasticDepth(stochastic_depth)

    def forward(self, x: Tensor, first: int | None = None) -> Tensor:
        """With `first`, only that many tokens from the beginning come out; all are still attended to."""
        x = x[:, :first] + self.drop(self.scale1(self.attention(self.norm1(x), first)))
        return x + self.drop(self.scale2(self.mlp(self.norm2(x))))


class Encoder(Chain):
    """All blocks, then the final LayerNorm unless the norm belongs after the pooling (`final_norm=False`)."""

    def __init__(
        self,
        depth: int,
        width: int,
        heads: int,
        hidden: int,
        *,
        gelu: str,
        norm_eps: float,
        layer_scale: float | None,
        dropout: float,
        stochastic_depth: float,
        final_norm: bool,
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            Block(
                width,
                heads,
                hidden,
                gelu=gelu,
                norm_eps=norm_eps,
                layer_scale=layer_scale,
                dropout=dropout,
                # The rate grows linearly from 0 at the first block (Huang et al., Section 3).
                stochastic_depth=stochastic_depth * i / max(depth - 1, 1),
            )
            for i in range(depth)
        )
        self.norm: nn.Module = nn.LayerNorm(width, eps=norm_eps) if final_norm else nn.Identity()

    def forward(self, x: Tensor, first: int | None = None) -> Tensor:
        """With `first`, only that many tokens from the beginning come out, and the last block computes no others.

        A head that reads the class token needs no more: of 12 blocks that saves a fourteenth of all products.
        """
        if first is None:
            return self.norm(self.in_turn(self.blocks, x))
        x = self.in_turn(self.blocks[-1:], self.in_turn(self.blocks[:-1], x), first)
        return self.norm(x[:, :first])  # cut here where there is no block
