"""GELU (Hendrycks & Gimpel, 2016), exact, by tanh or quick, with a quicker way to train through tanh on a CPU.

(1 + tanh u) / 2 is the sigmoid of 2u, which costs less than a tanh; and the derivative needs what the value
needed, so that both are made at once and the backward pass is a single product. `benchmarks/training.py` keeps where
the time of a step goes, beside PyTorch's own GELU.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_LINEAR = 2 * math.sqrt(2 / math.pi)
_CUBIC = 0.044715 * _LINEAR  # 2u = x (_LINEAR + _CUBIC x²)
_VALUES = 2**19  # at a time: 2 MB of float32, so that the intermediate results stay in the cache


class Gelu(nn.Module):
    """x Φ(x) elementwise; `form` is "erf" (exact), "tanh", as in the official code (Flax's default), or "quick"."""

    def __init__(self, form: str) -> None:
        super().__init__()
        self.form = form

    def forward(self, x: Tensor) -> Tensor:
        if self.form == "quick":
            return x * torch.sigmoid(1.702 * x)
        if self.form == "erf":
            return F.gelu(x)
        # Other formats would round every intermediate result; GPUs have one fused kernel each way.
        needs = self.training and torch.is_grad_enabled() and x.requires_grad
        if needs and x.device.type == "cpu" and x.dtype == torch.float32:
            if torch.compiler.is_compiling():
                return x * torch.sigmoid(x * (_LINEAR + _CUBIC * x * x))
            return _WithDerivative.apply(x)  # type: ignore[no-untyped-call]
        return F.gelu(x, approximate="tanh")

    def extra_repr(self) -> str:
        """The form."""
        return repr(self.form)


class _WithDerivative(torch.autograd.Function):
    """GELU by tanh that keeps its derivative instead of its argument; it has no second one, nor `torch.func`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        x = x.contiguous()
        y, derivative = torch.empty_like(x), torch.empty_like(x)
        for part, value, slope in zip(*(torch.split(t.view(-1), _VALUES) for t in (x, y, derivative)), strict=True):
            factor = (part * part).mul_(_CUBIC).add_(_LINEAR)
            gate = (factor * part).sigmoid_()
            torch.mul(part, gate, out=value)
            # x σ(2u) has the derivative σ + xσ (1 − σ) (2u)', and (2u)' = 3 · 2u/x − 2 _LINEAR.
            factor.mul_(3).sub_(2 * _LINEAR).mul_(value)
            torch.addcmul(gate, factor, 1 - gate, out=slope)
        ctx.save_for_backward(derivative)
        return y

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (derivative,) = ctx.saved_tensors
        return gradients[0] * derivative
