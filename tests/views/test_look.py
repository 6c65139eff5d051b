"""One look holds what every view says, of any checkpoint that loads."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import vitascope as vs
from tiny import pixels
from tiny_checkpoint import TINY, checkpoint, look
from vitascope import views
from vitascope.checkpoints.checkpoint import Checkpoint
from vitascope.data.preprocess import Preprocess
from vitascope.errors import ConfigError, ImageError
from vitascope.models.catalogue import architecture_name, model_config
from vitascope.models.config import ViTConfig
from vitascope.views.look import scope


def photograph(channels: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (50, 70, channels), dtype=np.uint8)


def test_a_look_says_what_the_views_say(kind: tuple[Checkpoint, Tensor]) -> None:
    ck, _ = kind
    c, image = ck.config, photograph(ck.config.channels)
    seen = look(ck, image)
    images = ck.preprocess(image)[None]
    pairs = {
        "norms": views.token_norms(ck.model, images)[0],
        "distance": views.attention_distance(ck.model, images),
        "share": views.attended_share(ck.model, images),
        "rollout": views.rollout(ck.model, images)[0],
        "class_maps": views.class_attention(ck.model, images)[0],
    }
    for name, expected in pairs.items():
        got = getattr(seen, name)
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, expected.numpy(), rtol=1e-5, atol=1e-6, err_msg=name)
    for layer, weights in views.attention(ck.model, images).items():
        np.testing.assert_allclose(seen.attention(layer), weights[0].numpy(), atol=1e-6)
    height, width = c.image_size
    assert seen.image.shape == (height, width, 3)
    assert seen.image.dtype == np.uint8
    resized = ck.preprocess.resize(image)
    shown = resized[..., :3] if c.channels >= 3 else np.repeat(resized, 3, axis=2)
    assert np.array_equal(seen.image, shown)
    assert (seen.grid, seen.config) == (c.grid, c)
    arrays = [getattr(seen, f.name) for f in fields(seen)]
    assert seen.nbytes == sum(a.nbytes for a in arrays if isinstance(a, np.ndarray)) > 2 * seen.keys.nbytes
    if not c.classes:
        assert seen.predictions == seen.lens == []
        return
    probabilities = ck.model(images).softmax(dim=1)[0].tolist()
    assert [i for _, i, _ in seen.predictions] == sorted(range(6), key=lambda i: -probabilities[i])
    assert [p for _, _, p in seen.predictions] == pytest.approx(sorted(probabilities, reverse=True))
    assert [len(layer) for layer in seen.lens] == [5] * c.depth
    assert seen.lens[-1] == seen.predictions[:5]
    first = views.logit_lens(ck.model, images)[0, 0].softmax(dim=0)
    assert seen.lens[0][0] == (str(int(first.argmax())), int(first.argmax()), pytest.approx(float(first.max())))


def test_predictions_are_those_of_predict() -> None:
    ck = checkpoint(replace(TINY, classes=30), labels=tuple(f"kind {i}" for i in range(30)))
    image = pixels(1)[0][0]
    seen = look(ck, image)
    assert len(seen.predictions) == 10
    for one, other in zip(seen.predictions, vs.Predictor(ck, device="cpu")(image, top=10)[0], strict=True):
        assert one[:2] == other[:2]
        assert one[2] == pytest.approx(other[2])


def at_size(ck: Checkpoint, size: int | tuple[int, int]) -> Checkpoint:
    return replace(ck, preprocess=ck.preprocess.with_size(size))


def test_another_size() -> None:
    ck = checkpoint()
    image = photograph(3)
    wide = look(at_size(ck, (16, 40)), image)
    assert (wide.grid, wide.image.shape, wide.rollout.shape) == ((2, 5), (16, 40, 3), (2, 5))
    assert look(at_size(ck, 32), image).grid == (4, 4)
    with pytest.raises(ConfigError, match="multiples of 8"):
        look(at_size(ck, (16, 41)), image)


def test_what_is_no_image_is_refused() -> None:
    with pytest.raises(ImageError, match="begins with"):
        look(checkpoint(), b"<script>")


@pytest.mark.parametrize("layer", [-1, 1, 0.0, "0"])
def test_a_layer_that_is_not_there(layer: int) -> None:
    with pytest.raises(ConfigError, match=r"layer .* of a model with 1 layers; expected numbers from 0 to 0"):
        look(checkpoint(), photograph(3)).attention(layer)


@pytest.mark.parametrize(
    ("format", "config"),
    [
        ("vitascope", TINY),
        ("google", replace(TINY, representation_size=5, representation_activation="tanh")),
        ("timm", replace(TINY, width=64, heads=1, layer_scale=0.1, registers=4, class_row=False, classes=0)),
        ("huggingface", replace(TINY, width=64, heads=1)),
        ("torchvision", replace(TINY, width=64, heads=1, gelu="erf")),
    ],
)
def test_checkpoints_of_every_format(format: str, config: ViTConfig, tmp_path: Path) -> None:
    vs.save(checkpoint(config), tmp_path / "out", format=format)
    ck = vs.load(tmp_path / "out")
    seen, known = look(ck, photograph(3)), scope(ck)
    assert (known.config.depth, known.config.heads, known.config.classes) == (1, config.heads, config.classes)
    assert seen.attention(0).shape == (config.heads, config.tokens, config.tokens)
    assert seen.grid == known.grid == config.grid


def test_a_scope_says_what_the_views_say(kind: tuple[Checkpoint, Tensor]) -> None:
    ck, _ = kind
    c, known = ck.config, scope(ck)
    assert known.parameters == sum(p.numel() for p in ck.model.parameters())
    assert (known.image_size, known.grid, known.config) == (c.image_size, c.grid, c)
    np.testing.assert_array_equal(known.filters, views.embedding_filters(ck.model).numpy())
    if not c.has_table:
        assert known.similarity is None
        assert known.locality is None
        return
    np.testing.assert_array_equal(known.similarity, views.position_similarity(ck.model).numpy())
    assert (known.locality is None) == (c.grid == (1, 1))
    assert known.uniform_distance == views.uniform_distance(c.grid, c.pixels_per_token, c.prefix)


def test_preprocessing_for_another_size_than_the_positions() -> None:
    ck = checkpoint(preprocess=Preprocess(size=(16, 32)))
    known = scope(ck)
    assert known.grid == look(ck, photograph(3)).grid == (2, 4)
    assert known.similarity is not None
    assert known.similarity.shape == (2, 2, 2, 2)


@pytest.mark.parametrize(
    "name", ["ViT-Ti/16", "ViT-B/32", "ViT-L/16", "ViT-H/14", "ViT-S/8", "R+ViT-Ti/16", "R50+ViT-B/16"]
)
def test_names_of_architectures(name: str) -> None:
    config = model_config(name, classes=3)
    assert isinstance(config, ViTConfig)
    assert architecture_name(config) == name


def test_names_of_other_sizes() -> None:
    assert architecture_name(TINY) == "ViT 16 wide, 1 deep, patch 8"


def test_looking_under_inference_mode_and_from_a_training_model() -> None:
    ck = checkpoint()
    expected = look(ck, photograph(3))
    ck.model.train()
    with torch.inference_mode():
        seen = look(ck, photograph(3))
    assert ck.model.training
    np.testing.assert_array_equal(seen.rollout, expected.rollout)
