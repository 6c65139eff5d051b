"""Low-rank adaptation (LoRA, Hu et al., 2021): beside a kernel W at rest, factors that learn, W + α/r B A."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vitascope.layers.attention import Projection
from vitascope.models.learned import DOWN, FACTORED, UP

ALPHA = 16.0
"""α. It is not tuned: with Adam it does what the learning rate does (Section 4.1 there)."""


class Factored(Projection):
    """A linear layer of x Wᵀ + b + α/r (x Aᵀ) Bᵀ, (…, D) → (…, D'); A (r, D) starts random, B (D', r) from zero."""

    def __init__(self, layer: nn.Linear, rank: int, generator: torch.Generator | None = None) -> None:
        super().__init__(layer.in_features, layer.out_features, bias=layer.bias is not None, device="meta")
        self.weight, self.bias = layer.weight, layer.bias
        self.down = nn.Linear(layer.in_features, rank, bias=False)
        self.up = nn.Linear(rank, layer.out_features, bias=False)
        nn.init.normal_(self.down.weight, std=1 / math.sqrt(layer.in_features), generator=generator)
        nn.init.zeros_(self.up.weight)
        self.scale = ALPHA / rank

    def forward(self, x: Tensor, rows: slice | None = None) -> Tensor:
        up = self.up.weight if rows is None else self.up.weight[rows]
        return torch.add(super().forward(x, rows), F.linear(self.down(x), up), alpha=self.scale)

    def kernel(self) -> Tensor:
        """W + α/r B A, (D', D)."""
        return torch.addmm(self.weight, self.up.weight, self.down.weight, alpha=self.scale)


def add_factors(blocks: nn.ModuleList, rank: int, generator: torch.Generator | None = None) -> None:
    """Puts factors beside the kernels of every block."""
    for block in blocks:
        layers = dict(block.named_modules())
        for name in FACTORED:
            if isinstance(layer := layers.get(name), nn.Linear):
                block.set_submodule(name, Factored(layer, rank, generator))


@torch.no_grad()
def merged(model: nn.Module) -> dict[str, Tensor]:
    """The weights of `model`, each kernel with its factors in it; without factors its very tensors."""
    state = model.state_dict()
    for name, module in model.named_modules():
        if isinstance(module, Factored):
            state[f"{name}.weight"] = module.kernel()
            del state[f"{name}.{DOWN}.weight"], state[f"{name}.{UP}.weight"]
    return state
