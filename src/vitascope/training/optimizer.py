"""Adam, SGD and Muon with decoupled weight decay on kernels, and slower learning of lower layers where asked for."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from vitascope.errors import ConfigError
from vitascope.models.learned import BLOCK, layer_of
from vitascope.training.muon import Muon
from vitascope.training.train_settings import TrainSettings


def is_kernel(name: str, module: nn.Module) -> bool:
    """Whether a parameter is decayed: the official rule is `.*/kernel$`, so no bias, norm, token or position."""
    return name == "weight" and isinstance(module, nn.Linear | nn.Conv2d)


def hidden_matrices(name: str, module: nn.Module) -> int:
    """How many matrices of the encoder's blocks the parameter `name` holds: 3 for q, k and v in one, 0 for none."""
    if "encoder.blocks." not in name or not is_kernel(name.rpartition(".")[2], module):
        return 0
    return 3 if name.endswith(".qkv.weight") else 1


def parameter_groups(
    model: nn.Module, weight_decay: float, layer_decay: float, *, muon: bool = False
) -> list[dict[str, Any]]:
    """Groups of parameters with their `decay`, and `scale`, the multiple of the scheduled rate.

    For Muon they also have `parts`, the `hidden_matrices` in each parameter.
    """
    depth = len({block[1] for name, _ in model.named_parameters() if (block := BLOCK.match(name))})
    groups: dict[tuple[float, float, int], dict[str, Any]] = {}
    for prefix, module in model.named_modules():
        for short, parameter in module.named_parameters(recurse=False):
            if not parameter.requires_grad:
                continue
            name = f"{prefix}.{short}" if prefix else short
            decay = weight_decay if is_kernel(short, module) else 0.0
            scale = layer_decay ** (depth + 1 - layer_of(name, depth))
            parts = hidden_matrices(name, module) if muon else 0
            group = {"params": [], "decay": decay, "scale": scale, "parts": parts}
            groups.setdefault((decay, scale, parts), group)["params"].append(parameter)
    return list(groups.values())


def make_optimizer(model: nn.Module, settings: TrainSettings) -> torch.optim.Optimizer:
    """Adam, SGD or Muon over `parameter_groups`, fused where it can be; the weight decay is `decay_kernels`' task.

    Raises `ConfigError` for Muon where there are no hidden matrices.
    """
    muon = settings.optimizer == "muon"
    groups = parameter_groups(model, settings.weight_decay, settings.layer_decay, muon=muon)
    if settings.optimizer == "adamw":
        return torch.optim.Adam(groups, lr=settings.lr, betas=settings.betas, fused=True)
    if muon:
        if not any(group["parts"] for group in groups):
            raise ConfigError("optimizer muon is for the matrices of a Transformer, none learns here: choose adamw")
        dtype = torch.bfloat16 if settings.precision == "bfloat16" else torch.float32
        return Muon(groups, lr=settings.lr, betas=settings.betas, momentum=settings.momentum, dtype=dtype)
    return torch.optim.SGD(groups, lr=settings.lr, momentum=settings.momentum, fused=True)


@torch.no_grad()
def decay_kernels(optimizer: torch.optim.Optimizer) -> None:
    """Shrinks every kernel by lr · decay, before the step and apart from the gradient (Loshchilov & Hutter, 2019)."""
    for group in optimizer.param_groups:
        if group["decay"]:
            torch._foreach_mul_(group["params"], 1 - group["lr"] * group["decay"])


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Sets every group's rate to its multiple of `rate`."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["scale"]


def clip_gradients(model: nn.Module, largest: float) -> torch.Tensor:
    """Scales all gradients so that their global norm is at most `largest` (0: no limit); returns the norm before."""
    return nn.utils.clip_grad_norm_(model.parameters(), largest or float("inf"), foreach=True)
