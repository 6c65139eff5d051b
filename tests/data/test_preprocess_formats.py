"""Preprocessing as this package and other libraries write it down, there and back."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from vitascope.data.preprocess import Preprocess
from vitascope.errors import CheckpointError, ConfigError


def noise(height: int, width: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


EXAMPLES = [
    Preprocess(size=(224, 224)),
    Preprocess(size=(28, 32), channels=1, mean=(0.1307,), std=(0.3081,), antialias=False, fit="squash"),
    Preprocess(size=(64, 64), crop_fraction=0.9, interpolation="bicubic", mean=(0.485, 0.456, 0.406), draft=True),
]


@pytest.mark.parametrize("preprocess", EXAMPLES)
def test_json_round_trip_is_exact(preprocess: Preprocess) -> None:
    assert Preprocess.from_dict(json.loads(json.dumps(preprocess.to_dict()))) == preprocess


@pytest.mark.parametrize("preprocess", EXAMPLES)
def test_timm_round_trip(preprocess: Preprocess) -> None:
    again = Preprocess.from_dict(json.loads(json.dumps(preprocess.to_timm())))
    for name in ("size", "channels", "fit", "crop_fraction", "interpolation", "mean", "std"):
        assert getattr(again, name) == getattr(preprocess, name)


@pytest.mark.parametrize(
    "preprocess",
    [
        *EXAMPLES,
        Preprocess(size=(224, 160), fit="squash", crop_fraction=0.9),
        Preprocess(size=(224, 224), crop_fraction=0.9),
    ],
)
def test_hugging_face_round_trip_gives_the_same_pixels(preprocess: Preprocess) -> None:
    again = Preprocess.from_dict(json.loads(json.dumps(preprocess.to_huggingface())))
    image = noise(75, 101, channels=preprocess.channels)
    assert torch.equal(again(image), preprocess(image))
    assert (again.antialias, again.draft) == (preprocess.antialias, preprocess.draft)


def test_hugging_face_cannot_say_a_crop_that_is_not_square() -> None:
    with pytest.raises(ConfigError, match="Hugging Face"):
        Preprocess(size=(224, 160)).to_huggingface()


VIT = {
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "image_mean": [0.5, 0.5, 0.5],
    "image_processor_type": "ViTImageProcessor",
    "image_std": [0.5, 0.5, 0.5],
    "resample": 2,
    "rescale_factor": 0.00392156862745098,
    "size": {"height": 224, "width": 224},
}


def test_reads_hugging_face() -> None:
    assert Preprocess.from_dict(VIT) == Preprocess(size=(224, 224), fit="squash")
    old = {"do_normalize": True, "do_resize": True, "image_mean": [0.5] * 3, "image_std": [0.5] * 3, "size": 384}
    assert Preprocess.from_dict(old) == Preprocess(size=(384, 384), fit="squash")
    bit = VIT | {
        "size": {"shortest_edge": 256},
        "do_center_crop": True,
        "crop_size": {"height": 224, "width": 224},
        "resample": 3,
        "image_mean": [0.485, 0.456, 0.406],
    }
    assert Preprocess.from_dict(bit) == Preprocess(
        size=(224, 224), fit="crop", crop_fraction=0.875, interpolation="bicubic", mean=(0.485, 0.456, 0.406)
    )
    deit = VIT | {"size": {"height": 256, "width": 256}, "do_center_crop": True, "crop_size": 224}
    assert Preprocess.from_dict(deit) == Preprocess(size=(224, 224), fit="squash", crop_fraction=0.875)
    plain = Preprocess.from_dict(VIT | {"do_normalize": False})
    assert (plain.mean, plain.std) == ((0.0,) * 3, (1.0,) * 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"do_resize": False}, "do_resize"),
        ({"do_rescale": False}, "do_rescale"),
        ({"rescale_factor": 1 / 127.5}, "rescale_factor"),
        ({"resample": 5}, "resample"),
        ({"size": {"shortest_edge": 224}}, "centre crop"),
        ({"size": {"longest_edge": 224}}, "size"),
        ({"crop_size": 448}, "share"),
        ({"crop_size": {"height": 100, "width": 200}}, "share"),
        ({"crop_size": 0}, "crop_size is 0, expected one positive number"),
        ({"image_std": [0.0, 1.0, 1.0]}, "std"),
    ],
)
def test_refuses_hugging_face_settings_without_equivalent(change: dict[str, object], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        Preprocess.from_dict(VIT | change)


def test_reads_timm() -> None:
    config = {
        "input_size": [3, 224, 224],
        "interpolation": "bicubic",
        "crop_pct": 0.9,
        "crop_mode": "center",
        "mean": [0.5, 0.5, 0.5],
        "std": [0.5, 0.5, 0.5],
        "num_classes": 1000,
        "first_conv": "patch_embed.proj",
    }
    expected = Preprocess(size=(224, 224), crop_fraction=0.9, interpolation="bicubic")
    assert Preprocess.from_dict(config) == expected
    assert Preprocess.from_dict(config | {"crop_mode": "squash"}).fit == "squash"
    with pytest.raises(CheckpointError, match="border"):
        Preprocess.from_dict(config | {"crop_mode": "border"})
    with pytest.raises(CheckpointError, match="input_size"):
        Preprocess.from_dict(config | {"input_size": 224})
