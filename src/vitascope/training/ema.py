"""Exponential moving average of the weights (Polyak averaging, Table 2 with 0.9999)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Ema:
    """`tensors` holds the average of every parameter that learns under its name, float32."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.tensors: dict[str, Tensor] = {
            name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad
        }

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Moves the average towards the weights after `step`; early steps move it more, so short runs are served."""
        decay = min(self.decay, (1 + step) / (10 + step))
        parameters = [p.detach() for p in model.parameters() if p.requires_grad]
        torch._foreach_lerp_(list(self.tensors.values()), parameters, 1 - decay)
