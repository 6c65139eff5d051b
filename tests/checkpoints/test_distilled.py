"""DeiT with a distillation token: two heads there, one linear layer over both tokens here."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import vitascope as vs
from peers import peer, randomise
from tiny_checkpoint import TINY, checkpoint, noise
from vitascope.checkpoints.adapt import replace_head
from vitascope.errors import CheckpointError

DISTILLED = replace(TINY, width=64, heads=1, gelu="erf", registers=1, pooling="token+distillation")
IMAGES = noise(2, 3, 16, 16)


def tensors(tmp_path: Path) -> dict[str, torch.Tensor]:
    """As timm has them, of a model with these two heads."""
    vs.save(checkpoint(DISTILLED), tmp_path / "out", format="timm")
    return load_file(tmp_path / "out" / "model.safetensors")


@torch.inference_mode()
def test_logits_are_the_mean_of_both_heads(tmp_path: Path) -> None:
    stored = tensors(tmp_path)
    stored |= {"head_dist.weight": noise(3, 64, seed=1), "head_dist.bias": noise(3, seed=2)}
    save_file(stored, tmp_path / "a")
    model = vs.load(tmp_path / "a").model
    z = model.tokens(IMAGES)
    first = z[:, 0] @ stored["head.weight"].T + stored["head.bias"]
    second = z[:, 1] @ stored["head_dist.weight"].T + stored["head_dist.bias"]
    torch.testing.assert_close(model(IMAGES), (first + second) / 2)


@torch.inference_mode()
def test_features_are_both_tokens_side_by_side(tmp_path: Path) -> None:
    model = randomise(peer("timm").create_model("deit_tiny_distilled_patch16_224", img_size=32, depth=2, num_classes=0))
    save_file(model.state_dict(), tmp_path / "a")
    images = noise(2, 3, 32, 32)
    ours = vs.load(tmp_path / "a").model(images)
    torch.testing.assert_close(ours, model.forward_features(images)[:, :2].flatten(1))
    torch.testing.assert_close((ours[:, :192] + ours[:, 192:]) / 2, model(images))  # what timm makes of them


def test_a_new_head_reads_both_tokens() -> None:
    model = replace_head(checkpoint(DISTILLED).model, 5).train()
    assert model.head.linear.weight.shape == (5, 128)
    assert not model(IMAGES).any()
    model(IMAGES).log_softmax(1)[:, 0].sum().backward()
    assert all(half.abs().max() > 0 for half in model.head.linear.weight.grad.chunk(2, dim=1))


@pytest.mark.parametrize(
    ("name", "tensor", "expected"),
    [
        ("dist_token", torch.zeros(1, 64), r"dist_token is torch.float32 of \(1, 64\)"),
        ("dist_token", torch.zeros(1, 1, 64, dtype=torch.int32), "dist_token is torch.int32"),
        ("dist_token", torch.zeros(1, 1, 48), r"\(1, 1, 48\)"),
        ("head_dist.weight", torch.zeros(5, 64), r"heads of \(3, 64\) and \(5, 64\)"),
        ("head_dist.bias", torch.zeros(5), r"heads of \(3,\) and \(5,\)"),
        ("head_dist.bias", None, "head_dist.bias is missing"),
        ("pos_embed", None, "pos_embed is missing"),
        ("pos_embed", torch.zeros(1, 1, 64), "pos_embed"),
    ],
)
def test_what_does_not_fit_is_named(name: str, tensor: torch.Tensor | None, expected: str, tmp_path: Path) -> None:
    stored = {**tensors(tmp_path), name: tensor}
    save_file({name: tensor for name, tensor in stored.items() if tensor is not None}, tmp_path / "a")
    with pytest.raises(CheckpointError, match=expected):
        vs.load(tmp_path / "a")
