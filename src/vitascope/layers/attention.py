"""Multi-head self-attention (Equation 2; Equations 5 to 8 of Appendix A)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vitascope.layers.config import ViTConfig
from vitascope.layers.position import Places
from vitascope.layers.relative import Relative
from vitascope.layers.rotary import turned


def attention_weights(q: Tensor, k: Tensor) -> Tensor:
    """A = softmax(q kᵀ / √d) of Equation 6, (B, h, T, d) twice → (B, h, T, T); each row sums to 1."""
    return torch.softmax((q * (1.0 / math.sqrt(q.shape[-1]))) @ k.transpose(-2, -1), dim=-1)


def attend_two_products(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """A v of Equation 7 as it is written, (B, h, T, d) three times → (B, h, T, d)."""
    return attention_weights(q, k).to(v.dtype) @ v


def attend_fused(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """The same by PyTorch's fused kernel, which never holds the T×T weights."""
    return F.scaled_dot_product_attention(q, k, v)


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """A v by the faster form: on a CPU the fused kernel's backward pass takes half of a training step."""
    training_on_cpu = q.device.type == "cpu" and q.requires_grad and torch.is_grad_enabled()
    return attend_two_products(q, k, v) if training_on_cpu else attend_fused(q, k, v)


class Projection(nn.Linear):
    """A linear layer of which some rows can be asked for alone."""

    def forward(self, x: Tensor, rows: slice | None = None) -> Tensor:
        if rows is None:
            return super().forward(x)
        return F.linear(x, self.weight[rows], None if self.bias is None else self.bias[rows])


class Attention(nn.Module):
    """MSA, (B, T, D) → (B, T, D): the heads of `x`, mixed; with biases, on q, k and v by `qkv_bias`."""

    def __init__(self, c: ViTConfig) -> None:
        super().__init__()
        self.h, self.d = c.heads, c.inner // c.heads
        self.qkv: nn.Linear = Projection(c.width, 3 * c.inner, bias=c.qkv_bias)
        self.out = nn.Linear(c.inner, c.width)
        self.dropout = nn.Dropout(c.dropout)
        self.relative = Relative(c) if c.positions == "relative" else None

    def forward(self, x: Tensor, first: int | None = None, places: Places | None = None) -> Tensor:
        """With `first`, only that many tokens from the beginning ask, (B, T, D) → (B, first, D)."""
        return self.mix(*self.heads(x, first, places))

    def heads(self, x: Tensor, first: int | None = None, places: Places | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Equation 5, [q, k, v] = x U_qkv, (B, T, D) → (B, h, T, d) three times; `first` queries, or all.

        With rotary positions q and k are turned by `places`; with relative ones they have T channels more.
        """
        q, k, v = self._projected(x, first)
        if places is not None and places.turns is not None:
            q, k = turned(q, places.turns[:, :first]), turned(k, places.turns)
        return (q, k, v) if self.relative is None else (*self.relative(q, k), v)

    def _projected(self, x: Tensor, first: int | None) -> tuple[Tensor, Tensor, Tensor]:
        if first is not None and isinstance(self.qkv, Projection):
            return self.asked(x[:, :first], x)
        q, k, v = self._split(self.qkv(x))  # all of them; or an adapter is in the place of `qkv`
        return q[:, :, :first], k, v

    def asked(self, queries: Tensor, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """q of some tokens (B, t, D), k and v of others (B, T, D) → (B, h, t, d), then (B, h, T, d) twice."""
        width = self.h * self.d
        if isinstance(self.qkv, Projection):
            (q,), (k, v) = self._split(self.qkv(queries, slice(width))), self._split(self.qkv(x, slice(width, None)))
        else:  # an adapter computes q, k and v together
            (q, _, _), (_, k, v) = self._split(self.qkv(queries)), self._split(self.qkv(x))
        return q, k, v

    def mix(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Equations 6 to 8: each head's A v, side by side, times U_msa, (B, h, T, d) three times → (B, T, D)."""
        x = attend(q, k, v).transpose(1, 2).flatten(2)  # (B, T, D)
        return self.dropout(self.out(x))

    def _split(self, x: Tensor) -> tuple[Tensor, ...]:
        """(B, T, n·h·d) → n times (B, h, T, d)."""
        return x.reshape(*x.shape[:2], -1, self.h, self.d).permute(2, 0, 3, 1, 4).unbind(0)
