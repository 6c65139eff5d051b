"""Variants of the official .npz, and odd ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import vitascope as vs
from vitascope.errors import CheckpointError

GOLDEN = Path(__file__).parents[1] / "golden"


def arrays(name: str) -> dict[str, np.ndarray]:
    with np.load(GOLDEN / f"{name}.npz") as file:
        return {key: file[key] for key in file.files}


def logits(path: Path) -> torch.Tensor:
    with torch.inference_mode():
        return vs.load(path).model(
            torch.from_numpy(np.load(GOLDEN / "vit_token.io.npz")["images_nhwc"]).permute(0, 3, 1, 2)
        )


def stacked(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    result = {key: array for key, array in tensors.items() if "encoderblock_" not in key}
    for key in [key for key in tensors if "encoderblock_0" in key]:
        layers = [tensors[key.replace("encoderblock_0", f"encoderblock_{i}")] for i in range(2)]
        result[key.replace("encoderblock_0", "encoderblock")] = np.stack(layers)
    return result


def renumbered(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    renames = (("Attention_1/", "Attention_0/"), ("LayerNorm_2/", "LayerNorm_1/"), ("MlpBlock_3/", "MlpBlock_0/"))
    result = {}
    for key, array in tensors.items():
        for old, new in renames:
            key = key.replace(old, new)
        result[key] = array
    return result


VARIANTS: dict[str, Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]] = {
    "today's numbering": renumbered,
    "stacked": stacked,
    "stacked, today's numbering": lambda t: stacked(renumbered(t)),
    "opt/target/": lambda t: {f"opt/target/{k}": v for k, v in t.items()} | {"opt/state/step": np.array(9)},
    "params/": lambda t: {f"params/{k}": v for k, v in t.items()} | {"opt/0/mu": np.zeros(3)},
    "params/img/": lambda t: {f"params/img/{k}": v for k, v in t.items()} | {"params/txt/a": np.zeros(3)},
    "compressed": lambda t: t,
}


@pytest.mark.parametrize("name", VARIANTS)
def test_variants_of_the_official_file_are_the_same_model(name: str, tmp_path: Path) -> None:
    save = np.savez_compressed if name == "compressed" else np.savez
    save(tmp_path / "variant.npz", **VARIANTS[name](arrays("vit_token")))
    assert torch.equal(logits(tmp_path / "variant.npz"), logits(GOLDEN / "vit_token.npz"))


def test_bfloat16_as_void_is_read(tmp_path: Path) -> None:
    tensors = {k: torch.from_numpy(v).bfloat16() for k, v in arrays("vit_token").items()}
    np.savez(tmp_path / "a.npz", **{k: t.view(torch.int16).numpy().view("V2") for k, t in tensors.items()})
    np.savez(tmp_path / "b.npz", **{k: t.float().numpy() for k, t in tensors.items()})
    assert torch.equal(logits(tmp_path / "a.npz"), logits(tmp_path / "b.npz"))


def test_everything_wrong_is_listed_in_one_error(tmp_path: Path) -> None:
    tensors = arrays("vit_token")
    del tensors["Transformer/encoder_norm/scale"], tensors["head/bias"]
    tensors["extra/thing"] = np.zeros(2, np.float32)
    tensors["cls"] = np.zeros((1, 1, 47), np.float32)
    tensors["embedding/bias"] = np.zeros(48, np.int64)
    np.savez(tmp_path / "a.npz", **tensors)
    with pytest.raises(CheckpointError) as caught:
        vs.load(tmp_path / "a.npz")
    text = str(caught.value)
    for part in (
        "missing: Transformer/encoder_norm/scale, head/bias",
        "not part of this model: extra/thing",
        "wrong shape: cls is 1×1×47, expected 1×1×48",
        "not floating point: embedding/bias is int64",
    ):
        assert part in text
    assert "\n" not in text


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda t: t.pop("embedding/kernel"), "embedding/kernel is missing"),
        (lambda t: t.update({"head/kernel": np.zeros((48, 10, 1))}), r"head/kernel is \(48, 10, 1\)"),
        (lambda t: t.update({"MAPHead_0/probe": np.zeros((1, 1, 48))}), "MAPHead_0/probe"),
        (lambda t: t.update({"Transformer/encoderblock_999999999/x": np.zeros(1)}), "encoderblock_2/.*999999999"),
        (lambda t: t.update({"Transformer/encoderblock/x": np.zeros((10**7, 0))}), "encoderblock/x"),
        (
            lambda t: t.update({"Transformer/encoderblock_0/MlpBlock_0/Dense_0/bias": np.zeros(96)}),
            "there twice",
        ),
        (
            lambda t: t.update({"Transformer/posembed_input/pos_embedding": np.zeros((1, 16, 48))}),
            "no square grid",
        ),
        (lambda t: t.update({"head/kernel": np.full((48, 10), np.nan, np.float32)}), r"head/kernel \(480 of 480\)"),
    ],
)
def test_odd_official_files_are_refused_quickly(change: Any, expected: str, tmp_path: Path) -> None:
    tensors = arrays("vit_token")
    change(tensors)
    np.savez(tmp_path / "a.npz", **tensors)
    with pytest.raises(CheckpointError, match=expected):
        vs.load(tmp_path / "a.npz")


def test_a_grid_that_is_not_square_needs_the_size(tmp_path: Path) -> None:
    tensors = arrays("vit_token")
    tensors["Transformer/posembed_input/pos_embedding"] = np.random.default_rng(0).random((1, 13, 48))
    np.savez(tmp_path / "a.npz", **tensors)
    with pytest.raises(CheckpointError, match=r"13 rows of positions are no square grid; give the image size"):
        vs.load(tmp_path / "a.npz")
    assert vs.load(tmp_path / "a.npz", image_size=(24, 32)).config.grid == (3, 4)
