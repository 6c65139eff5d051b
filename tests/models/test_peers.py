"""Logits equal to timm's on random weights, read from it and written for it."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

import vitascope as vs
from parity import LIMIT, families, parity
from peers import peer, randomise, timm_written
from tiny_checkpoint import same
from vitascope.checkpoints.formats import timm as timm_format
from vitascope.checkpoints.formats.raw import RawCheckpoint
from vitascope.checkpoints.translate import own_shapes
from vitascope.errors import CheckpointError
from vitascope.models.config import ViTConfig

pytestmark = [
    pytest.mark.peers,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]
TIMM: dict[str, dict[str, Any]] = {
    "AugReg, DeiT": {},
    "DeiT, distilled": {"name": "deit_tiny_distilled_patch16_224"},
    "DeiT III": {"init_values": 1e-6, "no_embed_class": True},
    "DINOv2": {"init_values": 1e-5, "patch_size": 14, "img_size": 56, "num_classes": 0},
    "DINOv2 with registers": {
        "init_values": 1e-5,
        "patch_size": 14,
        "img_size": 56,
        "num_classes": 0,
        "reg_tokens": 4,
        "no_embed_class": True,
    },
    "ViT, registers with positions": {"reg_tokens": 4},
    "ViT, mean, norm after it": {"global_pool": "avg"},
    "ViT, mean without class token": {"global_pool": "avg", "class_token": False, "fc_norm": False},
    "ViT, mean, registers, no class token": {"global_pool": "avg", "class_token": False, "reg_tokens": 2},
    "ViT, tanh GELU": {"act_layer": "gelu_tanh"},
    "ViT, no positions": {"pos_embed": "none"},
    "ViT, not square": {"img_size": (32, 64)},
    "ViT, grey": {"in_chans": 1},
    "ViT without qkv bias": {"global_pool": "avg", "class_token": False, "fc_norm": False, "qkv_bias": False},
}


# All of timm's were compared once; these are one of each kind, and all whose name alone tells heads or GELU.
ARCHITECTURES = (
    "deit_tiny_distilled_patch16_224",
    "deit_tiny_patch16_224",
    "deit3_small_patch16_224",
    "test_vit4",  # 96 channels: refused, since nothing says how many heads
    "vit_base_patch16_clip_224",
    "vit_base_patch16_gap_224",
    "vit_base_patch16_siglip_224",
    "vit_base_patch16_siglip_gap_224",
    "vit_base_patch32_siglip_gap_256",
    "vit_giantopt_patch16_siglip_gap_256",
    "vit_large_patch14_clip_quickgelu_224",
    "vit_large_patch16_siglip_gap_256",
    "vit_large_patch16_siglip_gap_512",
    "vit_medium_patch16_gap_240",
    "vit_medium_patch16_reg4_gap_256",
    "vit_small_patch14_reg4_dinov2",
    "vit_so150m_patch16_reg4_gap_256",
    "vit_so400m_patch14_siglip_gap_224",
    "vit_so400m_patch16_siglip_256",
    "vit_so400m_patch16_siglip_gap_256",
    "vit_tiny_patch16_224",
)


PUBLISHED = (
    "vit_tiny_patch16_224",
    "deit_tiny_patch16_224",
    "deit_tiny_distilled_patch16_224",
    "deit3_small_patch16_224",
)


def timm_model(changes: dict[str, Any]) -> tuple[Any, dict[str, Any], torch.Tensor]:
    timm = peer("timm")
    args = {"img_size": 32, "patch_size": 8, "embed_dim": 128, "depth": 2, "num_heads": 2, "num_classes": 7}
    args |= changes
    model = randomise(timm.create_model(args.pop("name", "vit_base_patch16_224"), **args))
    side = args["img_size"]
    height, width = side if isinstance(side, tuple) else (side, side)
    images = torch.randn(3, args.get("in_chans", 3), height, width, generator=torch.Generator().manual_seed(1))
    return model, args, images


@torch.inference_mode()
@families(TIMM, ("timm", "vitascope"))
def test_timm_folder_read(family: str, tmp_path: Path) -> None:
    model, args, images = timm_model(TIMM[family])
    peer("timm.models._hub").save_for_hf(model, tmp_path, model_args=args, safe_serialization=True)
    ck = vs.load(tmp_path)
    assert ck.format == "timm"
    parity(family, "timm", "vitascope", ck.model(images), model(images))
    parity(family, "timm", "vitascope", ck.model.tokens(images), model.forward_features(images))


@torch.inference_mode()
def test_the_comparison_sees_a_wrong_form_of_gelu(tmp_path: Path) -> None:
    model, args, images = timm_model({"act_layer": "gelu_tanh"})
    hub = peer("timm.models._hub")
    hub.save_for_hf(model, tmp_path, model_args=args | {"act_layer": "gelu"}, safe_serialization=True)
    assert float((vs.load(tmp_path).model(images) - model(images)).abs().max()) > 10 * LIMIT


@torch.inference_mode()
@families([n for n in TIMM if n not in ("ViT, tanh GELU", "ViT, no positions")], ("timm", "vitascope"))
def test_timm_state_dict_alone_read(family: str, tmp_path: Path) -> None:
    model, args, images = timm_model(TIMM[family])
    torch.save({"model": model.state_dict()}, tmp_path / "weights.pth")
    size = args["img_size"]
    ck = vs.load(tmp_path / "weights.pth", image_size=size if isinstance(size, tuple) else None)
    parity(family, "timm", "vitascope", ck.model(images), model(images))


@torch.inference_mode()
@families(TIMM, ("vitascope", "timm"))
def test_timm_folder_written(family: str, tmp_path: Path) -> None:
    model, args, images = timm_model(TIMM[family])
    peer("timm.models._hub").save_for_hf(model, tmp_path / "theirs", model_args=args, safe_serialization=True)
    ck = vs.load(tmp_path / "theirs")
    parity(family, "vitascope", "timm", ck.model(images), timm_written(ck, tmp_path / "ours")(images))


@torch.inference_mode()
@families(PUBLISHED, ("timm", "vitascope"))
def test_timm_published_architectures(family: str, tmp_path: Path) -> None:
    model = randomise(peer("timm").create_model(family, img_size=64))
    save_file(model.state_dict(), tmp_path / "any.name")
    images = torch.randn(2, 3, 64, 64)
    parity(family, "timm", "vitascope", vs.load(tmp_path / "any.name").model(images), model(images))


def test_timm_architectures_are_understood_by_name_or_refused() -> None:
    """As a config.json from the Hub gives it: whatever is accepted has timm's heads, GELU and eps."""
    timm = peer("timm")
    accepted = 0
    for name in ARCHITECTURES:
        with torch.device("meta"):
            model = timm.create_model(name)
        said = {"architecture": name, "global_pool": model.global_pool}
        weights = {key: torch.zeros(()).expand(tensor.shape) for key, tensor in model.state_dict().items()}
        try:
            draft = timm_format.read(RawCheckpoint(path=Path(name), tensors=weights, config=said))
        except CheckpointError:
            continue
        kept = draft.layout.every(own_shapes(draft.config)).values()
        wanted = {name: place.shape for place in kept for name in place.names}
        if wanted != {key: tuple(tensor.shape) for key, tensor in draft.tensors.items()}:
            continue  # to_own refuses it, listing the differences
        accepted += 1
        block, config = model.blocks[0], draft.config
        assert isinstance(config, ViTConfig)
        assert block.attn.num_heads == config.heads, name
        assert block.norm1.eps == config.norm_eps, name
        assert not model.pool_include_prefix, name
        tanh = "Tanh" in type(block.mlp.act).__name__ or getattr(block.mlp.act, "approximate", "none") == "tanh"
        assert tanh == (config.gelu == "tanh"), name
        assert ("Quick" in type(block.mlp.act).__name__) == (config.gelu == "quick"), name
    print(f"{accepted} architectures agree")
    assert accepted == len(ARCHITECTURES) - 1


