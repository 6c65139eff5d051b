"""DINOv3, equal to timm's and transformers' on random weights at any size, read and written; its authors' files."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import torch

import vitascope as vs
from parity import families, parity
from peers import peer, randomise
from tiny_checkpoint import noise, same
from vitascope.checkpoints.formats import timm_dinov3
from vitascope.checkpoints.formats.raw import RawCheckpoint
from vitascope.errors import CheckpointError

pytestmark = [
    pytest.mark.peers,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]
SIZES = {"img_size": 64, "embed_dim": 128, "depth": 2, "num_heads": 2}
PLUS = "vit_small_plus_patch16_dinov3"
TIMM: dict[str, tuple[str, dict[str, Any]]] = {
    "DINOv3": ("vit_small_patch16_dinov3", {"num_classes": 0}),
    "DINOv3 with SwiGLU": (PLUS, {"num_classes": 0, "mlp_ratio": 1.61, "swiglu_align_to": 1}),
    "DINOv3 with biases, fine-tuned": ("vit_small_patch16_dinov3_qkvb", {"num_classes": 5, "qkv_bias": True}),
}
HUGGING_FACE: dict[str, dict[str, Any]] = {
    "DINOv3": {},
    "DINOv3 with SwiGLU": {"use_gated_mlp": True, "hidden_act": "silu"},
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


AUTHORS = {
    "DINOv3": ("vit_small_patch16_dinov3_qkvb", {"qkv_bias": True}),
    "DINOv3 with SwiGLU": (PLUS, {}),
}


@torch.inference_mode()
@families(AUTHORS, ("the DINOv3 repository", "vitascope"))
def test_the_authors_files(family: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Their names and what they hold besides; timm's own reader of them gives the names."""
    name, changes = AUTHORS[family]
    model = randomise(peer("timm").create_model(name, **(SIZES | {"num_heads": 4} | changes), global_pool="token"))
    state = authors(model.state_dict(), d=32)
    back = peer("timm.models.eva").checkpoint_filter_fn(dict(state), model)
    assert {k: v.shape for k, v in back.items()} == {k: v.shape for k, v in model.state_dict().items()}
    assert all(torch.equal(v, model.state_dict()[k]) for k, v in back.items())
    torch.save({"teacher": {f"backbone.{k}": v for k, v in state.items()}}, tmp_path / "a.pth")
    with caplog.at_level(logging.INFO):
        ck = vs.load(tmp_path / "a.pth")
    assert "left out: 3 tensors of masked training" in caplog.text
    assert "how many attention heads" not in caplog.text  # 4 of 32 channels, by the periods
    assert ck.preprocess.mean == (0.485, 0.456, 0.406)
    for size in ((64, 64), (32, 80)):
        images = noise(3, 3, *size)
        parity(family, "the DINOv3 repository", "vitascope", ck.model(images), model(images))
    state["rope_embed.periods"] = 2 * state["rope_embed.periods"]
    torch.save(state, tmp_path / "b.pth")
    with pytest.raises(CheckpointError, match="not the powers of 100"):
        vs.load(tmp_path / "b.pth")


def authors(state: dict[str, torch.Tensor], d: int) -> dict[str, torch.Tensor]:
    """timm's names → those of facebookresearch/dinov3, with its periods, masks and what its training alone reads."""
    renames = {"reg_token": "storage_tokens", "gamma_": "ls", "fc1_g": "w1", "fc1_x": "w2"}
    result: dict[str, torch.Tensor] = {}
    for name, tensor in state.items():
        gated = name.replace("fc2", "fc1_g") in state
        for theirs, own in renames.items():
            name = name.replace(theirs, own)
        name = name.replace("fc2", "w3") if gated else name
        result[f"{name}.gamma" if name.endswith(("ls1", "ls2")) else name] = tensor
    for name in [name for name in result if name.endswith("q_bias")]:
        q, v = result.pop(name), result.pop(name.replace("q_bias", "v_bias"))
        zeros = torch.zeros_like(q)
        result[name.replace("q_bias", "qkv.bias")] = torch.cat([q, zeros + 7, v])  # which the mask takes away
        result[name.replace("q_bias", "qkv.bias_mask")] = torch.cat([zeros + 1, zeros, zeros + 1])
    width = result["norm.bias"].numel()
    result["rope_embed.periods"] = 100.0 ** (torch.arange(d // 4) * 4 / d).bfloat16()
    return result | {
        "mask_token": noise(1, width), "local_cls_norm.weight": noise(width), "local_cls_norm.bias": noise(width)
    }  # fmt: skip


@pytest.mark.parametrize(("width", "heads"), [(384, 6), (1024, 16), (1280, 20), (4096, 32)])
def test_how_many_heads_each_size_has(width: int, heads: int) -> None:
    assert timm_dinov3.heads(RawCheckpoint(tensors={}), width, None) == heads


def test_relatives_are_refused_by_name(tmp_path: Path) -> None:
    for name, expected in (
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
