"""A stated model is compared with the file's in every field that changes a result; a new field is, unless listed."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch

import vitascope as vs
from tiny_checkpoint import TINY, checkpoint
from vitascope.checkpoints.adapt import assemble
from vitascope.checkpoints.differences import differences
from vitascope.errors import CheckpointError
from vitascope.models.config import BiTConfig, ModelConfig, StemConfig, ViTConfig

HYBRID = replace(TINY, image_size=(32, 32), patch=1, stem=StemConfig(units=(1,), width_factor=0.5))
BIT = BiTConfig(image_size=(32, 32), units=(1, 1), base_width=32, classes=3)
CHANGES: dict[str, Any] = {
    "channels": 1,
    "patch": 4,
    "width": 32,
    "depth": 2,
    "heads": 4,
    "hidden": 16,
    "gated_mlp": True,
    "registers": 2,
    "head_width": 12,
    "qkv_bias": False,
    "patch_norms": True,
    "gelu": "erf",
    "pooling": "mean",
    "positions": "none",
    "class_row": False,
    "norm": "pooled",
    "norm_before": True,
    "norm_eps": 1e-5,
    "representation_size": 4,
    "representation_activation": "tanh",
    "layer_scale": 1e-4,
    "class_token": False,
    "stem": StemConfig(units=(1,)),
}
"""Field of a ViT → another value than that of the file."""
NEEDS: dict[str, dict[str, Any]] = {
    "class_token": {"pooling": "mean"},
    "stem": {"image_size": (32, 32)},
    "representation_activation": {"representation_size": 4},
}
"""What else file and statement have, for the field to be possible or to matter."""
IN_THE_STEM = {
    "units": (2,), "width_factor": 1.0, "small_images": True, "norm_eps": 1e-5, "kernel_rule": "variance",
    "kernel_eps": 1e-8,
}  # fmt: skip
IN_A_RESNET = {
    "channels": 1, "units": (1, 2), "base_width": 64, "width_factor": 2, "small_images": True, "kernel_eps": 1e-8
}  # fmt: skip
SIZES_OF_THE_TASK = {"image_size", "classes"}
TRAINING_ALONE = {"head_bias": -10.0, "dropout": 0.5, "stochastic_depth": 0.5}


def test_every_field_is_here() -> None:
    assert {field.name for field in fields(ViTConfig)} == CHANGES.keys() | SIZES_OF_THE_TASK | TRAINING_ALONE.keys()
    assert {field.name for field in fields(StemConfig)} == IN_THE_STEM.keys()
    assert {field.name for field in fields(BiTConfig)} == IN_A_RESNET.keys() | SIZES_OF_THE_TASK | {"head_bias"}


def refused(held: ModelConfig, stated: ModelConfig, name: str, folder: Path) -> None:
    vs.save(checkpoint(held), folder / "model")
    assert vs.load(folder / "model", model=held).config == held
    with pytest.raises(CheckpointError, match=f"not the model that was stated: (.*; )?{name} "):
        vs.load(folder / "model", model=stated)


@pytest.mark.parametrize("name", CHANGES)
def test_a_field_of_a_vit(name: str, tmp_path: Path) -> None:
    held = replace(TINY, **NEEDS.get(name, {}))
    refused(held, replace(held, **{name: CHANGES[name]}), name, tmp_path)


@pytest.mark.parametrize("name", IN_THE_STEM)
def test_a_field_of_a_stem(name: str, tmp_path: Path) -> None:
    assert HYBRID.stem is not None
    stated = replace(HYBRID, stem=replace(HYBRID.stem, **{name: IN_THE_STEM[name]}))
    refused(HYBRID, stated, rf"stem\.{name}", tmp_path)


@pytest.mark.parametrize("name", IN_A_RESNET)
def test_a_field_of_a_resnet(name: str, tmp_path: Path) -> None:
    refused(BIT, replace(BIT, **{name: IN_A_RESNET[name]}), name, tmp_path)


@pytest.mark.parametrize("name", TRAINING_ALONE)
def test_what_matters_in_training_alone_is_free(name: str, tmp_path: Path) -> None:
    ck = checkpoint()
    stated = replace(TINY, **{name: TRAINING_ALONE[name]})
    vs.save(ck, tmp_path / "model")
    assert vs.load(tmp_path / "model", model=stated).config == TINY
    images = torch.randn(2, 3, 16, 16)
    assert torch.equal(assemble(stated, ck.model.state_dict())(images), ck.model(images))


def test_a_gelu_that_gated_mlps_do_not_have_is_free() -> None:
    gated = replace(TINY, gated_mlp=True)
    assert differences(gated, replace(gated, gelu="erf")) == []
    with_gelu: list[dict[str, Any]] = [{"representation_size": 4}, {"pooling": "attention", "class_token": False}]
    for changes in with_gelu:
        held = replace(gated, **changes)
        assert differences(held, replace(held, gelu="erf")) == ["gelu tanh instead of erf"]


def test_another_kind_of_model_is_refused(tmp_path: Path) -> None:
    vs.save(checkpoint(), tmp_path / "model")
    with pytest.raises(CheckpointError, match="holds a ViT, but model= says BiT"):
        vs.load(tmp_path / "model", model=BIT)


def test_a_name_leaves_open_what_libraries_differ_in(tmp_path: Path) -> None:
    named = replace(vs.model_config("ViT-Ti/16"), image_size=(32, 32), classes=3)
    assert isinstance(named, ViTConfig)
    vs.save(checkpoint(replace(named, gelu="erf", norm_eps=1e-5)), tmp_path / "model")
    assert vs.load(tmp_path / "model", model="ViT-Ti/16").config.gelu == "erf"
    vs.save(checkpoint(replace(named, registers=2)), tmp_path / "registers")
    with pytest.raises(CheckpointError, match="registers 2 instead of 0"):
        vs.load(tmp_path / "registers", model="ViT-Ti/16")
    hybrid = vs.model_config("R+ViT-Ti/16", depth=1, image_size=32, classes=3)
    assert isinstance(hybrid, ViTConfig)
    vs.save(checkpoint(replace(hybrid, depth=12, stem=StemConfig(kernel_rule="variance"))), tmp_path / "hybrid")
    assert vs.load(tmp_path / "hybrid", model="R+ViT-Ti/16").config.stem == StemConfig(kernel_rule="variance")
