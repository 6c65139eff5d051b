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
from vitascope.layers.config import StemConfig
from vitascope.models.catalogue import model_config
from vitascope.models.config import ModelConfig

_TIMM = "timm, results-imagenet.csv"
_21K, _1K = "ImageNet-21k", "ImageNet-1k"
_LATER: dict[str, Any] = {"gelu": "erf", "dropout": 0.0}
"""What every ViT of these libraries has other than the paper's."""
USUAL_SIZE = 224
"""Pixels at which people fine-tune first."""


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

    @property
    def counted_at(self) -> int:
        """Side of the images at which operations and speed are told: the usual one, or its own where that is less."""
        return min(self.pixels, USUAL_SIZE)

    def config(self, image_size: int | None = None) -> ModelConfig:
        """Its config without a head, at `image_size` or at the size it was trained on."""
        changes = {**self.fields, "classes": 0, "image_size": image_size or self.pixels}
        return model_config(self.model, **changes)


def _augreg(size: str, model: str, top1: float, units: tuple[int, ...] | None = None) -> Start:
    """How to train your ViT? (Steiner et al., 2021); a hybrid with `units` in the stages of its stem."""
    stem = None if units is None else StemConfig(units=units, norm_eps=1e-5, kernel_rule="variance", kernel_eps=1e-8)
    return Start(
        name=f"timm/vit_{size}_224.augreg_in21k",
        family="AugReg",
        model=model,
        fields={**_LATER, "stem": stem},
        trained_on=f"{_21K}, labels",
        top1=top1,
        judged="fine-tuned at 384 px",
        source=_TIMM,
    )


def _bit(depth: int, top1: float) -> Start:
    """Big Transfer (Kolesnikov et al., 2019), BiT-M."""
    return Start(
        name=f"timm/resnetv2_{depth}x1_bit.goog_in21k",
        family="BiT",
        model=f"BiT-R{depth}x1",
        fields={"kernel_eps": 1e-8},
        trained_on=f"{_21K}, labels",
        top1=top1,
        judged="fine-tuned at 448 px",
        source=_TIMM,
    )


def _deit3(size: str, model: str, top1: float) -> Start:
    """DeiT III (Touvron et al., 2022), pre-trained on ImageNet-21k and fine-tuned on ImageNet-1k."""
    return Start(
        name=f"timm/deit3_{size}_patch16_224.fb_in22k_ft_in1k",
        family="DeiT III",
        model=model,
        fields={**_LATER, "layer_scale": 1e-5, "class_row": False},
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
        fields={**_LATER, "layer_scale": 1e-5, "registers": registers, "class_row": not registers},
        pixels=518,
        trained_on="LVD-142M, no labels",
        top1=top1,
        judged="linear",
        source="facebookresearch/dinov2, README",
    )


def _dinov3(size: str, model: str, top1: float, **fields: Any) -> Start:
    """DINOv3 (Siméoni et al., 2025), distilled from 7B. The authors tell no accuracy on ImageNet itself."""
    eva = {"positions": "rotary", "registers": 4, "layer_scale": 1e-5, "norm_eps": 1e-5, "qkv_bias": False}
    return Start(
        name=f"timm/vit_{size}_patch16_dinov3.lvd1689m",
        family="DINOv3",
        model=model,
        fields={**_LATER, **eva, "pooling": "mean", **fields},
        pixels=256,
        trained_on="LVD-1689M, no labels",
        licence="DINOv3-License",
        top1=top1,
        judged="linear at 512 px",
        source="yberreby/dinov3-in1k-probes, README",
    )


def _clip(size: str, model: str, top1: float) -> Start:
    """The image tower of CLIP (Radford et al., 2021), as OpenCLIP trained it on public images."""
    return Start(
        name=f"timm/vit_{size}_clip_224.laion2b",
        family="CLIP",
        model=model,
        fields={**_LATER, "norm_before": True, "norm_eps": 1e-5},
        trained_on="LAION-2B, captions",
        top1=top1,
        judged="fine-tuned at 224 px",
        source=_TIMM,
    )


def _mae(size: str, model: str, top1: float) -> Start:
    """Masked autoencoder (He et al., 2021)."""
    return Start(
        name=f"timm/vit_{size}_patch16_224.mae",
        family="MAE",
        model=model,
        fields=_LATER,
        trained_on=f"{_1K}, no labels",
        licence="CC-BY-NC-4.0",
        top1=top1,
        judged="fine-tuned at 224 px",
        source="arXiv 2111.06377, Table 3",
    )


