"""The image towers of CLIP and SigLIP, equal to timm's and transformers' on random weights, read and written."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import torch

import vitascope as vs
from parity import families, parity
from peers import peer, randomise, timm_written
from tiny_checkpoint import noise, same
from vitascope.errors import CheckpointError

pytestmark = [
    pytest.mark.peers,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]
SIZES = {"img_size": 32, "patch_size": 8, "embed_dim": 128, "depth": 2, "num_heads": 2}
TIMM: dict[str, tuple[str, dict[str, Any]]] = {
    "CLIP": ("vit_base_patch32_clip_224", {"num_classes": 0}),
    "CLIP, quick GELU, projection": ("vit_base_patch32_clip_quickgelu_224", {"num_classes": 20}),
    "CLIP, fine-tuned": ("vit_base_patch16_clip_224", {"num_classes": 5}),
    "SigLIP": ("vit_base_patch16_siglip_224", {}),
    "SigLIP, exact GELU, fine-tuned": ("vit_base_patch16_siglip_224", {"act_layer": "gelu", "num_classes": 5}),
}
VISION = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 96}
VISION |= {"image_size": 32, "patch_size": 8}
TEXT = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 48}
TEXT |= {"vocab_size": 30, "max_position_embeddings": 7, "bos_token_id": 1, "eos_token_id": 2}
HUGGING_FACE: dict[str, tuple[str, dict[str, Any]]] = {
    "CLIP": ("CLIPVisionModel", {}),
    "CLIP, exact GELU": ("CLIPVisionModel", {"hidden_act": "gelu", "layer_norm_eps": 1e-6}),
    "CLIP, projection": ("CLIPVisionModelWithProjection", {"projection_dim": 20}),
    "SigLIP": ("SiglipVisionModel", {}),
    "SigLIP, mean of the patches": ("SiglipForImageClassification", {"num_labels": 5}),
}


def timm_model(family: str) -> tuple[Any, dict[str, Any]]:
    name, changes = TIMM[family]
    model = randomise(peer("timm").create_model(name, **SIZES, **changes))
    if "projection" in family:
        model.head.bias.zero_()  # as timm keeps a projection
    return model, SIZES | changes


@torch.inference_mode()
@families(TIMM, ("timm", "vitascope"), ("vitascope", "timm"))
def test_timm_read_and_written(family: str, tmp_path: Path) -> None:
    model, args = timm_model(family)
    images = noise(3, 3, 32, 32)
    peer("timm.models._hub").save_for_hf(model, tmp_path / "theirs", model_args=args, safe_serialization=True)
    ck = vs.load(tmp_path / "theirs")
    assert ck.format == "timm"
    assert ck.config.classes == (5 if "fine-tuned" in family else 0)
    parity(family, "timm", "vitascope", ck.model(images), model(images))
    parity(family, "timm", "vitascope", ck.model.tokens(images), model.forward_features(images))
    parity(family, "vitascope", "timm", ck.model(images), timm_written(ck, tmp_path / "ours")(images))


@torch.inference_mode()
@families(["CLIP", "SigLIP"], ("timm", "vitascope"))
def test_timm_weights_alone(family: str, tmp_path: Path) -> None:
    model, _ = timm_model(family)
    images = noise(3, 3, 32, 32)
    torch.save({"state_dict": {f"visual.trunk.{k}": v for k, v in model.state_dict().items()}}, tmp_path / "w.pth")
    parity(family, "timm", "vitascope", vs.load(tmp_path / "w.pth").model(images), model(images))


def hugging_face_model(family: str) -> Any:
    transformers = peer("transformers")
    kind, changes = HUGGING_FACE[family]
    if "Classification" in kind:
        config = transformers.SiglipConfig(vision_config=VISION, text_config=TEXT, **changes)
    else:
        name = "CLIPVisionConfig" if kind.startswith("CLIP") else "SiglipVisionConfig"
        config = getattr(transformers, name)(**(VISION | changes))
    return randomise(getattr(transformers, kind)(config))


def hugging_face_output(model: Any, images: torch.Tensor) -> torch.Tensor:
    output = model(pixel_values=images)
    return next(getattr(output, n) for n in ("logits", "image_embeds", "pooler_output") if hasattr(output, n))


@torch.inference_mode()
@families(HUGGING_FACE, ("transformers", "vitascope"), ("vitascope", "transformers"))
def test_hugging_face_read_and_written(family: str, tmp_path: Path) -> None:
    model = hugging_face_model(family)
    images = noise(3, 3, 32, 32)
    model.save_pretrained(tmp_path / "theirs")
    ck = vs.load(tmp_path / "theirs")
    assert ck.format == "huggingface"
    parity(family, "transformers", "vitascope", ck.model(images), hugging_face_output(model, images))
    vs.save(ck, tmp_path / "ours", format="huggingface")
    back, info = type(model).from_pretrained(tmp_path / "ours", output_loading_info=True)
    unread = [name for name in info.pop("missing_keys") if not name.startswith("vision_model.head.")]
    assert not unread  # the pooling that a classifier of SigLIP does not read
    assert not any(info.values()), info
    parity(family, "vitascope", "transformers", ck.model(images), hugging_face_output(back.eval(), images))
    again = vs.load(tmp_path / "ours")
    assert (again.config, again.labels) == (ck.config, ck.labels)
    assert again.preprocess.to_huggingface() == ck.preprocess.to_huggingface()
    assert same(again.model, ck.model)


@torch.inference_mode()
@families(["CLIP beside its text tower", "SigLIP beside its text tower"], ("transformers", "vitascope"))
def test_the_image_tower_of_a_whole_model(family: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    transformers = peer("transformers")
    name = family.split()[0].replace("SigLIP", "Siglip")
    config = getattr(transformers, f"{name}Config")(vision_config=VISION, text_config=TEXT, projection_dim=20)
    model = randomise(getattr(transformers, f"{name}Model")(config))
    images = noise(3, 3, 32, 32)
    model.save_pretrained(tmp_path)
    with caplog.at_level(logging.INFO):
        ck = vs.load(tmp_path)
    assert "taken: the image tower; left out:" in caplog.text
    features = model.get_image_features(pixel_values=images)
    parity(family, "transformers", "vitascope", ck.model(images), getattr(features, "pooler_output", features))


@torch.inference_mode()
@families(["CLIP, quick GELU, projection"], ("OpenAI's names", "vitascope"))
def test_names_of_open_clip(family: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """OpenAI's and open_clip's files; timm's own reader of them gives the names."""
    model, _ = timm_model(family)
    state = openai_names(model.state_dict()) | {"logit_scale": torch.tensor(1.0), "token_embedding.weight": noise(9, 4)}
    numbers = {name: torch.tensor(7) for name in ("input_resolution", "context_length", "vocab_size")}
    torch.save(state | numbers, tmp_path / "clip.pt")
    back = peer("timm.models.vision_transformer").checkpoint_filter_fn(dict(state), model)
    assert {k: v.shape for k, v in back.items()} == {k: v.shape for k, v in model.state_dict().items()}
    with caplog.at_level(logging.INFO):
        ck = vs.load(tmp_path / "clip.pt")
    assert ck.format == "open_clip"
    assert "left out: 5 other tensors" in caplog.text
    images = noise(3, 3, 32, 32)
    parity(family, "OpenAI's names", "vitascope", ck.model(images), model(images))
    with pytest.raises(CheckpointError, match="open_clip"):
        vs.save(ck, tmp_path / "no", format="open_clip")
    caplog.clear()
    torch.save(
        {k.removeprefix("visual."): v for k, v in state.items() if k.startswith("visual.")}, tmp_path / "open.pt"
    )
    assert vs.load(tmp_path / "open.pt").config.gelu == "erf"
    assert "does not say which GELU" in caplog.text
    stated = vs.load(tmp_path / "open.pt", model=ck.config)
    assert same(stated.model, ck.model)
    assert stated.config.gelu == "quick"


