"""big_vision's ViT with learned positions, by mean and by attention, against its formula (its `models/vit.py`)."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import vitascope as vs
from parity import families, parity
from peers import peer
from tiny_checkpoint import TINY, checkpoint, noise, same
from vitascope.errors import CheckpointError
from vitascope.models.config import ViTConfig

D, HEADS, DEPTH, HIDDEN, PATCH, GRID, CLASSES = 16, 2, 3, 24, 4, 3, 5
POOL = "MAPHead_0"
Arrays = dict[str, np.ndarray]


def drawn(by_attention: bool = False) -> Arrays:
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
    for block in (*(f"Transformer/encoderblock_{i}" for i in range(DEPTH)), *([POOL] if by_attention else [])):
        attention = f"{block}/MultiHeadDotProductAttention_0"
        for norm in ("LayerNorm_0",) if block == POOL else ("LayerNorm_0", "LayerNorm_1"):
            shapes |= {f"{block}/{norm}/scale": (D,), f"{block}/{norm}/bias": (D,)}
        for part in ("query", "key", "value"):
            shapes |= {f"{attention}/{part}/kernel": (D, *inside), f"{attention}/{part}/bias": inside}
        shapes |= {f"{attention}/out/kernel": (*inside, D), f"{attention}/out/bias": (D,)}
        for layer, (a, b) in (("Dense_0", (D, HIDDEN)), ("Dense_1", (HIDDEN, D))):
            shapes |= {f"{block}/MlpBlock_0/{layer}/kernel": (a, b), f"{block}/MlpBlock_0/{layer}/bias": (b,)}
    if by_attention:
        shapes[f"{POOL}/probe"] = (1, 1, D)
    return {name: (0.3 * rng.standard_normal(shape)).astype(np.float32) for name, shape in shapes.items()}


def norm(x: np.ndarray, p: Arrays, name: str) -> np.ndarray:
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-6) * p[f"{name}/scale"] + p[f"{name}/bias"]


def softmax(x: np.ndarray) -> np.ndarray:
    powers = np.exp(x - x.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def gelu(x: np.ndarray) -> np.ndarray:
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def attend(asking: np.ndarray, asked: np.ndarray, p: Arrays, attention: str) -> np.ndarray:
    q, k, v = (
        np.einsum("btd,dhe->bhte", x, p[f"{attention}/{part}/kernel"]) + p[f"{attention}/{part}/bias"][:, None]
        for part, x in (("query", asking), ("key", asked), ("value", asked))
    )
    weights = softmax(np.einsum("bhqe,bhke->bhqk", q, k) / np.sqrt(D // HEADS))
    mixed = np.einsum("bhqk,bhke->bqhe", weights, v)
    return np.einsum("bqhe,hed->bqd", mixed, p[f"{attention}/out/kernel"]) + p[f"{attention}/out/bias"]


def mlp(x: np.ndarray, p: Arrays, block: str) -> np.ndarray:
    x = gelu(x @ p[f"{block}/Dense_0/kernel"] + p[f"{block}/Dense_0/bias"])
    return x @ p[f"{block}/Dense_1/kernel"] + p[f"{block}/Dense_1/bias"]


def forward(p: Arrays, images: np.ndarray) -> np.ndarray:
    """Images (B, H, W, C) → logits: patches + positions, blocks, LayerNorm, mean or attention pooling, linear."""
    b = len(images)
    patches = images.reshape(b, GRID, PATCH, GRID, PATCH, 3).transpose(0, 1, 3, 2, 4, 5).reshape(b, GRID * GRID, -1)
    x = patches @ p["embedding/kernel"].reshape(-1, D) + p["embedding/bias"] + p["pos_embedding"]
    for i in range(DEPTH):
        block = f"Transformer/encoderblock_{i}"
        y = norm(x, p, f"{block}/LayerNorm_0")
        x = x + attend(y, y, p, f"{block}/MultiHeadDotProductAttention_0")
        x = x + mlp(norm(x, p, f"{block}/LayerNorm_1"), p, f"{block}/MlpBlock_0")
    x = norm(x, p, "Transformer/encoder_norm")
    if f"{POOL}/probe" in p:
        y = attend(np.repeat(p[f"{POOL}/probe"], b, axis=0), x, p, f"{POOL}/MultiHeadDotProductAttention_0")
        x = (y + mlp(norm(y, p, f"{POOL}/LayerNorm_0"), p, f"{POOL}/MlpBlock_0"))[:, 0]
    else:
        x = x.mean(axis=1)
    return x @ p["head/kernel"] + p["head/bias"] if "head/kernel" in p else x


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


def today(written: Mapping[str, np.ndarray]) -> Arrays:
    """What was written, in the names of the released files or in big_vision's, as big_vision has them today."""
    parts = {
        "params/": "",
        "Transformer/posembed_input/pos_embedding": "pos_embedding",
        "LayerNorm_2": "LayerNorm_1",
        "Attention_1": "Attention_0",
        "MlpBlock_3": "MlpBlock_0",
    }
    names = {name: name for name in written}
    for there, here in parts.items():
        names = {name: now.replace(there, here) for name, now in names.items()}
    return {now: written[name] for name, now in names.items()}


