"""Weights as training scripts leave them: wrapped, averaged, beside much else, or no weights at all."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import vitascope as vs
from tiny_checkpoint import TINY, checkpoint
from vitascope.checkpoints.checkpoint import Checkpoint
from vitascope.checkpoints.tensor_file import read_tensors
from vitascope.errors import CheckpointError
from wrapping import AVERAGED, WRAPPED, State, under, worse

ERF = replace(TINY, gelu="erf", width=64, heads=1)
IMAGES = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def tiny(tmp_path: Path) -> tuple[Checkpoint, State]:
    ck = checkpoint(ERF)
    vs.save(ck, tmp_path / "plain", format="timm")
    return ck, load_file(tmp_path / "plain" / "model.safetensors")


@pytest.mark.parametrize("kind", WRAPPED)
def test_the_model_is_found_whatever_is_around_it(kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ck, state = tiny(tmp_path)
    torch.save(WRAPPED[kind](state), tmp_path / "a.pth")
    with caplog.at_level(logging.INFO):
        back = vs.load(tmp_path / "a.pth")
    assert torch.equal(back.model(IMAGES), ck.model(IMAGES))
    said = [record.message for record in caplog.records if "taken" in record.message]
    assert len(said) <= 1
    if kind in AVERAGED:
        assert "taken: the average, " in said[0]
    if kind in ("Lightning", "AveragedModel"):
        assert "left out: 1 other" in said[0]


@pytest.mark.parametrize("format", ["huggingface", "torchvision", "google"])
def test_so_is_that_of_every_format(format: str, tmp_path: Path) -> None:
    eps = 1e-12 if format == "huggingface" else 1e-6  # what is assumed without its config.json
    ck = checkpoint(TINY if format == "google" else replace(ERF, norm_eps=eps))
    vs.save(ck, tmp_path / "out", format=format)
    tensors = read_tensors(
        tmp_path / "out" / "model.safetensors" if (tmp_path / "out").is_dir() else tmp_path / "out"
    ).tensors
    save_file(under("model.module.", tensors), tmp_path / "a.safetensors")
    back = vs.load(tmp_path / "a.safetensors")
    assert torch.allclose(back.model(IMAGES), ck.model(IMAGES), atol=1e-6)
    assert back.config.classes == 3


def test_heads_come_from_whatever_names_the_architecture(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    _, state = tiny(tmp_path)
    for name, content in {
        "arch": {"arch": "test_vit", "state_dict": state},
        "args": {"args": argparse.Namespace(model="test_vit"), "model": state},
    }.items():
        torch.save(content, tmp_path / name)
        assert vs.load(tmp_path / name).config.heads == 2  # type: ignore[union-attr]
    torch.save(state, tmp_path / "bare")
    with caplog.at_level(logging.INFO):
        assert vs.load(tmp_path / "bare").config.heads == 1  # type: ignore[union-attr]
    assert "does not say how many attention heads it has; assuming 1 of 64" in caplog.text


def test_several_models_are_refused(tmp_path: Path) -> None:
    _, state = tiny(tmp_path)
    torch.save({"best": state, "last": worse(state)}, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match=r"holds 2 models \('best\.', 'last\.'\); save the tensors of one alone"):
        vs.load(tmp_path / "a.pth")


class Whole(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = torch.nn.Linear(2, 2)


def script(path: Path) -> None:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 2), torch.ones(1, 2)), str(path))


@pytest.mark.parametrize(
    ("write", "expected"),
    [
        (
            lambda p: p.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"),
            "git lfs pull",
        ),
        (lambda p: p.write_bytes(b"\n <!DOCTYPE html><html></html>"), "a web page"),
        (lambda p: p.write_bytes(b"<HTML><body>Sign in</body>"), "a web page"),
        (lambda p: p.write_bytes(b""), "empty file"),
        (lambda p: p.write_bytes(b"\x1f\x8b\x08" + bytes(30)), "gzip archive: unpack"),
        (
            lambda p: torch.save(Whole(), p),
            r"a whole pickled model.*torch\.save\(torch\.load\('a\.pth', weights",
        ),
        (script, r"a TorchScript archive.*torch\.jit\.load\('a\.pth'\)"),
        (lambda p: torch.save({"base.model.blocks.0.attn.qkv.lora_A.weight": torch.ones(2, 2)}, p), "adapter"),
    ],
)
def test_what_is_no_weights_is_told_by_name(write: Callable[[Path], Any], expected: str, tmp_path: Path) -> None:
    write(tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match=expected) as caught:
        vs.load(tmp_path / "a.pth")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value).replace(str(tmp_path), "")) < 240
