"""Encoders of masked training, MAE and MSN: read without what was trained around them, written as plain ViTs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import vitascope as vs
from parity import families, parity
from peers import peer, randomise
from tiny_checkpoint import noise
from vitascope.errors import CheckpointError
from vitascope.layers.position import sincos_positions

VIT: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_labels": 3,
    "intermediate_size": 48,
    "image_size": 16,
    "patch_size": 8,
}
IMAGES = noise(2, 3, 16, 16)
DECODER = {"decoder_hidden_size": 16, "decoder_num_attention_heads": 2, "decoder_num_hidden_layers": 1}
KINDS = {"MAE": "ViTMAEModel", "MAE with its decoder": "ViTMAEForPreTraining", "MSN": "ViTMSNModel"}


def theirs(family: str) -> Any:
    """The model; MAE's hides nothing and leaves the patches in order."""
    kind = getattr(peer("transformers"), KINDS[family])
    settings = {**VIT, **DECODER, "mask_ratio": 0.0} if "MAE" in family else VIT
    return randomise(kind(kind.config_class(**settings)))


def tokens(model: Any) -> torch.Tensor:
    encoder = getattr(model, "vit", model)
    in_order = {"noise": torch.arange(4.0).expand(2, -1)} if "MAE" in type(model).__name__ else {}
    return encoder(IMAGES, **in_order).last_hidden_state


@torch.inference_mode()
@families(KINDS, ("transformers", "vitascope"), ("vitascope", "transformers"))
def test_tokens_are_those_of_the_encoder(family: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = theirs(family)
    model.save_pretrained(tmp_path / "theirs")
    with caplog.at_level("INFO", "vitascope"):
        ck = vs.load(tmp_path / "theirs")
    assert ("tensors of masked training (" in caplog.text) == ("decoder" in family)
    assert ck.config.norm_eps == model.config.layer_norm_eps
    parity(family, "transformers", "vitascope", ck.model.tokens(IMAGES), tokens(model))
    assert torch.equal(ck.model(IMAGES), ck.model.tokens(IMAGES)[:, 0])
    vs.save(ck, tmp_path / "ours", format="huggingface")
    plain = peer("transformers").ViTModel.from_pretrained(tmp_path / "ours", add_pooling_layer=False).eval()
    parity(family, "vitascope", "transformers", ck.model.tokens(IMAGES), plain(IMAGES).last_hidden_state)


@torch.inference_mode()
@families(["MSN, classifier"], ("transformers", "vitascope"), ("vitascope", "transformers"))
def test_msn_with_a_classifier(family: str, tmp_path: Path) -> None:
    transformers = peer("transformers")
    model = randomise(transformers.ViTMSNForImageClassification(transformers.ViTMSNConfig(**VIT)))
    model.save_pretrained(tmp_path / "theirs")
    ck = vs.load(tmp_path / "theirs")
    parity(family, "transformers", "vitascope", ck.model(IMAGES), model(IMAGES).logits)
    vs.save(ck, tmp_path / "ours", format="huggingface")
    back = transformers.ViTForImageClassification.from_pretrained(tmp_path / "ours").eval()
    parity(family, "vitascope", "transformers", ck.model(IMAGES), back(IMAGES).logits)


@torch.inference_mode()
@families(["MAE, the authors' file"], ("timm", "vitascope"))
def test_the_authors_file_without_its_decoder(family: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Their encoder is timm's, its positions a table of sines and cosines with a row of zeros for the class token."""
    sizes = {"img_size": 32, "patch_size": 8, "embed_dim": 128, "depth": 2, "num_heads": 2, "num_classes": 0}
    model = randomise(peer("timm").create_model("vit_base_patch16_224", **sizes))
    table = torch.cat([torch.zeros(1, 1, 128), sincos_positions((4, 4), 128)], dim=1)
    model.pos_embed.copy_(table)
    around = {
        "mask_token": noise(1, 1, 64),
        "decoder_pos_embed": noise(1, 17, 64),
        "decoder_embed.weight": noise(64, 128),
        "decoder_blocks.0.attn.qkv.weight": noise(192, 64),
        "decoder_norm.weight": noise(64),
        "decoder_pred.weight": noise(192, 64),
    }
    torch.save({"model": {**model.state_dict(), **around}}, tmp_path / "mae_pretrain_full.pth")
    with caplog.at_level("INFO", "vitascope"):
        ck = vs.load(tmp_path / "mae_pretrain_full.pth")
    assert "left out: 6 tensors of masked training (mask_token, decoder_pos_embed, " in caplog.text
    images = noise(2, 3, 32, 32)
    parity(family, "timm", "vitascope", ck.model.tokens(images), model.forward_features(images))
    assert torch.equal(ck.model.state_dict()["embedding.positions.table"], table)


@torch.inference_mode()
@families(["MAE, linear probe"], ("timm", "vitascope"))
def test_the_batch_norm_of_a_linear_probe_becomes_a_part_of_its_layer(family: str, tmp_path: Path) -> None:
    model, norm = probed(128)
    norm.running_mean, norm.running_var = noise(128), 1 + noise(128, seed=1).abs()
    torch.save({"model": model.state_dict()}, tmp_path / "linprobe.pth")
    images = noise(2, 3, 32, 32)
    parity(family, "timm", "vitascope", vs.load(tmp_path / "linprobe.pth").model(images), model(images))


def test_a_batch_norm_that_does_not_fit_is_named(tmp_path: Path) -> None:
    torch.save(probed(64)[0].state_dict(), tmp_path / "linprobe.pth")
    with pytest.raises(CheckpointError, match=r"head\.0\.running_mean"):
        vs.load(tmp_path / "linprobe.pth")


def probed(features: int) -> tuple[Any, torch.nn.BatchNorm1d]:
    """A linear probe as the authors make it, and its BatchNorm."""
    sizes = {"img_size": 32, "patch_size": 8, "embed_dim": 128, "depth": 2, "num_heads": 2, "num_classes": 5}
    model = randomise(peer("timm").create_model("vit_base_patch16_224", **sizes))
    norm = torch.nn.BatchNorm1d(features, affine=False, eps=1e-6)
    model.head = torch.nn.Sequential(norm, model.head).eval()
    return model, norm
