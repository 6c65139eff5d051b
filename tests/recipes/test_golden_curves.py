"""Every recipe trained for a few steps gives the losses it always gave: the order of images, augmentation, initial
values, optimisers and schedules, held together, to the last digit on the processors whose curves are stored.

`python tests/recipes/test_golden_curves.py` writes this processor's into tests/golden/curves.json, for changes that are
meant.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch

from tiny import image_folder
from vitascope.cli import main
from vitascope.precision import processor

pytestmark = pytest.mark.usefixtures("no_pictures")

GOLDEN = Path(__file__).parents[1] / "golden" / "curves.json"
_COMMON = [
    "--steps=5",
    "--warmup=2",
    "--log_every=1",
    "--eval_every=5",
    "--save_every=5",
    "--batch=6",
    "--holdout=0.2",
    "--precision=float32",
    "--device=cpu",
    "--yes",
]
_SMALL_VIT = ["--model_fields={width: 32, depth: 2, heads: 2, hidden: 48}"]
_SMALL_BIT = ["--model_fields={units: [1, 1, 1, 1], base_width: 32}", "--mlp_head=false"]
_PRETRAIN = [*_COMMON, "--image_size=16"]
_VIT = [*_PRETRAIN, "--model=ViT-Ti/8", *_SMALL_VIT]
_MASKED = ["--objective=masked"]
_FRACTALS = "fractals:classes=4,instances=6,size=32,validation=4"

RECIPES: dict[str, list[str]] = {
    "pretrain": ["pretrain", "IMAGES", *_VIT],
    "jft": ["pretrain", "IMAGES", "--preset=jft", *_VIT, "--model_fields.head_bias=0"],
    "imagenet21k": ["pretrain", "IMAGES", "--preset=imagenet21k", *_VIT],
    "imagenet": ["pretrain", "IMAGES", "--preset=imagenet", *_VIT, "--seed=3"],
    "small": ["pretrain", "IMAGES", "--preset=small", *_VIT],
    "record": ["pretrain", "IMAGES", "--preset=record", *_COMMON, "--whiten=12"],
    "fractals": ["pretrain", _FRACTALS, "--preset=fractals", *_VIT],
    "ema": ["pretrain", "IMAGES", *_VIT, "--ema=0.5", "--keep=best", "--micro_batch=4", "--drop_tokens=0.5"],
    "recomputed": ["pretrain", "IMAGES", *_VIT, "--checkpoint_activations=true", "--dropout=0.2", "--seed=1"],
    "mixed": ["pretrain", "IMAGES", *_VIT, "--augment.mixup=0.8", "--augment.cutmix=1", "--augment.rotate=10"],
    "masked": [
        "pretrain",
        "IMAGES",
        *_VIT,
        "--model=ViT-Ti/4",
        *_MASKED,
        "--optimizer=muon",
        "--masked.decoder_depth=2",
    ],
    "masked patches": ["pretrain", "IMAGES", *_VIT, *_MASKED, "--masked.autoencoder=false", "--masked.target=colours"],
    "hybrid": ["pretrain", "IMAGES", *_COMMON, "--image_size=32", "--model=R+ViT-Ti/16", *_SMALL_VIT],
    "bit": ["pretrain", "IMAGES", *_COMMON, "--image_size=32", "--model=BiT-R50x1", *_SMALL_BIT],
    "finetune": ["finetune", "START", "IMAGES", *_COMMON, "--image_size=32"],
    "finetune small": ["finetune", "START", "IMAGES", "--preset=small", *_COMMON],
    "finetune cifar": ["finetune", "START", "IMAGES", "--preset=cifar", *_COMMON, "--image_size=24"],
    "finetune bit": ["finetune", "BIT", "IMAGES", *_COMMON],
    "finetune head": ["finetune", "START", "IMAGES", *_COMMON, "--train=head", "--lr=0.1"],
    "finetune last": ["finetune", "START", "IMAGES", "--preset=small", *_COMMON, "--train=last:1", "--dropout=0.2"],
    "finetune lora": ["finetune", "START", "IMAGES", "--preset=small", *_COMMON, "--train=lora:4", "--image_size=32"],
    "finetune bit last": ["finetune", "BIT", "IMAGES", *_COMMON, "--train=last:2", "--ema=0.5"],
}


def here() -> str:
    """What the last digits depend on; two makers' processors of the same instructions differ in the ninth."""
    return f"torch {torch.__version__.split('+')[0]}, {processor()}"


def curve(name: str, folder: Path) -> list[dict[str, Any]]:
    """Lines of metrics.jsonl of one recipe, trained in `folder`, which holds images/ and the starts."""
    places = {"IMAGES": folder / "images", "START": folder / "pretrain", "BIT": folder / "bit"}
    out = folder / name.replace(" ", "-")
    assert main([str(places.get(word, word)) for word in [*RECIPES[name], "--out", out]]) == 0
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def flat(line: dict[str, Any]) -> dict[str, Any]:
    """A line of metrics.jsonl without the level of "validation"."""
    judged = {f"validation {name}": value for name, value in line.get("validation", {}).items()}
    return {name: value for name, value in line.items() if name != "validation"} | judged


def _prepare(folder: Path) -> Path:
    image_folder(folder / "images", 24)
    return folder


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _prepare(tmp_path_factory.mktemp("curves"))


@pytest.mark.parametrize("name", RECIPES)
def test_losses_are_those_of_before(name: str, place: Path) -> None:
    golden, got = json.loads(GOLDEN.read_text()), curve(name, place)
    if here() in golden:
        assert got == golden[here()][name]
    expected = next(iter(golden.values()))[name]
    for mine, theirs in zip(got, expected, strict=True):
        assert flat(mine) == pytest.approx(flat(theirs), rel=1e-3, abs=1e-4)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        curves = {name: curve(name, _prepare(Path(temporary))) for name in RECIPES}
    GOLDEN.write_text(json.dumps({**json.loads(GOLDEN.read_text()), here(): curves}, indent=1) + "\n")
    sys.exit(0)
