"""Kinds of models beyond the paper's, which every engine and every export has to compute."""

from __future__ import annotations

from dataclasses import replace

from tiny_checkpoint import TINY
from tiny_families import TIMM_STEM
from vitascope.models.config import BiTConfig, ModelConfig

OTHER_KINDS: dict[str, ModelConfig] = {
    "hybrid of timm": replace(
        TINY, image_size=(32, 32), patch=2, stem=replace(TIMM_STEM, units=(1,), width_factor=0.5)
    ),
    "distilled": replace(TINY, pooling="token+distillation", registers=1, depth=2),
    "normed patches, wide heads": replace(TINY, patch_norms=True, head_width=12),
    "no biases on q, k and v": replace(TINY, qkv_bias=False),
    "LayerNorm before the blocks, projection, as CLIP": replace(
        TINY, norm_before=True, gelu="quick", classes=0, representation_size=6, representation_activation="none"
    ),
    "attention pooling, as SigLIP": replace(TINY, class_token=False, pooling="attention"),
    "rotary positions, gated MLPs, as DINOv3": replace(TINY, positions="rotary", registers=2, gated_mlp=True, depth=2),
    "BiT": BiTConfig(units=(1, 1, 1, 1), base_width=32, image_size=(32, 32), classes=3),
}
