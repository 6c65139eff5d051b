"""The ending of a name says what is inside."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import vitascope as vs
from parity import families, parity
from peers import peer
from tiny_checkpoint import TINY, checkpoint
from vitascope.errors import CheckpointError

ERF = replace(TINY, gelu="erf", width=64, heads=1)


@pytest.mark.parametrize("ending", [".pth", ".pt", ".PTH", ".safetensors", ""])
@families(["ViT"], ("vitascope", "torchvision"))
def test_torchvision_reads_what_is_written_for_it(family: str, ending: str, tmp_path: Path) -> None:
    ck, path = checkpoint(ERF), tmp_path / f"model{ending}"
    vs.save(ck, path, format="torchvision")
    state = torch.load(path, weights_only=True) if ending.lower() in (".pth", ".pt") else load_file(path)
    theirs = peer("torchvision").models.VisionTransformer(16, 8, 1, 1, 64, 24, num_classes=3)
    theirs.load_state_dict(state)
    images = torch.randn(2, 3, 16, 16)
    with torch.inference_mode():
        parity(family, "vitascope", "torchvision", ck.model(images), theirs.eval()(images))
        assert torch.equal(vs.load(path).model(images), ck.model(images))
    vs.save(ck, path, format="torchvision", overwrite=True)  # known for ours


@pytest.mark.parametrize(
    ("name", "format"),
    [
        ("x.pth", "google"),
        ("x.safetensors", "google"),
        ("x.npz", "torchvision"),
        ("x.bin", "torchvision"),
    ],
)
def test_a_name_that_would_lie_is_refused(name: str, format: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=f'format "{format}" is a file that ends in'):
        vs.save(checkpoint(ERF if format != "google" else TINY), tmp_path / name, format=format)
    assert not list(tmp_path.iterdir())