def openai_names(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """timm's names → OpenAI's."""
    renames = {
        "patch_embed.proj": "conv1",
        "norm_pre": "ln_pre",
        "blocks.": "transformer.resblocks.",
        ".norm": ".ln_",
        "attn.qkv.": "attn.in_proj_",
        "attn.proj": "attn.out_proj",
        "mlp.fc1": "mlp.c_fc",
        "mlp.fc2": "mlp.c_proj",
    }
    result = {}
    for name, tensor in state.items():
        for theirs, openai in renames.items():
            name = name.replace(theirs, openai)
        name = name.replace("norm.", "ln_post.") if name.startswith("norm.") else name
        result[f"visual.{name}"] = tensor
    result["visual.proj"] = result.pop("visual.head.weight").T.contiguous()
    del result["visual.head.bias"]
    result["visual.class_embedding"] = result.pop("visual.cls_token")[0, 0]
    result["visual.positional_embedding"] = result.pop("visual.pos_embed")[0]
    return result


def test_what_their_classes_cannot_say_is_refused(tmp_path: Path) -> None:
    transformers = peer("transformers")
    config = transformers.CLIPConfig(vision_config=VISION, text_config=TEXT, num_labels=3)
    transformers.CLIPForImageClassification(config).save_pretrained(tmp_path / "clip")
    with pytest.raises(CheckpointError, match="CLIPForImageClassification"):
        vs.load(tmp_path / "clip")
    naflex = transformers.Siglip2VisionConfig(**VISION, num_patches=16)
    transformers.Siglip2VisionModel(naflex).save_pretrained(tmp_path / "naflex")
    with pytest.raises(CheckpointError, match="NaFlex"):
        vs.load(tmp_path / "naflex")
