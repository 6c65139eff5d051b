"""Logits equal to transformers' and torchvision's on random weights, read from them and written for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import vitascope as vs
from parity import families, parity
from peers import peer, randomise
from tiny_checkpoint import same
from vitascope.errors import CheckpointError

pytestmark = [
    pytest.mark.peers,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]

HUGGING_FACE: dict[str, tuple[str, dict[str, Any]]] = {
    "ViT": ("ViTForImageClassification", {}),
    "ViT, tanh GELU, eps 1e-6": (
        "ViTForImageClassification",
        {"hidden_act": "gelu_pytorch_tanh", "layer_norm_eps": 1e-6},
    ),
    "ViT with pooler": ("ViTModel", {}),
    "ViT without qkv bias": ("ViTForImageClassification", {"qkv_bias": False}),
    "ViT, not square": ("ViTForImageClassification", {"image_size": [32, 48]}),
    "DeiT": ("DeiTForImageClassification", {}),
    "DeiT, distilled": ("DeiTForImageClassificationWithTeacher", {}),
    "DeiT with pooler": ("DeiTModel", {}),
    "DINOv2": ("Dinov2ForImageClassification", {"layerscale_value": 0.5}),
    "DINOv2 with registers": ("Dinov2WithRegistersForImageClassification", {"num_register_tokens": 4}),
    "DINOv2 without head": ("Dinov2Model", {}),
}

TORCHVISION = {"ViT": None, "ViT with a hidden layer in the head": 40}


def hugging_face_model(name: str) -> tuple[Any, torch.Tensor]:
    transformers = peer("transformers")
    kind, changes = HUGGING_FACE[name]
    args: dict[str, Any] = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 3, "num_labels": 5}
    args |= {"image_size": 32, "patch_size": 8}
    args |= {"mlp_ratio": 2} if kind.startswith("Dino") else {"intermediate_size": 96}
    model_class = getattr(transformers, kind)
    model = randomise(model_class(model_class.config_class(**(args | changes))))
    size = changes.get("image_size", [32, 32])
    return model, torch.randn(3, 3, *size, generator=torch.Generator().manual_seed(1))


def hugging_face_output(model: Any, images: torch.Tensor) -> torch.Tensor:
    output = model(pixel_values=images)
    return output.logits if hasattr(output, "logits") else output.pooler_output


@torch.inference_mode()
@families(HUGGING_FACE, ("transformers", "vitascope"))
def test_hugging_face_folder_read(family: str, tmp_path: Path) -> None:
    model, images = hugging_face_model(family)
    model.save_pretrained(tmp_path)
    ck = vs.load(tmp_path)
    assert ck.format == "huggingface"
    assert ck.config.norm_eps == model.config.layer_norm_eps
    parity(family, "transformers", "vitascope", ck.model(images), hugging_face_output(model, images))


@torch.inference_mode()
@families(["ViT", "DINOv2"], ("transformers", "vitascope"))
def test_hugging_face_names_in_memory(family: str, tmp_path: Path) -> None:
    model, images = hugging_face_model(family)
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    model.config.to_json_file(tmp_path / "config.json")
    parity(family, "transformers", "vitascope", vs.load(tmp_path).model(images), hugging_face_output(model, images))


@torch.inference_mode()
@families(["ViT"], ("transformers", "vitascope"))
def test_hugging_face_in_several_files(family: str, tmp_path: Path) -> None:
    model, images = hugging_face_model(family)
    model.save_pretrained(tmp_path, max_shard_size="50KB")
    assert not (tmp_path / "model.safetensors").exists()
    parity(family, "transformers", "vitascope", vs.load(tmp_path).model(images), hugging_face_output(model, images))
    next(tmp_path.glob("model-00002*")).unlink()
    with pytest.raises(CheckpointError, match="model-00002"):
        vs.load(tmp_path)


@torch.inference_mode()
@families(HUGGING_FACE, ("vitascope", "transformers"))
def test_hugging_face_folder_written(family: str, tmp_path: Path) -> None:
    model, images = hugging_face_model(family)
    model.save_pretrained(tmp_path / "theirs")
    ck = vs.load(tmp_path / "theirs")
    vs.save(ck, tmp_path / "ours", format="huggingface")
    back, info = type(model).from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert not any(info.values()), info
    parity(family, "vitascope", "transformers", ck.model(images), hugging_face_output(back.eval(), images))
    again = vs.load(tmp_path / "ours")
    assert (again.config, again.labels) == (ck.config, ck.labels)
    assert again.preprocess.to_huggingface() == ck.preprocess.to_huggingface()  # whole sizes, not a fraction
    assert same(again.model, ck.model)


@torch.inference_mode()
@families(TORCHVISION, ("torchvision", "vitascope"), ("vitascope", "torchvision"))
def test_torchvision_read_and_written(family: str, tmp_path: Path) -> None:
    hidden = TORCHVISION[family]
    module = peer("torchvision.models.vision_transformer")
    sizes = {"image_size": 32, "patch_size": 8, "num_layers": 2, "num_heads": 2, "hidden_dim": 128, "mlp_dim": 96}
    model = randomise(module.VisionTransformer(**sizes, num_classes=6, representation_size=hidden))
    torch.save(model.state_dict(), tmp_path / "theirs.pth")
    ck = vs.load(tmp_path / "theirs.pth")
    assert ck.format == "torchvision"
    images = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    parity(family, "torchvision", "vitascope", ck.model(images), model(images))
    vs.save(ck, tmp_path / "ours.safetensors", format="torchvision")
    back = module.VisionTransformer(**sizes, num_classes=6, representation_size=hidden).eval()
    back.load_state_dict(load_file(tmp_path / "ours.safetensors"))
    assert torch.equal(back(images), model(images))
    parity(family, "vitascope", "torchvision", ck.model(images), back(images))
