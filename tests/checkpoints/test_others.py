"""What is no plain ViT is refused under its own name, whatever library it is from, and no plain ViT is."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch

from peers import peer
from vitascope.checkpoints.formats.others import other_architecture
from vitascope.checkpoints.formats.raw import RawCheckpoint
from vitascope.checkpoints.formats.table import understand
from vitascope.errors import CheckpointError

pytestmark = [
    pytest.mark.peers,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]
# Of every kind near ViT that timm has, the smallest: the whole of its list was gone through once.
TIMM = {
    "aimv2_large_patch14_224": "AIMv2",
    "beit_base_patch16_224": "BEiT",
    "beit3_base_patch16_224": "BEiT-3",
    "cait_xxs24_224": "CaiT",
    "coat_lite_tiny": "CoaT",
    "coatnet_nano_rw_224": "MaxViT or CoAtNet",
    "convit_tiny": "ConViT",
    "convnext_atto": "ConvNeXt",
    "crossvit_9_240": "CrossViT",
    "deepseek_vit_412m": "RMSNorm",
    "efficientnet_b0": "convolutional network",
    "eva02_base_patch16_clip_224": "EVA",
    "eva02_tiny_patch14_224": "EVA",
    "gmlp_ti16_224": "without attention",
    "hiera_small_abswin_256": "Hiera",
    "hiera_tiny_224": "Hiera",
    "levit_128": "LeViT",
    "levit_256d": "LeViT",
    "maxvit_nano_rw_256": "MaxViT",
    "mixer_s32_224": "MLP-Mixer",
    "naflexvit_base_patch16_gap": "NaFlex",
    "pit_ti_224": "PiT",
    "pit_ti_distilled_224": "PiT",
    "qwen3_vit_88m": "without a LayerNorm after its blocks",
    "resmlp_12_224": "without attention",
    "resnet18": "ResNet",
    "resnetv2_18": "ResNet",
    "resnetv2_50d_gn": "ResNet",
    "samvit_base_patch16_224": "SAM",
    "swin_tiny_patch4_window7_224": "Swin",
    "swinv2_cr_tiny_224": "Swin",
    "swinv2_tiny_window8_256": "Swin",
    "test_vit4": "RMSNorm",
    "tiny_vit_5m_224": "TinyViT",
    "tnt_s_patch16_224": "TNT",
    "vit_base_mci_224": "not the paper's ResNet",
    "vit_base_patch16_radio_v3": "without a LayerNorm after its blocks",
    "vit_base_patch16_rope_224": "rotary",
    "vit_base_patch16_rope_ape_224": "rotary",
    "vit_base_patch16_rope_mixed_224": "rotary",
    "vit_base_patch16_rpn_224": "res-post-norm",
    "vit_base_resnet26d_224": "not the paper's ResNet",
    "vit_dpwee_patch16_reg1_gap_256": "differential attention",
    "vit_dwee_patch16_reg1_gap_256": "differential attention",
    "vit_base_patch16_sapiens2": "rotary|normalises queries",
    "vit_base_patch16_xp_224": "normalises queries|in parallel",
    "vit_giant_patch14_dinov2": "SwiGLU",
    "vit_medium_patch16_rope_reg1_gap_256": "rotary",
    "vit_pe_core_tiny_patch16_384": "Perception Encoder",
    "vit_pe_lang_large_patch14_448": "without a LayerNorm after its blocks",
    "vit_pe_spatial_tiny_patch16_512": "without a LayerNorm after its blocks",
    "vit_pwee_patch16_reg1_gap_256": "in parallel",
    "vit_relpos_small_patch16_224": "relative positions",
    "vit_small_patch16_18x2_224": "in parallel",
    "vit_srelpos_small_patch16_224": "relative positions",
    "vitamin_small_224": "ViTamin",
    "volo_d1_224": "VOLO",
    "xcit_nano_12_p16_224": "XCiT",
}
TORCHVISION = {"swin_t": "Swin", "swin_v2_t": "Swin", "convnext_tiny": "ConvNeXt", "resnet18": "ResNet"} | {
    "maxvit_t": "MaxViT",
    "mobilenet_v3_small": "convolutional network",
}
PLAIN = {
    "deit3_small_patch16_224": 12,
    "deit_tiny_patch16_224": 12,
    "eva_large_patch14_196": 24,
    "flexivit_small": 12,
    "test_vit2": 8,
    "vit_base_patch16_gap_224": 12,
    "vit_little_patch16_reg4_gap_256": 14,
    "vit_so150m2_patch16_reg1_gap_256": 21,
    "vit_small_patch14_reg4_dinov2": 12,
    "vit_tiny_patch16_224": 12,
    "vit_wee_patch16_reg1_gap_256": 14,
}


def described(name: str) -> RawCheckpoint:
    """Names and shapes, as a folder of timm has them."""
    with torch.device("meta"):
        state = peer("timm").create_model(name).state_dict()
    return RawCheckpoint(path=Path(name), tensors=state, config={"architecture": name})


@pytest.mark.parametrize("name", TIMM)
def test_of_timm(name: str) -> None:
    with pytest.raises(CheckpointError, match=TIMM[name]) as caught:
        understand(described(name))
    assert "do not fit" not in str(caught.value)


@pytest.mark.parametrize("name", TORCHVISION)
def test_of_torchvision(name: str) -> None:
    with torch.device("meta"):
        names = peer("torchvision").models.get_model(name).state_dict().keys()
    said = other_architecture(names)
    assert said is not None
    assert TORCHVISION[name] in said


@pytest.mark.parametrize("name", PLAIN)
def test_plain_vits_are_read(name: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.CRITICAL):
        format, draft = understand(described(name))
    assert (format.name, draft.config.depth) == ("timm", PLAIN[name])  # type: ignore[union-attr]
