"""Multi-head self-attention (Equation 2, Appendix A), with the kernel chosen by device and need."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Recorder = Callable[[Tensor, Tensor], None]


def attention_weights(q: Tensor, k: Tensor) -> Tensor:
    """softmax(q kᵀ / √d), (B, h, T, d) twice → (B, h, T, T); each row sums to 1."""
    return torch.softmax((q * (1.0 / math.sqrt(q.shape[-1]))) @ k.transpose(-2, -1), dim=-1)


def attend_two_products(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention written out as two batched products, (B, h, T, d) three times → (B, h, T, d)."""
    return attention_weights(q, k).to(v.dtype) @ v


def attend_fused(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """The same by PyTorch's fused kernel, which never holds the T×T weights."""
    return F.scaled_dot_product_attention(q, k, v)


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention by the faster form: on a CPU the fused kernel's backward takes half of a training step."""
    training_on_cpu = q.device.type == "cpu" and q.requires_grad and torch.is_grad_enabled()
    return attend_two_products(q, k, v) if training_on_cpu else attend_fused(q, k, v)


class Attention(nn.Module):
    """Multi-head self-attention with biases on all four projections, (B, T, D) → (B, T, D)."""

    def __init__(self, width: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)
        self.recorder: Recorder | None = None
        """When set, it is handed q and k, (B, h, T, d) each, of every forward pass; the output stays the same."""

    def forward(self, x: Tensor, first: int | None = None) -> Tensor:
        """With `first`, only that many tokens from the beginning ask, (B, T, D) → (B, first, D)."""
        if first is None or self.recorder is not None or not self._is_plain():
            q, k, v = self._heads(self.qkv(x))
            if self.recorder is not None:
                self.recorder(q, k)
            q = q[:, :, :first]
        else:
            width, weight, bias = x.shape[-1], self.qkv.weight, self.qkv.bias
            (q,) = self._heads(F.linear(x[:, :first], weight[:width], bias[:width]))
            k, v = self._heads(F.linear(x, weight[width:], bias[width:]))
        x = attend(q, k, v).transpose(1, 2).flatten(2)
        return self.dropout(self.out(x))

    def _is_plain(self) -> bool:
        """Whether `qkv` is its weights and nothing else: no adapter in its place, no hook on it."""
        hooked = self.qkv._forward_hooks or self.qkv._forward_pre_hooks
        return type(self.qkv) is nn.Linear and not hooked

    def _heads(self, x: Tensor) -> tuple[Tensor, ...]:
        """(B, T, n·D), D = h·d → n times (B, h, T, d)."""
        b, t, _ = x.shape
        return x.reshape(b, t, -1, self.heads, self.out.in_features // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