@torch.inference_mode()
@families(["DINOv2 with registers"], ("the DINOv2 repository", "vitascope"), ("vitascope", "timm"))
def test_dinov2_repository_names(family: str, tmp_path: Path) -> None:
    """Facebook's files have a class row beside registers, a mask token and other names."""
    model, _, images = timm_model(TIMM[family])
    state = dict(model.state_dict())
    state["register_tokens"] = state.pop("reg_token")
    row = torch.randn(1, 1, 128)
    state["pos_embed"] = torch.cat([row, state["pos_embed"]], dim=1)
    state["cls_token"] = state["cls_token"] - row
    state["mask_token"] = torch.zeros(1, 128)
    torch.save(state, tmp_path / "dinov2_reg4.pth")
    ck = vs.load(tmp_path / "dinov2_reg4.pth")
    assert (ck.config.registers, ck.config.class_row) == (4, True)
    parity(family, "the DINOv2 repository", "vitascope", ck.model(images), model(images))
    vs.save(ck, tmp_path / "timm", format="timm")
    back = peer("timm").create_model(f"local-dir:{tmp_path / 'timm'}", pretrained=True).eval()
    parity(family, "vitascope", "timm", ck.model(images), back(images))
    again = vs.load(tmp_path / "timm")
    assert again.config == ck.config
    assert same(again.model, ck.model)


@torch.inference_mode()
@families(["official ViT, an .npz"], ("vitascope", "timm"))
def test_google_written_for_timm(family: str, tmp_path: Path) -> None:
    """timm reads our .npz by its own code for the official files."""
    ck = vs.load(Path(__file__).parents[1] / "golden" / "vit_token.npz")
    vs.save(ck, tmp_path / "model.npz", format="google")
    args = {"img_size": 32, "patch_size": 8, "embed_dim": 48, "depth": 2, "num_heads": 3, "num_classes": 10}
    model = peer("timm").create_model("vit_base_patch16_224", **args, mlp_ratio=2.0, act_layer="gelu_tanh")
    model.load_pretrained(str(tmp_path / "model.npz"))
    images = torch.randn(2, 3, 32, 32)
    parity(family, "vitascope", "timm", ck.model(images), model.eval()(images))


def test_timm_description_is_followed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model, args, _ = timm_model({})
    peer("timm.models._hub").save_for_hf(model, tmp_path, model_args=args, safe_serialization=True)
    description = json.loads((tmp_path / "config.json").read_text())
    description["pretrained_cfg"] |= {"mean": [0.1, 0.2, 0.3], "label_names": list("abcdefg")}
    (tmp_path / "config.json").write_text(json.dumps(description))
    with caplog.at_level(logging.WARNING):
        ck = vs.load(tmp_path)
    assert ck.preprocess.mean == (0.1, 0.2, 0.3)
    assert ck.labels == tuple("abcdefg")
    assert not caplog.records
    for key, value in (("act_layer", "relu"), ("global_pool", "max")):
        wrong = description | {"model_args": description["model_args"] | {key: value}}
        (tmp_path / "config.json").write_text(json.dumps(wrong))
        with pytest.raises(CheckpointError, match=value):
            vs.load(tmp_path)
