"""Starts worth having: weights that others published and that load by name, with what was published about them.

What follows from a model's config (parameters, operations) is computed from it, so that nothing is typed in twice. Free
of torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vitascope.checkpoints.json_file import read_json
from vitascope.models.catalogue import model_config
from vitascope.models.config import ModelConfig

_TIMM = "timm, results-imagenet.csv"
_21K, _1K = "ImageNet-21k", "ImageNet-1k"


@dataclass(frozen=True, kw_only=True)
class Start:
    """One row. Accuracies are top-1 on ImageNet-1k in percent, as published, never measured here."""

    name: str
    """What is typed for CHECKPOINT."""
    family: str
    """What its authors call it."""
    model: str
    """Its sizes, a name of the catalogue."""
    fields: Mapping[str, Any] = field(default_factory=dict)
    """Further fields of its config."""
    pixels: int = 224
    """Side of the images it was trained on last."""
    trained_on: str
    """Images, and what was learned from them."""
    licence: str = "Apache-2.0"
    """Of the weights, by SPDX where that has it; what is not `OPEN` restricts what may be done with the result."""
    top1: float | None = None
    """None where nothing comparable is known."""
    judged: str = ""
    """How it came to that accuracy."""
    source: str = ""
    """Who says so."""

    @property
    def is_open(self) -> bool:
        """Whether the licence lets everybody do everything with it."""
        return self.licence in ("Apache-2.0", "MIT", "BSD-3-Clause")

    def config(self, image_size: int | None = None) -> ModelConfig:
        """Its config without a head, at `image_size` or at the size it was trained on."""
        return model_config(self.model, **{**self.fields, "classes": 0, "image_size": image_size or self.pixels})


def _augreg(size: str, model: str, top1: float, **more: Any) -> Start:
    """How to train your ViT? (Steiner et al., 2021); the accuracy is that of the same weights fine-tuned by them."""
    known = {"judged": "fine-tuned at 384 px", "source": _TIMM, "trained_on": f"{_21K}, labels"} | more
    return Start(name=size, family="AugReg", model=model, top1=top1, **known)


def _deit3(size: str, model: str, top1: float) -> Start:
    """DeiT III (Touvron et al., 2022), pre-trained on ImageNet-21k and fine-tuned on ImageNet-1k."""
    return Start(
        name=f"timm/deit3_{size}_patch16_224.fb_in22k_ft_in1k",
        family="DeiT III",
        model=model,
        fields={"gelu": "erf", "layer_scale": 1e-6, "class_row": False},
        trained_on=f"{_21K}, then {_1K}, labels",
        top1=top1,
        judged="as it is, 224 px",
        source=_TIMM,
    )


def _dinov2(name: str, model: str, top1: float, registers: int = 0) -> Start:
    """DINOv2 (Oquab et al., 2023), and with registers (Darcet et al., 2024)."""
    return Start(
        name=f"timm/{name}_dinov2.lvd142m",
        family="DINOv2",
        model=model,
        fields={"gelu": "erf", "layer_scale": 1e-5, "registers": registers, "class_row": not registers},
        pixels=518,
        trained_on="LVD-142M, no labels",
        top1=top1,
        judged="linear",
        source="facebookresearch/dinov2, README",
    )


def _mae(size: str, model: str, top1: float) -> Start:
    """Masked autoencoder (He et al., 2021)."""
    return Start(
        name=f"timm/vit_{size}_patch16_224.mae",
        family="MAE",
        model=model,
        fields={"gelu": "erf"},
        trained_on=f"{_1K}, no labels",
        licence="CC-BY-NC-4.0",
        top1=top1,
        judged="fine-tuned at 224 px",
        source="arXiv 2111.06377, Table 3",
    )


_ERF = {"fields": {"gelu": "erf"}}
_HYBRID = "google:augreg/{}-i21k-300ep-lr_0.001-aug_{}-do_0.0-sd_0.0"

STARTS: tuple[Start, ...] = (
    _augreg("timm/vit_tiny_patch16_224.augreg_in21k", "ViT-Ti/16", 78.4, **_ERF),
    _augreg("timm/vit_small_patch32_224.augreg_in21k", "ViT-S/32", 80.5, **_ERF),
    _augreg("timm/vit_small_patch16_224.augreg_in21k", "ViT-S/16", 83.8, **_ERF),
    _augreg("timm/vit_base_patch32_224.augreg_in21k", "ViT-B/32", 83.4, **_ERF),
    _augreg("timm/vit_base_patch16_224.augreg_in21k", "ViT-B/16", 86.0, **_ERF),
    _augreg("timm/vit_large_patch16_224.augreg_in21k", "ViT-L/16", 87.1, **_ERF),
    Start(
        name="google/vit-base-patch16-224-in21k",
        family="ViT",
        model="ViT-B/16",
        fields={"gelu": "erf", "norm_eps": 1e-12},
        trained_on=f"{_21K}, labels",
        top1=83.97,
        judged="fine-tuned at 384 px",
        source="arXiv 2010.11929, Table 5",
    ),
    _deit3("small", "ViT-S/16", 83.1),
    _deit3("base", "ViT-B/16", 85.7),
    _deit3("large", "ViT-L/16", 87.0),
    Start(
        name="timm/vit_small_patch16_224.dino",
        family="DINO",
        model="ViT-S/16",
        fields={"gelu": "erf"},
        trained_on=f"{_1K}, no labels",
        top1=77.0,
        judged="linear",
        source="facebookresearch/dino, README",
    ),
    _dinov2("vit_small_patch14", "ViT-S/14", 81.1),
    _dinov2("vit_small_patch14_reg4", "ViT-S/14", 80.9, registers=4),
    _dinov2("vit_base_patch14", "ViT-B/14", 84.5),
    _dinov2("vit_large_patch14", "ViT-L/14", 86.3),
    _mae("base", "ViT-B/16", 83.6),
    _mae("large", "ViT-L/16", 85.9),
    _augreg(_HYBRID.format("R_Ti_16", "none-wd_0.03"), "R+ViT-Ti/16", 76.0),
    _augreg(_HYBRID.format("R26_S_32", "medium2-wd_0.03"), "R26+ViT-S/32", 84.0),
    _augreg(_HYBRID.format("R50_L_32", "medium2-wd_0.1"), "R50+ViT-L/32", 86.2),
    Start(
        name="google:BiT-M-R50x1",
        family="BiT",
        model="BiT-R50x1",
        trained_on=f"{_21K}, labels",
        top1=80.3,
        judged="fine-tuned at 448 px",
        source=_TIMM,
    ),
    Start(
        name="google:BiT-M-R101x1",
        family="BiT",
        model="BiT-R101x1",
        trained_on=f"{_21K}, labels",
        top1=82.3,
        judged="fine-tuned at 448 px",
        source=_TIMM,
    ),
)
"""By family; what loads by name, has an accuracy that can be compared, and is of a size that people fine-tune."""


def speeds(processor: str) -> dict[str, Any]:
    """What `benchmarks/starts.py` kept of `processor`, or of another one where that was not measured, or {}.

    Its "processor" says of which; "starts" holds images a second by name, at 224 pixels, "predict" and "train".
    """
    here = Path(__file__)
    files = [*here.with_name("speeds").glob("*.json"), *here.parents[3].glob("results/benchmarks/*/starts.json")]
    kept = [read_json(file) for file in sorted(files)]
    return next((one for one in kept if one.get("processor") == processor), kept[0] if kept else {})
