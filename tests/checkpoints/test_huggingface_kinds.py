"""Relatives of ViT in transformers: equal to the peer at the size its preprocessing makes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

import vitascope as vs
from parity import families, parity
from peers import peer, randomise

SIZES: dict[str, Any] = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "num_labels": 3}
VIT = {**SIZES, "intermediate_size": 48, "image_size": 16, "patch_size": 8}
IMAGES = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))

HERE = ("transformers", "vitascope")
RESIZED = {
    "DINOv2, positions resized by its rule": "Dinov2",
    "DINOv2 with registers, positions resized by its rule": "Dinov2WithRegisters",
}


@families(RESIZED, HERE)
def test_dinov2_resizes_its_positions_as_its_authors_do(family: str, tmp_path: Path) -> None:
    transformers, kind = peer("transformers"), RESIZED[family]
    config = getattr(transformers, f"{kind}Config")(**SIZES, image_size=36, patch_size=2, mlp_ratio=2)
    model = randomise(getattr(transformers, f"{kind}ForImageClassification")(config))
    model.save_pretrained(tmp_path)
    native = vs.load(tmp_path)
    assert native.config.image_size == (36, 36)
    with torch.inference_mode():
        parity(family, *HERE, vs.load(tmp_path, image_size=16).model(IMAGES), model(IMAGES).logits)
        transformers.BitImageProcessor(
            size={"shortest_edge": 18}, crop_size={"height": 16, "width": 16}
        ).save_pretrained(tmp_path)
        described = vs.load(tmp_path)
        assert described.config.image_size == described.preprocess.size == (16, 16)
        parity(family, *HERE, described.model(IMAGES), model(IMAGES).logits)
