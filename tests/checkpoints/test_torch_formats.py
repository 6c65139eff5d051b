"""Names and descriptions of the PyTorch libraries, without these libraries."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import vitascope as vs
from tiny_checkpoint import TINY, checkpoint, same
from vitascope.checkpoints.checkpoint import Checkpoint
from vitascope.errors import CheckpointError
from vitascope.models.config import ModelConfig

WIDE = replace(TINY, width=64, heads=1, hidden=128)
ERF = replace(WIDE, gelu="erf")


def written(format: str, config: ModelConfig, folder: Path) -> tuple[Checkpoint, dict[str, torch.Tensor]]:
    ck = checkpoint(config)
    vs.save(ck, folder, format=format)
    return ck, load_file(folder / "model.safetensors" if folder.is_dir() else folder)


@pytest.mark.parametrize(
    ("name", "shape", "expected"),
    [
        ("head_dist.bn.weight", (64,), "LeViT"),
        ("transformers.0.pool.conv.weight", (64,), "PiT"),
        ("patch_embed.backbone.layer1.0.conv1.weight", (1,), "a hybrid whose stem is not the paper's ResNet"),
        ("blocks.0.attn.q_norm.weight", (64,), "normalises queries and keys"),
        ("blocks.0.mlp.w12.weight", (64,), "SwiGLU"),
    ],
)
def test_relatives_of_timm_vits_are_refused_by_name(
    name: str, shape: tuple[int, ...], expected: str, tmp_path: Path
) -> None:
    _, tensors = written("timm", ERF, tmp_path / "out")
    save_file(tensors | {name: torch.zeros(shape)}, tmp_path / "a")
    with pytest.raises(CheckpointError, match=expected):
        vs.load(tmp_path / "a")


def test_deit_iii_names_its_scales_otherwise(tmp_path: Path) -> None:
    ck, tensors = written("timm", replace(ERF, layer_scale=1e-5, class_row=False), tmp_path / "out")
    renamed = {k.replace("ls1.gamma", "gamma_1").replace("ls2.gamma", "gamma_2"): t for k, t in tensors.items()}
    assert renamed.keys() != tensors.keys()
    torch.save({"model": renamed}, tmp_path / "deit_3.pth")
    back = vs.load(tmp_path / "deit_3.pth")
    assert back.config == ck.config
    assert same(back.model, ck.model)


def test_heads_that_nothing_tells_must_be_said(tmp_path: Path) -> None:
    ck, tensors = written("timm", replace(TINY, gelu="erf"), tmp_path / "out")
    save_file(tensors, tmp_path / "a")
    with pytest.raises(CheckpointError, match="how many attention heads a width of 16 has; say it in Python"):
        vs.load(tmp_path / "a")
    assert vs.load(tmp_path / "a", model=ck.config).config.heads == 2


def test_torchvision_files_of_before_2022(tmp_path: Path) -> None:
    ck, tensors = written("torchvision", ERF, tmp_path / "out")
    old = {k.replace("mlp.0.", "mlp.linear_1.").replace("mlp.3.", "mlp.linear_2."): t for k, t in tensors.items()}
    assert old.keys() != tensors.keys()
    torch.save(old, tmp_path / "a.pth")
    back = vs.load(tmp_path / "a.pth")
    assert same(back.model, ck.model)
    assert back.preprocess.mean == (0.485, 0.456, 0.406)
    assert back.labels == ("0", "1", "2")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"model_type": "swin"}, "model_type 'swin'"),
        ({"hidden_act": "relu"}, "hidden_act 'relu'"),
        ({"layer_norm_eps": "small"}, "norm_eps is 'small'"),
        ({"num_attention_heads": 7}, "not divisible by heads 7"),
        ({"num_attention_heads": -4}, "heads"),
    ],
)
def test_a_hugging_face_description_that_cannot_be_is_refused(
    changes: dict[str, Any], expected: str, tmp_path: Path
) -> None:
    written("huggingface", ERF, tmp_path / "out")
    config = tmp_path / "out" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | changes))
    with pytest.raises(CheckpointError, match=expected) as caught:
        vs.load(tmp_path / "out")
    assert str(tmp_path / "out") in str(caught.value)


@pytest.mark.parametrize(
    ("names", "labels", "said"),
    [
        ({"0": "ant", "2": "cat"}, ("ant", "1", "cat"), "no name for 1 of 3 classes (1)"),
        ({"0": "ant", "1": None, "2": ["cat"]}, ("ant", "1", "2"), "no name for 2 of 3 classes (1, 2)"),
        ({"0": "ant", "1": "bee", "2": "cat", "3": "dog"}, ("ant", "bee", "cat"), ""),
        (["ant", "bee"], ("0", "1", "2"), "2 names for 3 classes are left out"),
        ("ant", ("0", "1", "2"), ""),
    ],
)
def test_a_class_without_a_name_keeps_its_number(
    names: Any, labels: tuple[str, ...], said: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    written("huggingface", ERF, tmp_path / "out")
    config = tmp_path / "out" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"id2label": names}))
    assert vs.load(tmp_path / "out").labels == labels
    assert said in caplog.text
    assert bool(said) == ("names" in caplog.text or "no name" in caplog.text)


@pytest.mark.parametrize("format", ["timm", "torchvision", "huggingface"])
@pytest.mark.parametrize("value", [float("nan"), 1e300])
def test_weights_that_are_not_finite_in_float32_are_named(format: str, value: float, tmp_path: Path) -> None:
    _, tensors = written(format, ERF, tmp_path / "out")
    name = next(name for name in tensors if name.endswith("weight"))
    save_file({**tensors, name: torch.full_like(tensors[name], value, dtype=torch.float64)}, tmp_path / "a")
    with pytest.raises(CheckpointError, match=rf"NaN or infinite in {name}"):
        vs.load(tmp_path / "a")


def test_the_eps_of_a_hugging_face_file_comes_from_its_config(tmp_path: Path) -> None:
    _, tensors = written("huggingface", ERF, tmp_path / "out")
    config = tmp_path / "out" / "config.json"
    values = json.loads(config.read_text())
    del values["layer_norm_eps"], values["id2label"]
    config.write_text(json.dumps(values))
    (tmp_path / "out" / "preprocessor_config.json").unlink()
    back = vs.load(tmp_path / "out")
    assert (back.config.norm_eps, back.labels) == (1e-12, ("0", "1", "2"))
    assert (back.preprocess.fit, back.preprocess.mean) == ("squash", (0.5, 0.5, 0.5))
    save_file(tensors, tmp_path / "model.safetensors")
    assert vs.load(tmp_path / "model.safetensors").config.norm_eps == 1e-12
