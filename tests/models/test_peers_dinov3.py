"""DINOv3, equal to timm's and transformers' on random weights, at its own size and at another, read and written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import vitascope as vs
from parity import families, parity
from peers import peer, randomise
from tiny_checkpoint import noise, same
from vitascope.errors import CheckpointError

pytestmark = [
    pytest.mark.peers,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]
SIZES = {"img_size": 64, "embed_dim": 128, "depth": 2, "num_heads": 2}
TIMM: dict[str, tuple[str, dict[str, Any]]] = {
    "DINOv3": ("vit_small_patch16_dinov3", {"num_classes": 0}),
    "DINOv3 with biases, fine-tuned": ("vit_small_patch16_dinov3_qkvb", {"num_classes": 5, "qkv_bias": True}),
}
HUGGING_FACE: dict[str, dict[str, Any]] = {
    "DINOv3": {},
    "DINOv3, biases on keys, no registers": {"key_bias": True, "num_register_tokens": 0},
}


@torch.inference_mode()
@families(TIMM, ("timm", "vitascope"), ("vitascope", "timm"))
def test_timm_read_and_written(family: str, tmp_path: Path) -> None:
    name, changes = TIMM[family]
    model = randomise(peer("timm").create_model(name, **SIZES, **changes))
    peer("timm.models._hub").save_for_hf(
        model, tmp_path / "theirs", model_args=SIZES | changes, safe_serialization=True
    )
    ck = vs.load(tmp_path / "theirs")
    assert (ck.format, ck.config.positions, ck.config.registers) == ("timm", "rotary", 4)
    vs.save(ck, tmp_path / "ours", format="timm")
    back = peer("timm").create_model(f"local-dir:{tmp_path / 'ours'}", pretrained=True).eval()
    for size in ((64, 64), (32, 80)):
        images = noise(3, 3, *size)
        parity(family, "timm", "vitascope", ck.model(images), model(images))
        parity(family, "timm", "vitascope", ck.model.tokens(images), model.forward_features(images))
        parity(family, "vitascope", "timm", ck.model(images), back(images))
    again = vs.load(tmp_path / "ours")
    assert (again.config, again.preprocess) == (ck.config, ck.preprocess)
    assert same(again.model, ck.model)


@torch.inference_mode()
@families(HUGGING_FACE, ("transformers", "vitascope"), ("vitascope", "transformers"))
def test_hugging_face_read_and_written(family: str, tmp_path: Path) -> None:
    transformers = peer("transformers")
    sizes = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 96}
    sizes |= {"image_size": 32, "patch_size": 8, "num_register_tokens": 4}
    config = transformers.DINOv3ViTConfig(**(sizes | HUGGING_FACE[family]))
    model = randomise(transformers.DINOv3ViTModel(config))
    model.save_pretrained(tmp_path / "theirs")
    ck = vs.load(tmp_path / "theirs")
    vs.save(ck, tmp_path / "ours", format="huggingface")
    back, info = transformers.DINOv3ViTModel.from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert not any(info.values()), info
    for size in ((32, 32), (24, 40)):
        images = noise(3, 3, *size)
        theirs = model(pixel_values=images)
        parity(family, "transformers", "vitascope", ck.model.tokens(images), theirs.last_hidden_state)
        parity(family, "transformers", "vitascope", ck.model(images), theirs.pooler_output)
        parity(family, "vitascope", "transformers", ck.model(images), back.eval()(pixel_values=images).pooler_output)
    again = vs.load(tmp_path / "ours")
    assert again.config == ck.config
    assert same(again.model, ck.model)


def test_relatives_are_refused_by_name(tmp_path: Path) -> None:
    for name, expected in (
        ("vit_small_plus_patch16_dinov3", "SwiGLU"),
        ("vit_medium_patch16_rope_reg1_gap_256", "rotary positions of another kind"),
        ("vit_small_patch16_rope_224", "rotary positions of another kind"),
        ("vit_small_patch16_rope_mixed_224", "rotary positions of another kind"),
        ("eva02_tiny_patch14_224", "EVA"),
    ):
        side = 56 if "eva" in name else 64
        model = peer("timm").create_model(name, img_size=side, depth=1, num_classes=0)
        torch.save(model.state_dict(), tmp_path / "a.pth")
        with pytest.raises(CheckpointError, match=expected):
            vs.load(tmp_path / "a.pth")
