"""Weights as training scripts leave them: name of the script → what it stores around a model's tensors."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

ARGS = argparse.Namespace(model="vit_tiny_patch16_224", lr=1e-3)
EXP_AVG = {"optimizer": {"state": {0: {"step": torch.ones(()), "exp_avg": torch.ones(3)}}, "param_groups": [{"lr": 1}]}}
State = dict[str, Tensor]


def under(prefix: str, state: State) -> State:
    return {prefix + name: tensor.clone() for name, tensor in state.items()}


def worse(state: State) -> State:
    return {name: torch.zeros_like(tensor) for name, tensor in state.items()}


WRAPPED: dict[str, Callable[[State], Any]] = {
    "torch.compile": lambda s: under("_orig_mod.", s),
    "DDP around torch.compile": lambda s: {"model": under("module._orig_mod.", s)},
    "torch.compile around DDP": lambda s: {"state_dict": under("_orig_mod.module.", s)},
    "timm": lambda s: {"epoch": 3, "arch": "vit_x", "state_dict": worse(s), "state_dict_ema": s, "args": ARGS},
    "DeiT": lambda s: {"model": worse(s), "model_ema": under("module.", s), "scaler": {}, "args": ARGS, **EXP_AVG},
    "Lightning": lambda s: {
        "state_dict": under("net.", s) | {"criterion.weight": torch.ones(3)},
        "hyper_parameters": {"lr": 1e-3},
        "callbacks": {},
        "optimizer_states": [EXP_AVG],
    },
    "Lightning with an average": lambda s: {"state_dict": under("model.", worse(s)) | under("ema_model.module.", s)},
    "DINO": lambda s: {
        "student": under("module.backbone.", worse(s)) | {"module.head.mlp.0.weight": torch.ones(2, 2)},
        "teacher": under("backbone.", s) | {"head.mlp.0.weight": torch.ones(2, 2)},
        "dino_loss": {"center": torch.zeros(1, 4)},
        "args": ARGS,
    },
    "AveragedModel": lambda s: under("module.", s) | {"n_averaged": torch.tensor(5)},
    "an attribute model": lambda s: under("model.", s),
    "an attribute backbone": lambda s: {"state_dict": under("backbone.", s)},
    "an attribute encoder": lambda s: under("encoder.", s) | {"projector.weight": torch.ones(2, 2)},
    "MAE": lambda s: {"model": s | {"decoder_embed.weight": torch.ones(2, 2), "mask_token": torch.ones(1)}},
    "a name of somebody's own": lambda s: {"weights": {"params": under("backbone.vit.", s)}},
}  # fmt: skip
AVERAGED = ("timm", "DeiT", "Lightning with an average", "DINO")
"""Those that hold an average beside the plain weights."""
