"""How every model of a study learns: the same for all, but for rates, which may be each one's own."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from vitascope.data.settings import AugmentConfig
from vitascope.errors import ConfigError
from vitascope.fields import Count, Probability, Range, Several, check_fields

Rate = Annotated[float, Range(1e-9)]
OWN_RATES = ("lr", "finetune_lr")
"""What every model learns at, in pre-training and fine-tuning, and may have of its own."""
FINETUNING = ("finetune_lr", "bit_lr")
"""The second by one set-up or the other, which is BiT's; where a model has both, the other's."""


@dataclass(frozen=True, kw_only=True)
class Learning:
    """Pre-training and fine-tuning of a study. Raises `ConfigError`."""

    image_size: int = 32
    """Side in pixels at pre-training."""
    batch: Count = 64
    """Images per step, in pre-training and fine-tuning."""
    lr: Rate = 1e-3
    """Peak rate of AdamW at pre-training, for models that have none of their own."""
    weight_decay: Annotated[float, Range(0)] = 0.05
    """At pre-training, decoupled."""
    warmup: Annotated[float, Range(0)] = 0.1
    """Share of the steps, at both; or so many steps, from 1 on."""
    decay: Literal["cosine", "constant"] = "cosine"
    """How the rate of pre-training falls; constant, with `ema`, where patience ends it."""
    ema: Probability = 0.0
    """Decay per step of an average of the weights, which is judged and kept; 0 for none."""
    evaluations: Count = 8
    """Looks at the validation images in one pre-training, of which the best is kept; 20: every 5 % of the steps."""
    best_by: Literal["accuracy", "loss"] = "accuracy"
    """By what a look is the best, and patience is told."""
    patience: Count | None = None
    """Looks without a better one after which a pre-training ends; none: it never does."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Format of the products in training, the same on every machine that has a part in it."""
    compile: bool = False
    """Compile the models with torch.compile for training: up to half a minute's wait in each run, then faster steps."""
    augment: AugmentConfig = field(default_factory=lambda: AugmentConfig(crop="shift"))
    """Of training images, for every model and size, at both; moved and mirrored unless told otherwise."""
    mean: tuple[float, ...] = (0.5,)
    """Subtracted from pixels in [0, 1]; one number, or one per channel."""
    std: tuple[float, ...] = (0.5,)
    """Divides them afterwards."""
    finetune_size: int | None = None
    """Side in pixels at fine-tuning; none: as at pre-training."""
    finetune_steps: Count = 500
    """Steps of fine-tuning: SGD with momentum, cosine, no weight decay (Table 4)."""
    finetune_lr: Rate = 0.03
    """Peak rate of fine-tuning, for models that have none of their own."""
    rates: Annotated[tuple[Rate, ...], Several(0)] = ()
    """Rates of pre-training that every model tries before all else, on images kept out; the best is its own, further
    ones are tried where it lies at an end. None: `lr` for all."""
    finetune_rates: Annotated[tuple[Rate, ...], Several(0)] = ()
    """The same of fine-tuning, on a tenth of the first target's training images."""
    bit_lr: Rate | None = None
    """Also fine-tune every ResNet by BiT's own set-up (Appendix B.1.1): at this rate, BiT's is 0.003, in stairs; the
    better on a tenth of the first target's training images counts."""
    own_rates: dict[str, dict[str, float]] = field(default_factory=dict)
    """Rates of single models, which then try none: {ViT-96/4: {lr: 0.0003, finetune_lr: 0.03}}."""

    def __post_init__(self) -> None:
        check_fields(self)
        for name, own in self.own_rates.items():
            good = isinstance(own, dict) and set(own) <= {*OWN_RATES, *FINETUNING}
            if not good or not all(isinstance(rate, int | float) and rate > 0 for rate in own.values()):
                names = f"{' and '.join(OWN_RATES)}, or {FINETUNING[1]}, which goes before the second"
                raise ConfigError(f"own_rates has {name}: {own}, expected rates above 0 by {names}")

    def rate(self, model: str, name: str) -> float:
        """Of a model by its name: its own `lr` or `finetune_lr`, else that of all."""
        own = self.own_rates.get(model, {})
        return float(own["bit_lr"] if name == "finetune_lr" and "bit_lr" in own else own.get(name, getattr(self, name)))

    def every(self, steps: int) -> int:
        """Steps between two looks at the validation images in a pre-training of so many."""
        return max(math.ceil(steps / self.evaluations), 1)

    def pretraining(self, model: str, steps: int) -> dict[str, Any]:
        """What a `PretrainRecipe` is told of it."""
        told = {name: getattr(self, name) for name in _PRETRAINING}
        every = self.every(steps)
        return {**told, "lr": self.rate(model, "lr"), "steps": steps, "eval_every": every, "save_every": every}

    def finetuning(self, model: str) -> dict[str, Any]:
        """What a `FinetuneRecipe` is told of it."""
        return {
            **{name: getattr(self, name) for name in _BOTH},
            "image_size": self.finetune_size,
            "steps": self.finetune_steps,
            "lr": self.rate(model, "finetune_lr"),
            "decay": "stairs" if "bit_lr" in self.own_rates.get(model, {}) else "cosine",
        }


_BOTH = ("batch", "warmup", "precision", "compile", "augment")
_PRETRAINING = (*_BOTH, "image_size", "weight_decay", "decay", "ema", "best_by", "patience", "mean", "std")
