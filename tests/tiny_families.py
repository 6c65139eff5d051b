"""A tiny model of every family that is read and written, in every format that can say it."""

from __future__ import annotations

from dataclasses import replace

from tiny_checkpoint import TINY
from vitascope.models.config import BiTConfig, ModelConfig, StemConfig

WIDE = replace(TINY, width=64, heads=1, hidden=128)
ERF = replace(WIDE, gelu="erf")
OFFICIAL = replace(ERF, image_size=(32, 32), patch=1, stem=StemConfig())
TIMM_STEM = StemConfig(norm_eps=1e-5, kernel_rule="variance", kernel_eps=1e-8)

CLIP = replace(ERF, norm_before=True, gelu="quick", classes=0, representation_size=6, representation_activation="none")
DINOV3 = replace(ERF, positions="rotary", registers=2, layer_scale=1e-5, norm_eps=1e-5, classes=0)
LUCIDRAINS = replace(ERF, width=128, heads=2, qkv_bias=False, patch_norms=True, norm_eps=1e-5)

ROUND_TRIPS: list[tuple[str, ModelConfig]] = [
    ("google", TINY),
    ("google", replace(TINY, classes=0)),
    ("google", replace(TINY, representation_size=5, representation_activation="tanh")),
    ("google", replace(TINY, class_token=False, pooling="mean", class_row=False)),
    ("google", replace(TINY, class_row=False)),
    (
        "google",
        replace(TINY, image_size=(32, 32), patch=2, stem=StemConfig(units=(1, 2), width_factor=0.5)),
    ),
    ("google", replace(TINY, patch=1, stem=StemConfig(units=(1, 1), width_factor=0.5, small_images=True))),
    ("google", replace(TINY, class_token=False, pooling="attention", class_row=False)),
    ("google", BiTConfig(units=(1, 2, 1, 1), base_width=32, classes=3)),
    ("google", BiTConfig(units=(1, 1), classes=3, small_images=True)),
    ("google", BiTConfig(units=(1, 2), base_width=32, classes=3)),
    ("timm", WIDE),
    ("timm", replace(ERF, layer_scale=1e-6, class_row=False, registers=3)),
    ("timm", replace(ERF, norm="pooled", pooling="mean", image_size=(16, 24), channels=1)),
    ("timm", replace(ERF, positions="none", classes=0)),
    ("timm", replace(ERF, qkv_bias=False)),
    ("timm", replace(ERF, pooling="token+distillation", registers=1)),
    ("timm", replace(ERF, pooling="token+distillation", registers=1, classes=0, image_size=(16, 24))),
    ("timm", replace(TINY, width=40, heads=5, hidden=23)),
    ("timm", replace(OFFICIAL, stem=TIMM_STEM)),
    ("timm", replace(ERF, norm_before=True, norm_eps=1e-5, classes=0, gelu="quick")),
    ("timm", replace(CLIP, norm_eps=1e-5)),
    ("timm", replace(DINOV3, qkv_bias=False, registers=0, classes=3, pooling="mean")),
    ("timm", replace(ERF, class_token=False, pooling="attention", class_row=False)),
    ("huggingface", replace(WIDE, norm_eps=1e-12)),
    ("huggingface", replace(ERF, image_size=(16, 24))),
    ("huggingface", replace(ERF, classes=0, representation_size=7, representation_activation="tanh")),
    ("huggingface", replace(WIDE, classes=0, representation_size=7)),
    ("huggingface", replace(ERF, layer_scale=0.5, pooling="token+mean")),
    ("huggingface", replace(ERF, qkv_bias=False)),
    ("huggingface", replace(ERF, pooling="token+distillation", registers=1)),
    ("huggingface", replace(WIDE, registers=1)),
    ("huggingface", replace(WIDE, registers=1, classes=0)),
    ("huggingface", replace(ERF, layer_scale=0.5, registers=2, classes=0)),
    ("timm", replace(DINOV3, gated_mlp=True, hidden=37, qkv_bias=False)),
    ("huggingface", DINOV3),
    ("huggingface", replace(DINOV3, gated_mlp=True)),
    ("huggingface", CLIP),
    ("huggingface", replace(CLIP, representation_size=None, representation_activation="gelu")),
    ("huggingface", replace(TINY, class_token=False, pooling="attention", class_row=False, classes=0)),
    ("huggingface", replace(TINY, class_token=False, pooling="mean", class_row=False)),
    ("vit-pytorch", LUCIDRAINS),
    ("vit-pytorch", replace(LUCIDRAINS, width=40, head_width=16, class_token=False, pooling="mean", class_row=True)),
    ("vit-pytorch", replace(LUCIDRAINS, image_size=(16, 24), channels=1, classes=0)),
    ("torchvision", ERF),
    ("torchvision", replace(ERF, width=40, heads=5)),
    ("torchvision", replace(ERF, representation_size=7, representation_activation="tanh")),
]  # fmt: skip
