"""A small model of every kind that views must take."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from tiny_checkpoint import checkpoint
from vitascope.checkpoints.checkpoint import Checkpoint
from vitascope.models.config import StemConfig, ViTConfig

PLAIN = ViTConfig(image_size=(24, 24), patch=8, width=16, depth=3, heads=2, hidden=24, classes=6)
KINDS: dict[str, tuple[ViTConfig, tuple[int, int]]] = {
    "plain": (PLAIN, (24, 24)),
    "hidden layer, as Google's": (replace(PLAIN, representation_size=5, representation_activation="tanh"), (24, 24)),
    "registers, LayerScale, as DINOv2": (
        replace(PLAIN, registers=4, layer_scale=0.5, class_row=False, gelu="erf", classes=0),
        (24, 24),
    ),
    "token and mean": (replace(PLAIN, pooling="token+mean", registers=2), (24, 24)),
    "distilled": (replace(PLAIN, pooling="token+distillation", registers=1), (24, 24)),
    "mean, no class token": (replace(PLAIN, class_token=False, pooling="mean", norm="pooled"), (24, 24)),
    "mean beside a class token": (replace(PLAIN, pooling="mean", norm="pooled"), (24, 24)),
    "not square": (replace(PLAIN, image_size=(16, 40)), (16, 40)),
    "another size than stored": (PLAIN, (16, 32)),
    "hybrid": (
        replace(PLAIN, image_size=(32, 48), patch=2, stem=StemConfig(units=(1, 1), width_factor=0.5)),
        (32, 48),
    ),
    "grey": (replace(PLAIN, channels=1), (24, 24)),
    "five channels": (replace(PLAIN, channels=5), (24, 24)),
    "no positions": (replace(PLAIN, positions="none"), (24, 24)),
    "fixed positions": (replace(PLAIN, positions="sincos"), (24, 24)),
    "normed patches, wide heads": (replace(PLAIN, patch_norms=True, head_width=12), (24, 24)),
    "no biases on q, k and v": (replace(PLAIN, qkv_bias=False), (24, 24)),
    "LayerNorm before the blocks, as CLIP": (replace(PLAIN, norm_before=True, gelu="quick"), (24, 24)),
    "rotary positions, gated MLPs, as DINOv3": (
        replace(PLAIN, positions="rotary", registers=2, gated_mlp=True),
        (16, 32),
    ),
    "attention pooling, as SigLIP": (replace(PLAIN, class_token=False, pooling="attention"), (24, 24)),
    "one patch": (replace(PLAIN, image_size=(8, 8)), (8, 8)),
}  # fmt: skip


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> tuple[Checkpoint, Tensor]:
    """A checkpoint and three images for it."""
    config, size = KINDS[request.param]
    images = torch.randn(3, config.channels, *size, generator=torch.Generator().manual_seed(3))
    return checkpoint(config), images


@pytest.fixture
def plain() -> tuple[Checkpoint, Tensor]:
    """The usual model and three images."""
    return checkpoint(PLAIN), torch.randn(3, 3, 24, 24, generator=torch.Generator().manual_seed(3))