POOLINGS = {"big_vision, mean, learned positions": "mean", "SigLIP": "attention"}
PEER = "big_vision's formula"


@pytest.mark.parametrize("prefix", ["params/", "params/img/", ""])
@pytest.mark.parametrize("form", ["flat", "stacked"])
@families(POOLINGS, (PEER, "vitascope"), ("vitascope", PEER))
def test_read_and_written(family: str, form: str, prefix: str, tmp_path: Path) -> None:
    pooling = POOLINGS[family]
    p = drawn(pooling == "attention")
    stored = p if form == "flat" else stacked(p)
    np.savez(tmp_path / "a.npz", **{prefix + name: array for name, array in stored.items()})
    ck = vs.load(tmp_path / "a.npz")
    assert isinstance(ck.config, ViTConfig)
    assert (ck.config.pooling, ck.config.class_token, ck.config.norm) == (pooling, False, "tokens")
    images = np.random.default_rng(1).standard_normal((2, GRID * PATCH, GRID * PATCH, 3)).astype(np.float32)
    with torch.inference_mode():
        found = ck.model(torch.from_numpy(images.transpose(0, 3, 1, 2).copy()))
    parity(family, PEER, "vitascope", found, torch.from_numpy(forward(wide(p), images)))
    vs.save(ck, tmp_path / "b.npz", format="google")
    back = vs.load(tmp_path / "b.npz")
    assert back.config == ck.config
    assert same(back.model, ck.model)
    parity(
        family, "vitascope", PEER, found, torch.from_numpy(forward(wide(today(np.load(tmp_path / "b.npz"))), images))
    )


def test_the_image_tower_of_siglip_beside_its_text(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tower = {name: array for name, array in drawn(by_attention=True).items() if not name.startswith("head/")}
    text = {"Embed_0/embedding": (9, D), "pos_embedding": (1, 7, D), "head/kernel": (D, D), "head/bias": (D,)}
    text |= {"Encoder_0/encoder_norm/scale": (D,), "Encoder_0/encoder_norm/bias": (D,)}
    stored = {f"params/img/{name}": array for name, array in stacked(tower).items()}
    stored |= {f"params/txt/{name}": np.ones(shape, np.float32) for name, shape in text.items()}
    np.savez(tmp_path / "a.npz", **stored, **{"params/t": np.ones(1), "params/b": np.ones(1)})
    with caplog.at_level(logging.INFO):
        ck = vs.load(tmp_path / "a.npz")
    assert "left out: 8 other tensors" in caplog.text
    assert (ck.config.classes, ck.model.head.attention is not None) == (0, True)
    images = np.random.default_rng(1).standard_normal((2, GRID * PATCH, GRID * PATCH, 3)).astype(np.float32)
    with torch.inference_mode():
        found = ck.model(torch.from_numpy(images.transpose(0, 3, 1, 2).copy()))
    assert torch.allclose(found, torch.from_numpy(forward(wide(tower), images)).float(), atol=1e-5)


def test_a_model_for_any_size_is_refused_by_name(tmp_path: Path) -> None:
    p = drawn(by_attention=True)
    p["embedding/kernel"] = p["embedding/kernel"].reshape(-1, D)
    np.savez(tmp_path / "a.npz", **{f"params/img/{name}": array for name, array in p.items()})
    with pytest.raises(CheckpointError, match="NaFlex"):
        vs.load(tmp_path / "a.npz")


@torch.inference_mode()
@pytest.mark.peers
@families(["SigLIP, official file"], ("vitascope", "timm"))
def test_timm_reads_what_is_written(family: str, tmp_path: Path) -> None:
    c = replace(TINY, class_token=False, pooling="attention", class_row=False, classes=0, depth=2)
    ck = checkpoint(replace(c, width=128, heads=2, hidden=512))
    vs.save(ck, tmp_path / "a.npz", format="google")
    sizes = {"img_size": 16, "patch_size": 8, "embed_dim": 128, "depth": 2, "num_heads": 2}
    model = peer("timm").create_model("vit_base_patch16_siglip_224", **sizes, act_layer="gelu_tanh").eval()
    model.load_pretrained(str(tmp_path / "a.npz"))
    images = noise(3, 3, 16, 16)
    parity(family, "vitascope", "timm", ck.model(images), model(images))
