"""Models that are not the paper's: from another library's file to a fine-tuned run and back into its form."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

import vitascope as vs
from tiny import CLASSES, SIDE, finetune_recipe, splits
from tiny_checkpoint import TINY, checkpoint, noise, same
from vitascope.models.config import ViTConfig
from vitascope.recipes.finetune import finetune

ERF = replace(TINY, image_size=(SIDE, SIDE), width=64, heads=1, gelu="erf", depth=2)
STARTS: dict[str, tuple[str, ViTConfig]] = {
    "distilled DeiT": ("timm", replace(ERF, registers=1, pooling="token+distillation")),
    "DeiT of transformers": ("huggingface", replace(ERF, registers=1)),
    "no biases on q, k and v": (
        "timm",
        replace(ERF, qkv_bias=False, class_token=False, class_row=False, pooling="mean"),
    ),
    "vit-pytorch": (
        "vit-pytorch",
        replace(ERF, heads=2, head_width=64, qkv_bias=False, patch_norms=True, norm_eps=1e-5),
    ),
}


@pytest.mark.usefixtures("no_pictures")
@pytest.mark.parametrize("name", STARTS)
def test_from_their_file_to_a_run_and_back(name: str, tmp_path: Path) -> None:
    format, config = STARTS[name]
    start = checkpoint(config)
    vs.save(start, tmp_path / "theirs", format=format)
    recipe = finetune_recipe(tmp_path / "run", tmp_path / "theirs", image_size=2 * SIDE, lr=0.05, steps=3)
    ck = vs.load(finetune(recipe, splits=splits()))
    assert ck.labels == CLASSES
    expected = replace(config, image_size=(2 * SIDE, 2 * SIDE), layer_scale=None, classes=len(CLASSES))
    assert ck.config == expected
    assert ck.model.head.linear.weight.shape == (len(CLASSES), config.pooled)
    moved = [n for n, t in start.model.state_dict().items() if not torch.equal(t, ck.model.state_dict()[n])]
    assert set(moved) == set(start.model.state_dict())  # everything there is learns
    vs.save(ck, tmp_path / "back", format=format)
    again = vs.load(tmp_path / "back", model=ck.config)
    assert same(again.model, ck.model)
    images = noise(2, 3, 2 * SIDE, 2 * SIDE)
    assert vs.views.rollout(ck.model, images).shape == (2, 4, 4)
    assert ck.model.features(images).shape == (2, config.pooled)
