"""ResNets pre-trained with Adam or with SGD, each at the best of several rates (Table 7, D.1)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from vitascope.studies.ablation.variant import FINETUNED, Base, Found, Kind, Variant, above
from vitascope.studies.evidence import Claim

_MODELS: dict[str, tuple[dict[str, Any], dict[str, float]]] = {
    "ResNet-11": ({"units": (1, 1, 1)}, {"Adam": 0.8933, "SGD": 0.8879}),
    "ResNet-20": ({"units": (2, 2, 2)}, {"Adam": 0.9401, "SGD": 0.9372}),
}
"""The smaller stands for the paper's R50, the larger for its R152x2; their mean over five data sets."""
_LEARNING = {"Adam": {"optimizer": "adamw"}, "SGD": {"optimizer": "sgd"}}
_RATES = {"Adam": (1.0, 3.0, 9.0, 27.0, 81.0), "SGD": (50.0, 150.0, 500.0, 1500.0)}
"""Times the study's; small ResNets like Adam's far above a ViT's."""


def variants(base: Base) -> list[Variant]:
    """Both models with both optimisers at every rate; rate · decay, by which weights shrink, is the study's for all."""
    small: dict[str, Any] = {"base_width": 32, "small_images": True}
    resnet = replace(base, model="BiT-R50x1", fields=small)
    return [
        resnet.variant(
            f"{model}, {name}, {factor * base.lr:g}",
            f"{model}, {name}",
            x=factor * base.lr,
            fields=fields,
            learning={**learning, "lr": factor * base.lr, "weight_decay": base.weight_decay / factor},
            paper=paper[name],
        )
        for model, (fields, paper) in _MODELS.items()
        for name, learning in _LEARNING.items()
        for factor in _RATES[name]
    ]


def _adam(found: Found) -> list[Claim]:
    adam, sgd = _LEARNING
    return [claim for model in _MODELS for claim in found.compare_best(f"{model}, {adam}", f"{model}, {sgd}", above)]


KIND = Kind(
    where="Table 7",
    measure=FINETUNED,
    own_models=True,
    variants=variants,
    statements={"ResNets pre-trained with Adam are better than with SGD, each at its best rate": _adam},
    x="learning rate of pre-training",
)
