from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import vitascope as vs
from tiny_checkpoint import TINY, checkpoint
from vitascope.checkpoints.adapt import replace_head, resize_model
from vitascope.errors import CheckpointError, ConfigError
from vitascope.models.config import BiTConfig, ViTConfig

IMAGES = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def test_another_number_of_classes_gives_a_zero_head_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    hidden = replace(TINY, representation_size=5, representation_activation="tanh")
    ck = checkpoint(hidden, labels=("a", "b", "c"))
    vs.save(ck, tmp_path / "model")
    with caplog.at_level(logging.WARNING):
        back = vs.load(tmp_path / "model", classes=7)
    assert "new zero head for 7 classes in place of the checkpoint's 3" in caplog.text
    assert back.labels == tuple("0123456")
    assert back.config == replace(TINY, classes=7)
    assert not back.model.head.linear.weight.any()
    assert torch.equal(back.model(IMAGES), torch.zeros(2, 7))
    assert torch.equal(back.model.tokens(IMAGES), ck.model.tokens(IMAGES))


def test_the_same_number_of_classes_keeps_head_and_labels(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ck = checkpoint(labels=("a", "b", "c"))
    vs.save(ck, tmp_path / "model")
    back = vs.load(tmp_path / "model", classes=3)
    assert back.labels == ck.labels
    assert torch.equal(back.model(IMAGES), ck.model(IMAGES))
    assert not caplog.records


def test_a_zero_head_is_warned_about_and_loaded(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ck = checkpoint()
    with torch.no_grad():
        ck.model.head.linear.weight.zero_()
    vs.save(ck, tmp_path / "model")
    with caplog.at_level(logging.WARNING):
        assert vs.load(tmp_path / "model").config == TINY
    assert "head of 3 classes is all zeros" in caplog.text


def test_another_image_size_resizes_positions_and_preprocessing(tmp_path: Path) -> None:
    ck = checkpoint()
    vs.save(ck, tmp_path / "model")
    back = vs.load(tmp_path / "model", image_size=(24, 32))
    assert back.config.image_size == back.preprocess.size == (24, 32)
    assert back.model.embedding.positions.table.shape == (1, 1 + 3 * 4, 16)
    images = torch.randn(1, 3, 24, 32)
    torch.testing.assert_close(back.model(images), ck.model(images))  # resized at call time by the same rule
    with pytest.raises(ConfigError, match=r"20×20 is not divisible by 8"):
        vs.load(tmp_path / "model", image_size=20)
    with pytest.raises(ConfigError, match="image_size"):
        vs.load(tmp_path / "model", image_size=(1, 2, 3))  # type: ignore[arg-type]


def test_a_stated_model_is_checked(tmp_path: Path) -> None:
    vs.save(checkpoint(), tmp_path / "model")
    assert vs.load(tmp_path / "model", model=replace(TINY, classes=9, image_size=(64, 64))).config == TINY
    with pytest.raises(CheckpointError, match=r"width 16 instead of 192; depth 1 instead of 12; heads 2"):
        vs.load(tmp_path / "model", model="ViT-Ti/8")
    with pytest.raises(CheckpointError, match="holds a ViT, but model= says BiT"):
        vs.load(tmp_path / "model", model="BiT-R50x1")
    with pytest.raises(ConfigError, match="no model"):
        vs.load(tmp_path / "model", model="ViT-Q/8")


def test_images_are_prepared_at_a_whole_number_of_patches(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """SigLIP's so400m is described with 384 pixels by patches of 14, whose last 6 it never sees."""
    vs.save(checkpoint(replace(TINY, width=64, heads=1)), tmp_path / "a", format="timm")
    description = json.loads((tmp_path / "a" / "config.json").read_text())
    description["pretrained_cfg"]["input_size"] = [3, 20, 20]
    (tmp_path / "a" / "config.json").write_text(json.dumps(description))
    with caplog.at_level(logging.WARNING):
        back = vs.load(tmp_path / "a")
    assert back.preprocess.size == back.config.image_size == (16, 16)
    assert "images of 20×20 are no whole number of patches of 8 pixels; prepared at 16×16" in caplog.text
    assert back.model(back.preprocess(np.zeros((30, 30, 3), np.uint8))[None]).shape == (1, 3)


def test_parameters_are_ordinary_even_when_loaded_in_inference_mode(tmp_path: Path) -> None:
    vs.save(checkpoint(), tmp_path / "model")
    with torch.inference_mode():
        back = vs.load(tmp_path / "model", classes=4, image_size=24)
    back.model(torch.randn(1, 3, 24, 24)).sum().backward()
    assert back.model.embedding.positions.table.grad is not None


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda p: None, "no such file or folder"),
        (lambda p: p.mkdir(), "no weights"),
        (lambda p: p.write_bytes(b""), "empty file"),
        (lambda p: p.write_text("hello, this is text"), "neither safetensors nor .npz nor a PyTorch file"),
        (lambda p: (p / "checkpoints").mkdir(parents=True), "a run without a result yet"),
        (
            lambda p: (p.mkdir(), (p / "a.npz").write_bytes(b""), (p / "b.npz").write_bytes(b"")),
            "2 weight files: name one",
        ),
        (lambda p: torch.save({"fc.weight": torch.ones(2)}, p), "no known format has these 1 tensors (fc.weight"),
        (lambda p: (p.mkdir(), (p / "config.json").write_text("{")), "damaged JSON"),
    ],
)
def test_what_is_no_checkpoint_is_said_in_one_line(make, expected: str, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    make(tmp_path / "thing")
    with pytest.raises(CheckpointError) as caught:
        vs.load(tmp_path / "thing")
    assert expected in str(caught.value)
    assert str(tmp_path / "thing") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(CheckpointError, match="loop"):
        vs.load(tmp_path / "loop")


def test_files_of_shards_stay_in_their_folder(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors.index.json").write_text('{"weight_map": {"a": "../../etc/passwd"}}')
    with pytest.raises(CheckpointError, match="expected one in the same folder"):
        vs.load(tmp_path)


def test_a_head_and_a_size_are_replaced_without_touching_the_rest() -> None:
    ck = checkpoint()
    model = replace_head(ck.model.train(), 5)
    assert model.training
    assert model.head.linear.bias.tolist() == [0.0] * 5
    assert model.config == replace(TINY, classes=5)
    assert model.encoder.blocks[0].mlp.fc1.weight.data_ptr() == ck.model.encoder.blocks[0].mlp.fc1.weight.data_ptr()
    assert replace_head(model, 0).head.linear is None
    assert resize_model(model, 16) is model
    larger = resize_model(model, 32)
    assert larger.config.grid == (4, 4)
    assert torch.equal(larger.embedding.positions.table[:, 0], model.embedding.positions.table[:, 0])
    assert ck.model.config == TINY


@pytest.mark.parametrize(
    "config",
    [
        replace(TINY, pooling="token+mean"),
        replace(TINY, norm="pooled", pooling="mean"),
        replace(TINY, positions="sincos"),
        replace(TINY, positions="none"),
        BiTConfig(image_size=(32, 32), units=(1, 1, 1, 1), base_width=32, classes=3),
        BiTConfig(image_size=(32, 32), units=(1, 2), base_width=32, small_images=True, classes=3),
    ],
)
def test_every_kind_of_model_takes_a_new_head_and_size(config: ViTConfig | BiTConfig) -> None:
    model = resize_model(replace_head(checkpoint(config).model, 4), (64, 96))
    assert model(torch.randn(1, 3, 64, 96)).tolist() == [[0.0] * 4]
    assert model.config == replace(config, classes=4, image_size=(64, 96))


def test_unknown_formats_name_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no format 'hugginface'; did you mean 'huggingface'"):
        vs.save(checkpoint(), tmp_path / "model", format="hugginface")
    assert not list(tmp_path.iterdir())