STARTS: tuple[Start, ...] = (
    _augreg("tiny_patch16", "ViT-Ti/16", 78.4),
    _augreg("small_patch32", "ViT-S/32", 80.5),
    _augreg("small_patch16", "ViT-S/16", 83.8),
    _augreg("base_patch32", "ViT-B/32", 83.4),
    _augreg("base_patch16", "ViT-B/16", 86.0),
    _augreg("large_patch16", "ViT-L/16", 87.1),
    _augreg("tiny_r_s16_p8", "R+ViT-Ti/16", 76.0, units=()),
    _augreg("small_r26_s32", "R26+ViT-S/32", 84.0, units=(2, 2, 2, 2)),
    _augreg("large_r50_s32", "R50+ViT-L/32", 86.2, units=(3, 4, 6, 3)),
    Start(
        name="google/vit-base-patch16-224-in21k",
        family="ViT",
        model="ViT-B/16",
        fields={**_LATER, "norm_eps": 1e-12},
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
        fields=_LATER,
        trained_on=f"{_1K}, no labels",
        top1=77.0,
        judged="linear",
        source="facebookresearch/dino, README",
    ),
    _dinov2("vit_small_patch14", "ViT-S/14", 81.1),
    _dinov2("vit_small_patch14_reg4", "ViT-S/14", 80.9, registers=4),
    _dinov2("vit_base_patch14", "ViT-B/14", 84.5),
    _dinov2("vit_large_patch14", "ViT-L/14", 86.3),
    _dinov3("small", "ViT-S/16", 81.4),
    _dinov3("small_plus", "ViT-S/16", 82.9, gated_mlp=True),
    _dinov3("base", "ViT-B/16", 85.0),
    _dinov3("large", "ViT-L/16", 87.4),
    _clip("base_patch32", "ViT-B/32", 82.6),
    _clip("base_patch16", "ViT-B/16", 85.5),
    Start(
        name="timm/vit_base_patch16_siglip_224.v2_webli",
        family="SigLIP 2",
        model="ViT-B/16",
        fields={**_LATER, "class_token": False, "class_row": False, "pooling": "attention"},
        trained_on="WebLI, captions",
        top1=78.2,
        judged="zero-shot",
        source="google-research/big_vision, README_siglip2.md",
    ),
    _mae("base", "ViT-B/16", 83.6),
    _mae("large", "ViT-L/16", 85.9),
    _bit(50, 80.3),
    _bit(101, 82.3),
    Start(
        name="start",
        family="Vitascope",
        model="ViT-Ti/4",
        fields={"width": 192, "depth": 6, "heads": 3, "hidden": 768, "class_token": False, "pooling": "mean"},
        pixels=32,
        trained_on="CIFAR-100, labels; in the package",
    ),
)
"""By family; what loads by name, has an accuracy that can be compared, and is of a size that people fine-tune."""

_BEST = {
    "Ti_16": "none-wd_0.03-do_0.0-sd_0.0",
    "S_32": "light1-wd_0.03-do_0.0-sd_0.0",
    "S_16": "light1-wd_0.03-do_0.0-sd_0.0",
    "B_32": "medium1-wd_0.03-do_0.0-sd_0.0",
    "B_16": "medium1-wd_0.1-do_0.0-sd_0.0",
    "B_8": "medium1-wd_0.1-do_0.0-sd_0.0",
    "L_16": "medium1-wd_0.1-do_0.1-sd_0.1",
    "R_Ti_16": "none-wd_0.03-do_0.0-sd_0.0",
    "R26_S_32": "medium2-wd_0.03-do_0.0-sd_0.0",
    "R50_L_32": "medium2-wd_0.1-do_0.0-sd_0.0",
}
"""Of AugReg's files for each size, the settings that did best on ImageNet-21k."""
_PAPER = ("ViT-B_16", "ViT-B_32", "ViT-L_16", "ViT-L_32", "R50+ViT-B_16")
OFFICIAL = (
    *(f"google:augreg/{size}-i21k-300ep-lr_0.001-aug_{rest}" for size, rest in _BEST.items()),
    *(f"google:{folder}/{model}" for folder in ("imagenet21k", "imagenet21k+imagenet2012") for model in _PAPER),
    "google:imagenet21k/ViT-H_14",
    *(f"google:imagenet21k+imagenet2012/ViT-{size}_16-224" for size in "BL"),
    *(f"google:sam/ViT-{model}" for model in ("B_16", "B_32")),
    *(
        f"google:BiT-{data}-{size}"
        for data in "SM"
        for size in ("R50x1", "R50x3", "R101x1", "R101x3", "R152x2", "R152x4")
    ),
)
"""Names of the authors' own files, to be suggested: not all there are."""


def speeds(processor: str) -> dict[str, Any]:
    """What `benchmarks/starts.py` kept of `processor`, or of another one where that was not measured, or {}.

    Its "processor" says of which; "ways" holds what was measured by name, such as "predicted_per_second".
    """
    here = Path(__file__)
    files = [*here.with_name("speeds").glob("*.json"), *here.parents[3].glob("results/benchmarks/*/starts.json")]
    kept = [read_json(file) for file in sorted(files)]
    return next((one for one in kept if one.get("processor") == processor), kept[0] if kept else {})
