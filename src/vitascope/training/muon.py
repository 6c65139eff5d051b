"""Muon: the hidden matrices' updates are made orthogonal, everything else is Adam's (Jordan et al., 2024).

The update of a matrix is its momentum U S Vᵀ with all singular values set to about 1, that is U Vᵀ, so that every
direction learns alike. It is scaled to the size that Adam's updates have (Liu et al., 2025, "Muon is scalable for LLM
training"), so that one learning rate serves both. Weight decay is left to `optimizer.decay_kernels`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the quintic, as published: steep at 0, so that five steps bring singular values from 0.01 to 0.7 to 1.2."""
_STEPS = 5
_ADAM_SIZE = 0.2
"""Root mean square of Adam's updates, in learning rates."""


class Muon(torch.optim.Adam):
    """Muon for groups with `parts` above 0, fused Adam for those with 0.

    `parts` says how many matrices lie in each parameter one below the other: 3 for q, k and v in one. All matrices
    of one shape are handled in one batch, in `dtype`.
    """

    def __init__(
        self,
        groups: list[dict[str, Any]],
        *,
        lr: float,
        betas: tuple[float, float],
        momentum: float,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__(groups, lr=lr, betas=betas, fused=True)
        self.momentum, self.dtype = momentum, dtype

    def __setstate__(self, state: dict[str, Any]) -> None:
        torch.optim.Optimizer.__setstate__(self, state)  # Adam's own looks for a step in all that is held

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One update of every parameter that has a gradient."""
        groups = self.param_groups
        for group in groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            if parameters and group["parts"]:
                self._step_matrices(parameters, group)
        self.param_groups = [group for group in groups if not group["parts"]]
        super().step(closure)
        self.param_groups = groups

    def _step_matrices(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        for p in parameters:
            if not self.state[p]:
                self.state[p]["momentum"] = torch.zeros_like(p)
        gradients = [p.grad for p in parameters if p.grad is not None]
        mean = [self.state[p]["momentum"] for p in parameters]
        torch._foreach_lerp_(mean, gradients, 1 - self.momentum)
        ahead = torch._foreach_lerp(gradients, mean, self.momentum)  # Nesterov's
        wide: dict[torch.Size, list[tuple[Tensor, Tensor]]] = {}  # shape → views of parameter and update
        for p, update in zip(parameters, ahead, strict=True):
            pair = [x.view(group["parts"], -1, x.shape[1]) for x in (p, update)]  # (parts, rows, columns)
            if pair[0].shape[1] > pair[0].shape[2]:
                pair = [x.transpose(1, 2) for x in pair]
            wide.setdefault(pair[0].shape, []).append((pair[0], pair[1]))
        for shape, pairs in wide.items():
            update = orthogonalised(torch.cat([u for _, u in pairs]).to(self.dtype))
            rate = group["lr"] * _ADAM_SIZE * math.sqrt(max(shape[1:]))
            for (p, _), u in zip(pairs, torch.split(update, shape[0]), strict=True):
                p.add_(u, alpha=-rate)


def orthogonalised(x: Tensor) -> Tensor:
    """Matrices with about the singular vectors of `x` and singular values near 1, (n, a, b) with a ≤ b.

    Newton and Schulz's iteration, here X ← aX + (bA + cA²)X with A = XXᵀ, from ‖X‖ ≤ 1 on.
    """
    a, b, c = _COEFFICIENTS
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    for _ in range(_STEPS):
        gram = x @ x.mT  # (n, a, a)
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x
