"""big_vision's ViT with learned positions and mean pooling, held against its formula (`big_vision/models/vit.py`)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

import vitascope as vs
from parity import families, parity

D, HEADS, DEPTH, HIDDEN, PATCH, GRID, CLASSES = 16, 2, 3, 24, 4, 3, 5
Arrays = dict[str, np.ndarray]


def drawn() -> Arrays:
    rng = np.random.default_rng(0)
    shapes: dict[str, tuple[int, ...]] = {
        "embedding/kernel": (PATCH, PATCH, 3, D),
        "embedding/bias": (D,),
        "pos_embedding": (1, GRID * GRID, D),
        "Transformer/encoder_norm/scale": (D,),
        "Transformer/encoder_norm/bias": (D,),
        "head/kernel": (D, CLASSES),
        "head/bias": (CLASSES,),
    }
    inside = (HEADS, D // HEADS)
    for i in range(DEPTH):
        block, attention = (
            f"Transformer/encoderblock_{i}",
            f"Transformer/encoderblock_{i}/MultiHeadDotProductAttention_0",
        )
        for norm in ("LayerNorm_0", "LayerNorm_1"):
            shapes |= {f"{block}/{norm}/scale": (D,), f"{block}/{norm}/bias": (D,)}
        for part in ("query", "key", "value"):
            shapes |= {f"{attention}/{part}/kernel": (D, *inside), f"{attention}/{part}/bias": inside}
        shapes |= {f"{attention}/out/kernel": (*inside, D), f"{attention}/out/bias": (D,)}
        for layer, (a, b) in (("Dense_0", (D, HIDDEN)), ("Dense_1", (HIDDEN, D))):
            shapes |= {f"{block}/MlpBlock_0/{layer}/kernel": (a, b), f"{block}/MlpBlock_0/{layer}/bias": (b,)}
    return {name: (0.3 * rng.standard_normal(shape)).astype(np.float32) for name, shape in shapes.items()}


def norm(x: np.ndarray, p: Arrays, name: str) -> np.ndarray:
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-6) * p[f"{name}/scale"] + p[f"{name}/bias"]


def softmax(x: np.ndarray) -> np.ndarray:
    powers = np.exp(x - x.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def gelu(x: np.ndarray) -> np.ndarray:
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def forward(p: Arrays, images: np.ndarray) -> np.ndarray:
    """Images (B, H, W, C) → logits: patches + positions, blocks, LayerNorm, mean over the patches, linear."""
    b = len(images)
    patches = images.reshape(b, GRID, PATCH, GRID, PATCH, 3).transpose(0, 1, 3, 2, 4, 5).reshape(b, GRID * GRID, -1)
    x = patches @ p["embedding/kernel"].reshape(-1, D) + p["embedding/bias"] + p["pos_embedding"]
    for i in range(DEPTH):
        block, attention = (
            f"Transformer/encoderblock_{i}",
            f"Transformer/encoderblock_{i}/MultiHeadDotProductAttention_0",
        )
        y = norm(x, p, f"{block}/LayerNorm_0")
        q, k, v = (
            np.einsum("btd,dhe->bhte", y, p[f"{attention}/{part}/kernel"]) + p[f"{attention}/{part}/bias"][:, None]
            for part in ("query", "key", "value")
        )
        weights = softmax(np.einsum("bhqe,bhke->bhqk", q, k) / np.sqrt(D // HEADS))
        mixed = np.einsum("bhqk,bhke->bqhe", weights, v)
        x = x + np.einsum("bqhe,hed->bqd", mixed, p[f"{attention}/out/kernel"]) + p[f"{attention}/out/bias"]
        y = norm(x, p, f"{block}/LayerNorm_1")
        y = gelu(y @ p[f"{block}/MlpBlock_0/Dense_0/kernel"] + p[f"{block}/MlpBlock_0/Dense_0/bias"])
        x = x + y @ p[f"{block}/MlpBlock_0/Dense_1/kernel"] + p[f"{block}/MlpBlock_0/Dense_1/bias"]
    x = norm(x, p, "Transformer/encoder_norm").mean(axis=1)
    return x @ p["head/kernel"] + p["head/bias"]


def stacked(p: Arrays) -> Arrays:
    """As flax's scan over the layers stores it: one tensor for all blocks."""
    first = "Transformer/encoderblock_0/"
    parts = [name.removeprefix(first) for name in p if name.startswith(first)]
    rest = {name: array for name, array in p.items() if "encoderblock" not in name}
    return rest | {
        f"Transformer/encoderblock/{part}": np.stack([p[f"Transformer/encoderblock_{i}/{part}"] for i in range(DEPTH)])
        for part in parts
    }


def wide(p: Arrays) -> Arrays:
    return {name: array.astype(np.float64) for name, array in p.items()}


def today(released: Mapping[str, np.ndarray]) -> Arrays:
    """The names of the released files, which is what is written, as big_vision has them today."""
    parts = {
        "Transformer/posembed_input/pos_embedding": "pos_embedding",
        "LayerNorm_2": "LayerNorm_1",
        "Attention_1": "Attention_0",
        "MlpBlock_3": "MlpBlock_0",
    }
    names = {name: name for name in released}
    for there, here in parts.items():
        names = {name: now.replace(there, here) for name, now in names.items()}
    return {now: released[name] for name, now in names.items()}


FAMILY = "big_vision, mean, learned positions"
PEER = "big_vision's formula"


@pytest.mark.parametrize("prefix", ["params/", "params/img/", ""])
@pytest.mark.parametrize("form", ["flat", "stacked"])
@families([FAMILY], (PEER, "vitascope"), ("vitascope", PEER))
def test_mean_pooling_with_learned_positions(family: str, form: str, prefix: str, tmp_path: Path) -> None:
    p = drawn()
    stored = p if form == "flat" else stacked(p)
    np.savez(tmp_path / "a.npz", **{prefix + name: array for name, array in stored.items()})
    ck = vs.load(tmp_path / "a.npz")
    assert (ck.config.pooling, ck.config.class_token, ck.config.norm) == ("mean", False, "tokens")  # type: ignore[union-attr]
    images = np.random.default_rng(1).standard_normal((2, GRID * PATCH, GRID * PATCH, 3)).astype(np.float32)
    with torch.inference_mode():
        found = ck.model(torch.from_numpy(images.transpose(0, 3, 1, 2).copy()))
    parity(family, PEER, "vitascope", found, torch.from_numpy(forward(wide(p), images)))
    vs.save(ck, tmp_path / "b.npz", format="google")
    back = vs.load(tmp_path / "b.npz")
    assert back.config == ck.config
    assert all(torch.equal(t, back.model.state_dict()[name]) for name, t in ck.model.state_dict().items())
    parity(
        family, "vitascope", PEER, found, torch.from_numpy(forward(wide(today(np.load(tmp_path / "b.npz"))), images))
    )
