"""Attention distance and rollout against timm's own attention matrices, computed slowly in float64."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import vitascope as vs
from peers import peer, randomise
from vitascope import views

pytestmark = [
    pytest.mark.peers,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]
LIMIT = 1e-4
PATCH = 8
KINDS: dict[str, dict[str, Any]] = {
    "AugReg, DeiT": {},
    "DINOv2 with registers": {"init_values": 1e-1, "reg_tokens": 4, "no_embed_class": True},
    "mean without class token": {"global_pool": "avg", "class_token": False, "fc_norm": False},
    "not square": {"img_size": (24, 56)},
    "grey": {"in_chans": 1},
}


@pytest.mark.parametrize("name", KINDS)
def test_timm_with_fused_attention_off(name: str, tmp_path: Path) -> None:
    timm = peer("timm")
    args = {"img_size": 32, "patch_size": PATCH, "embed_dim": 128, "depth": 3, "num_heads": 2, "num_classes": 7}
    args |= KINDS[name]
    model = randomise(timm.create_model("vit_base_patch16_224", **args))
    peer("timm.models._hub").save_for_hf(model, tmp_path, model_args=args, safe_serialization=True)
    size = args["img_size"]
    height, width = size if isinstance(size, tuple) else (size, size)
    images = torch.randn(2, args.get("in_chans", 3), height, width, generator=torch.Generator().manual_seed(1))

    kept: list[np.ndarray] = []
    for block in model.blocks:
        block.attn.fused_attn = False
        block.attn.attn_drop.register_forward_hook(lambda m, i, weights: kept.append(weights.double().numpy()))
    with torch.no_grad():
        model(images)
    assert len(kept) == 3

    ours = vs.load(tmp_path)
    assert ours.format == "timm"
    for layer, weights in views.attention(ours.model, images).items():
        np.testing.assert_allclose(weights.numpy(), kept[layer], atol=1e-5)

    grid, prefix = (height // PATCH, width // PATCH), model.num_prefix_tokens
    expected = np.array([[slow_distance(layer[:, head], grid, prefix) for head in range(2)] for layer in kept])
    got = views.attention_distance(ours.model, images).numpy()
    print(f"{name}: distance from {expected.min():.2f} to {expected.max():.2f} pixels")
    assert np.ptp(expected) > 0.01  # heads differ, so that a mix-up is seen
    np.testing.assert_allclose(got, expected, atol=LIMIT)

    for residual in (True, False):
        flow = np.stack([slow_rollout([layer[b] for layer in kept], residual) for b in range(2)])
        read = flow[:, :1] if model.cls_token is not None else flow
        wanted = read[:, :, prefix:].mean(axis=1).reshape(2, *grid)
        np.testing.assert_allclose(views.rollout(ours.model, images, residual).numpy(), wanted, atol=LIMIT / 100)


def slow_distance(weights: np.ndarray, grid: tuple[int, int], prefix: int) -> float:
    """Mean over images and patches of one head's (B, T, T), a pair of patches at a time."""
    total = 0.0
    for image in weights:
        for i, j in np.ndindex(grid[0] * grid[1], grid[0] * grid[1]):
            (y, x), (v, u) = divmod(i, grid[1]), divmod(j, grid[1])
            total += image[prefix + i, prefix + j] * math.sqrt((PATCH * (y - v)) ** 2 + (PATCH * (x - u)) ** 2)
    return total / (len(weights) * grid[0] * grid[1])


def slow_rollout(layers: list[np.ndarray], residual: bool) -> np.ndarray:
    """The product of all layers' head means, (h, T, T) each → (T, T), from the last layer down."""
    product = np.eye(layers[0].shape[1])
    for weights in reversed(layers):
        mean = weights.mean(axis=0) + residual * np.eye(weights.shape[1])
        product = product @ (mean / mean.sum(axis=1, keepdims=True))
    return product
