"""Logits and tokens of the official implementations, computed once and kept in tests/golden."""

from __future__ import annotations

import json
import re
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

import vitascope as vs
from parity import families, parity
from vitascope.checkpoints.formats import bit, google
from vitascope.checkpoints.tensor_file import write_npz
from vitascope.checkpoints.translate import own_shapes
from vitascope.models.catalogue import model_config

GOLDEN = Path(__file__).parents[1] / "golden"
# `hybrid_stages` is large because ResNet stages are, and random weights do not compress. It is the only file of the
# official code with stages in it: told apart by its content, and with tokens to compare as well as logits.
STORED = {
    "ViT": "vit_token",
    "ViT with a hidden layer in the head": "vit_prelogits",
    "ViT, mean of the patches": "vit_gap",
    "hybrid, root alone": "hybrid_root",
    "hybrid": "hybrid_stages",
    "big_vision, class token": "bigvision_tok",
    "big_vision, mean, sine-cosine positions": "bigvision_gap_sincos",
}
DRAWN = {
    "ViT-Ti/16": "ViT-Ti_16",
    "ViT-S/32": "ViT-S_32",
    "ViT-B/16": "ViT-B_16",
    "R+ViT-Ti/16": "R_ViT-Ti_16",
    "R26+ViT-S/32": "R26_ViT-S_32",
    "R50+ViT-B/16": "R50_ViT-B_16",
    "BiT-R50x1": "BiT-R50x1",
    "BiT-R101x1": "BiT-R101x1",
}


@torch.inference_mode()
@families(STORED, ("google", "vitascope"))
def test_stored_weights(family: str) -> None:
    name = STORED[family]
    ck = vs.load(GOLDEN / f"{name}.npz")
    expected = np.load(GOLDEN / f"{name}.io.npz")
    images = torch.from_numpy(expected["images_nhwc"]).permute(0, 3, 1, 2)
    for what, got in (("tokens", ck.model.tokens(images)), ("logits", ck.model(images))):
        parity(family, "google", "vitascope", got, torch.from_numpy(expected[what]), tolerance=1e-4)


@torch.inference_mode()
@families(DRAWN, ("google", "vitascope"))
def test_published_architectures_with_drawn_weights(family: str, tmp_path: Path) -> None:
    shapes = official_shapes(family)
    if family == "BiT-R50x1":
        stated = json.loads((GOLDEN / "full" / "BiT-R50x1.shapes.json").read_text())
        assert shapes == {key: tuple(shape) for key, shape in stated.items()}
    write_npz(tmp_path / "drawn.npz", {key: torch.from_numpy(draw(key, s)) for key, s in shapes.items()})
    ck = vs.load(tmp_path / "drawn.npz", model=family)
    generator = np.random.default_rng(zlib.crc32(b"dev:images"))
    images = generator.uniform(-1, 1, (2, 224, 224, 3)).astype(np.float32)
    logits = ck.model(torch.from_numpy(images).permute(0, 3, 1, 2))
    expected = np.load(GOLDEN / "full" / f"{DRAWN[family]}.npz")["logits"]
    parity(family, "google", "vitascope", logits, torch.from_numpy(expected), tolerance=1e-4)


@pytest.mark.parametrize("side", [2, 3, 6, 7])
def test_positions_resized_by_load(side: int, tmp_path: Path) -> None:
    golden = np.load(GOLDEN / "posemb_resize.npz")
    config = model_config("ViT-Ti/8", width=16, heads=2, hidden=8, depth=1, image_size=32, classes=3)
    table = "Transformer/posembed_input/pos_embedding"
    tensors = {
        key: torch.from_numpy(draw(key, shape)) for key, shape in _shapes(google.layout(config.heads), config).items()
    }
    write_npz(tmp_path / "model.npz", tensors | {table: torch.from_numpy(golden["source"])})
    ck = vs.load(tmp_path / "model.npz", image_size=8 * side)
    assert ck.config.image_size == ck.preprocess.size == (8 * side, 8 * side)
    got = ck.model.embedding.positions.table.detach().numpy()
    np.testing.assert_allclose(got, golden[f"target_{side}"], atol=1e-6)


def official_shapes(name: str) -> dict[str, tuple[int, ...]]:
    """Keys and shapes of a published model of ten classes, in the numbering of today's official code."""
    config = model_config(name, classes=10)
    if name.startswith("BiT"):
        return _shapes(bit.LAYOUT, config)
    shapes = _shapes(google.layout(config.heads), config)
    renames = (
        ("MultiHeadDotProductAttention_1", "MultiHeadDotProductAttention_0"),
        (
            "LayerNorm_2",
            "LayerNorm_1",
        ),
        ("MlpBlock_3", "MlpBlock_0"),
    )
    result = {}
    for key, shape in shapes.items():
        for released, today in renames:
            key = key.replace(released, today)
        result[key] = shape[3:] if re.search(r"(^|/)gn", key) else shape
    return result


def _shapes(layout, config) -> dict[str, tuple[int, ...]]:
    return {name: kept.shape for kept in layout.every(own_shapes(config)).values() for name in kept.names}


def draw(key: str, shape: tuple[int, ...]) -> np.ndarray:
    """The rule of the reference: values depend on the key alone."""
    z = np.random.default_rng(zlib.crc32(f"dev:{key}".encode())).standard_normal(shape, dtype=np.float32)
    last = key.split("/")[-1]
    if last in ("scale", "gamma"):
        return 1 + np.float32(0.1) * z
    if last in ("bias", "beta", "cls", "pos_embedding"):
        return np.float32(0.1) * z
    if key.endswith("/out/kernel"):
        fan = shape[0] * shape[1]
    elif "MultiHeadDotProductAttention_0" in key:
        fan = shape[0]
    else:
        fan = int(np.prod(shape[:-1]))
    return z / np.sqrt(np.float32(fan))
