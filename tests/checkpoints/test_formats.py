"""Foreign formats without their libraries: round trips, refusals."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

import vitascope as vs
from tiny_checkpoint import TINY, checkpoint, same
from tiny_families import CLIP, ERF, LUCIDRAINS, OFFICIAL, ROUND_TRIPS, TIMM_STEM
from vitascope.checkpoints.formats.names import FORMATS
from vitascope.checkpoints.formats.table import FOREIGN
from vitascope.data.preprocess import Preprocess
from vitascope.errors import CheckpointError
from vitascope.models.config import BiTConfig, ModelConfig, StemConfig


@pytest.mark.parametrize(("format", "config"), ROUND_TRIPS)
def test_a_round_trip_gives_back_every_bit(format: str, config: ModelConfig, tmp_path: Path) -> None:
    labels = tuple(f"class {i}" for i in range(config.classes))
    preprocess = Preprocess(size=config.image_size, channels=config.channels, fit="squash", mean=(0.2,))
    ck = checkpoint(config, labels=labels, preprocess=preprocess)
    vs.save(ck, tmp_path / "out", format=format)
    back = vs.load(tmp_path / "out")
    assert back.config == config
    assert same(back.model, ck.model)
    assert back.format == format
    if format != "google":  # an .npz has no place for these
        assert (back.labels, back.preprocess) == (labels, preprocess)
    assert not vs.load(tmp_path / "out").model.training


def test_every_format_has_round_trips() -> None:
    written = {format.name for format in FOREIGN if format.write is not None}
    assert {format for format, _ in ROUND_TRIPS} == written
    assert set(FORMATS) == {"vitascope"} | written  # what the command line lists without loading them


REFUSALS: list[tuple[str, ModelConfig, str]] = [
    ("google", replace(TINY, registers=2), "register tokens"),
    ("google", replace(TINY, layer_scale=0.1), "LayerScale"),
    ("google", replace(TINY, gelu="erf", norm_eps=1e-12), r"gelu erf .* tanh; norm_eps 1e-12 .* 1e-06"),
    ("google", replace(TINY, representation_size=5), "representation_activation gelu where that would be read as tanh"),
    ("google", replace(TINY, pooling="mean"), "pooling mean"),
    ("google", replace(TINY, image_size=(16, 24)), "16×24, not square"),
    ("google", replace(TINY, qkv_bias=False), "no biases on q, k and v"),
    ("google", replace(TINY, positions="none"), "positions none"),
    ("timm", replace(TINY, norm_eps=1e-4, pooling="token+mean"), r"pooling token\+mean .* mean; norm_eps 0.0001"),
    ("timm", replace(TINY, representation_size=5), "hidden layer in the head"),
    ("timm", replace(CLIP, classes=3), "hidden layer in the head"),
    ("huggingface", replace(TINY, class_token=False, pooling="mean", norm="pooled"), "a LayerNorm after the pooling"),
    ("huggingface", replace(CLIP, classes=3, representation_size=None), "a head of classes on a class token"),
    ("huggingface", replace(TINY, class_token=False, pooling="attention"), "a head of classes on .* attention pooling"),
    ("huggingface", replace(TINY, layer_scale=0.1), r"pooling token where that would be read as token\+mean"),
    ("huggingface", replace(TINY, registers=2), "registers without LayerScale"),
    ("huggingface", replace(ERF, registers=1, pooling="token+distillation", classes=0), r"pooling token\+distillation"),
    ("google", replace(TINY, registers=1, pooling="token+distillation"), "register tokens"),
    ("timm", replace(ERF, registers=2, pooling="token+distillation"), "registers beside a distillation token"),
    ("timm", replace(ERF, registers=1, pooling="token+distillation", class_row=False), "without positions for class"),
    ("timm", replace(ERF, registers=1, pooling="token+distillation", norm="pooled"), "LayerNorm after the pooling"),
    ("vit-pytorch", ERF, "biases on q, k and v; no LayerNorms around the patch embedding; one head .* norm_eps 1e-06"),
    ("vit-pytorch", replace(LUCIDRAINS, norm="pooled", registers=1), r"LayerNorm after the pooling.*register tokens"),
    ("vit-pytorch", replace(LUCIDRAINS, class_row=False), "positions"),
    ("vit-pytorch", replace(LUCIDRAINS, pooling="mean"), "pooling mean"),
    ("timm", replace(LUCIDRAINS, norm_eps=1e-6), "LayerNorms around the patch embedding"),
    ("timm", replace(ERF, head_width=16), "head_width 16"),
    ("google", replace(TINY, head_width=16), "head_width 16"),
    ("huggingface", replace(ERF, head_width=16), "head_width 16"),
    ("torchvision", replace(ERF, head_width=16), "head_width 16"),
    ("torchvision", replace(ERF, qkv_bias=False), "no biases on q, k and v"),
    ("torchvision", TINY, "gelu tanh"),
    ("torchvision", replace(TINY, gelu="erf", registers=1, image_size=(16, 24)), r"not square.*register tokens"),
    ("torchvision", replace(TINY, gelu="erf", classes=0), "no head"),
    ("torchvision", BiTConfig(units=(1, 1, 1, 1), base_width=32), "BiT-ResNet"),
    ("timm", OFFICIAL, r"stem\.norm_eps 1e-06 .* 1e-05; stem\.kernel_rule std .* variance; stem\.kernel_eps 1e-05"),
    (
        "timm",
        replace(OFFICIAL, stem=StemConfig(units=(1,), width_factor=0.5)),
        "of another root, units or width than timm's",
    ),
    (
        "timm",
        replace(OFFICIAL, patch=8, stem=replace(TIMM_STEM, small_images=True)),
        "of another root, units or width than timm's",
    ),
    ("google", replace(OFFICIAL, stem=TIMM_STEM), r"stem\.norm_eps 1e-05 .* 1e-06"),
    ("huggingface", OFFICIAL, "stem of a hybrid"),
    ("timm", BiTConfig(units=(1, 1), classes=3, kernel_eps=1e-8), r"units \(1, 1\) of 64 channels"),
    ("google", BiTConfig(units=(1, 1), classes=3, kernel_eps=1e-8), "kernel_eps 1e-08 .* 1e-10"),
]


@pytest.mark.parametrize(("format", "config", "expected"), REFUSALS)
def test_what_a_format_cannot_say_is_refused(format: str, config: ModelConfig, expected: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=expected) as caught:
        vs.save(checkpoint(config), tmp_path / "out", format=format)
    assert f'"{format}"' in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_fixed_positions_become_a_table_for_timm(tmp_path: Path) -> None:
    ck = checkpoint(replace(ERF, positions="sincos", class_token=False, pooling="mean"))
    vs.save(ck, tmp_path / "out", format="timm")
    back = vs.load(tmp_path / "out")
    images = torch.randn(2, 3, 16, 16)
    assert back.config.positions == "learned"
    assert torch.equal(back.model(images), ck.model(images))


def test_existing_files_are_kept_unless_overwritten(tmp_path: Path) -> None:
    for format in ("google", "timm", "huggingface", "torchvision", "vit-pytorch"):
        config = {"torchvision": ERF, "vit-pytorch": LUCIDRAINS}.get(format, TINY)
        vs.save(checkpoint(config), tmp_path / format, format=format)
        with pytest.raises(CheckpointError, match="already"):
            vs.save(checkpoint(config), tmp_path / format, format=format)
        vs.save(checkpoint(config), tmp_path / format, format=format, overwrite=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["google", "huggingface", "timm", "torchvision", "vit-pytorch"]
