"""How to train: one frozen dataclass that pre-training and fine-tuning fill in with their own values."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Annotated, Literal

from vitascope.data.settings import AugmentConfig
from vitascope.errors import ConfigError
from vitascope.fields import Count, Probability, Range, SizeText, TimeText, check_fields, refuse_idle

Precision = Literal["auto", "float32", "bfloat16"]
Optimizer = Literal["adamw", "sgd", "muon"]
FromZero = Annotated[float, Range(0)]
Share = Annotated[float, Range(0, 1)]
Workers = Annotated[int, Range(0, 512)]
"""Processes; a billion of them would be started until the machine is full."""


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """Everything the training loop is told; the length is one of `steps`, `epochs` and `time_budget`."""

    steps: Count | None = None
    """Optimiser steps."""
    epochs: FromZero | None = None
    """Passes over the training set, instead of steps."""
    time_budget: TimeText | None = None
    """Wall time of the whole command instead of steps, such as 90s, 10m, 2h: the schedule ends as the time does."""
    batch: Count = 128
    """Images per optimiser step, over all processes."""
    micro_batch: Count | Literal["auto"] | None = None
    """Images per forward pass; fewer than a step has: gradients are accumulated. None and auto: all that fit."""
    optimizer: Optimizer = "adamw"
    """Adam, SGD with momentum, or Muon for the blocks' matrices and Adam, at the same rate, for all else."""
    lr: FromZero = 1e-3
    """Learning rate at the end of the warm-up."""
    warmup: FromZero = 0.05
    """Linear warm-up: a share of all steps if below 1, otherwise steps, half of the run at most."""
    decay: Literal["cosine", "linear", "constant", "stairs"] = "cosine"
    """How the learning rate falls after the warm-up; stairs: to a tenth at 30, 60 and 90 % of the steps (BiT)."""
    end_lr: FromZero = 0.0
    """Learning rate at the last step."""
    betas: tuple[Probability, Probability] = (0.9, 0.999)
    """Of Adam (Section 4.1)."""
    momentum: Probability = 0.9
    """Of SGD (Section 4.1), and of Muon, for which 0.95 is usual."""
    weight_decay: FromZero = 0.0
    """Decoupled, on the kernels of linear layers and convolutions only; multiplied by the learning rate."""
    layer_decay: Share = 1.0
    """Each block learns at this multiple of the rate of the next (BEiT); 1 for none."""
    clip: FromZero = 1.0
    """Largest global norm of the gradient; 0 for no clipping."""
    loss: Literal["softmax", "sigmoid"] = "softmax"
    """Cross-entropy over classes, or of each class on its own (pre-training on many labels), which several labels an
    image always have."""
    label_smoothing: Probability = 0.0
    """Share of the target spread evenly over all classes, in [0, 1)."""
    ema: Probability = 0.0
    """Decay per step of an exponential moving average of the weights, which then is the result; 0 for none."""
    keep: Literal["last", "best"] = "last"
    """Which weights are the result: the last, or those of the best validation (early stopping, Section 4.3)."""
    best_by: Literal["accuracy", "loss"] = "accuracy"
    """By what the best validation is told, which also ends a run with patience; the loss may turn long before."""
    patience: Count | None = None
    """Evaluations without a better one after which a run ends before its last step; none: it never does."""
    precision: Precision = "auto"
    """Format of the products; auto: whatever is faster here. Weights and optimiser are always float32."""
    compile: bool = False
    """Compile the model with torch.compile: a minute's wait, then some faster steps."""
    drop_tokens: Probability = 0.0
    """Share of the patches left out of each training image, others each time: less work per image; 0 for none."""
    drop_tokens_for: Share = 1.0
    """Share of the steps, from the first, in which `drop_tokens` applies; the others see whole images."""
    checkpoint_activations: bool = False
    """Keep only every block's input and compute the rest again: much less memory, a third to a half more time."""
    workers: Workers = 0
    """Processes that read and augment images, for evaluations too; 0 for none besides this one."""
    memory_budget: SizeText = "2G"
    """Decoded images are kept in memory when they all fit into this; 0 for never."""
    seed: Annotated[int, Range(0)] = 0
    """Fixes initial values, order and augmentation."""
    log_every: Count = 10
    """Steps between lines of metrics.jsonl."""
    eval_every: Count | None = None
    """Steps between evaluations on the validation set; none: ten in a run, fewer where a time budget is short."""
    save_every: Count | None = None
    """Steps between checkpoints to resume from; none: ten in a run."""
    keep_checkpoints: Count = 2
    """How many of them are kept."""
    tensorboard: bool = False
    """Also write TensorBoard's event files (`pip install "vitascope[tensorboard]"`)."""
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    """Random changes of the training images."""

    def __post_init__(self) -> None:
        check_fields(self)
        lengths = {n: getattr(self, n) for n in ("steps", "epochs", "time_budget") if getattr(self, n) is not None}
        if len(lengths) > 1:
            raise ConfigError(f"{' and '.join(f'{k}={v}' for k, v in lengths.items())}: give only one of them")
        if self.time_budget is not None:
            seconds(self.time_budget)
        memory_bytes(self.memory_budget)
        for name in ("epochs", "lr", "layer_decay", "drop_tokens_for"):
            if getattr(self, name) == 0:
                raise ConfigError(f"{name} is 0, expected a number above 0")
        if self.end_lr > self.lr:
            raise ConfigError(f"end_lr {self.end_lr} is above lr {self.lr}")
        if self.decay in ("constant", "stairs"):
            refuse_idle(self, f"decay {self.decay} has an end of its own", "end_lr")
        if self.optimizer == "adamw":
            refuse_idle(self, "adamw has none", "momentum")
        if self.optimizer == "sgd":
            refuse_idle(self, "sgd has none", "betas")
        if self.keep == "last":
            refuse_idle(
                self, "the last weights are kept, whatever the validation says (keep=last)", "best_by", "patience"
            )
        if not self.drop_tokens:
            refuse_idle(self, "no tokens are dropped", "drop_tokens_for")


def seconds(text: str) -> float:
    """ "90s" → 90, "10m" → 600, "1.5h" → 5400; raises `ConfigError` for anything else."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(s|m|min|h)\s*", str(text))
    if match is None or float(match[1]) == 0:
        raise ConfigError(f"time_budget is {text!r}, expected a time such as 90s, 10m or 2h")
    return float(match[1]) * {"s": 1, "m": 60, "min": 60, "h": 3600}[match[2]]


def memory_bytes(text: str, name: str = "memory_budget") -> int:
    """ "500M" → 500·2²⁰, "2G" → 2·2³⁰, "0" → 0; raises `ConfigError` for anything else."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMG]?)\s*", str(text))
    if match is None:
        raise ConfigError(f"{name} is {text!r}, expected a size such as 500M, 2G or 0")
    return int(float(match[1]) * {"": 1, "K": 2**10, "M": 2**20, "G": 2**30}[match[2]])
