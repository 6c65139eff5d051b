"""The image towers of CLIP and SigLIP in Hugging Face transformers, alone or beside their text towers.

`CLIPVisionModel`, `CLIPVisionModelWithProjection`, `CLIPModel`, `SiglipVisionModel`, `SiglipModel` and
`SiglipForImageClassification`. Names are the same with and without `vision_model.` before them, as transformers 4 and 5
write them. What belongs to the text is left out, which is said.
"""

from __future__ import annotations

import logging
from typing import Any

from torch import Tensor

from vitascope.checkpoints.checkpoint import Checkpoint
from vitascope.checkpoints.formats.described import (
    GELU,
    WRITTEN_GELU,
    activation_of,
    outputs_said,
    preprocessor_said,
)
from vitascope.checkpoints.formats.openclip import clip_preprocess
from vitascope.checkpoints.formats.raw import WRITTEN_BY, Draft, RawCheckpoint, labels_of, mapping, stated_size
from vitascope.checkpoints.formats.sizes import Sizes, heads_for
from vitascope.checkpoints.translate import Layout
from vitascope.checkpoints.unwrap import anchor
from vitascope.data.preprocess import Preprocess
from vitascope.errors import CheckpointError
from vitascope.models.config import ModelConfig, ViTConfig

log = logging.getLogger(__name__)

ANCHOR = anchor(r"(?:vision_model\.)?embeddings\.patch_embedding\.weight")
_KINDS = {"clip": "clip", "clip_vision_model": "clip", "siglip": "siglip", "siglip_vision_model": "siglip"}
_USUAL = {"clip": ("quick_gelu", 1e-5), "siglip": ("gelu_pytorch_tanh", 1e-6)}
"""GELU and eps where no description says them."""
_CLASS_TOKEN, _TABLE = "embeddings.class_embedding", "embeddings.position_embedding.weight"
_BLOCK, _OURS = "encoder.layers.{0}", "encoder.blocks.*"
_POOL, _OUR_POOL = "head", "head.attention"
_LAYOUT = Layout(
    {
        "patches.projection": "embeddings.patch_embedding",
        "embedding.class_token": _CLASS_TOKEN,
        "embedding.positions.table": _TABLE,
        "embedding.norm": "pre_layrnorm",
        f"{_OURS}.norm1": f"{_BLOCK}.layer_norm1",
        f"{_OURS}.attention.qkv": tuple(f"{_BLOCK}.self_attn.{part}_proj" for part in "qkv"),
        f"{_OURS}.attention.out": f"{_BLOCK}.self_attn.out_proj",
        f"{_OURS}.norm2": f"{_BLOCK}.layer_norm2",
        f"{_OURS}.mlp.fc1": f"{_BLOCK}.mlp.fc1",
        f"{_OURS}.mlp.fc2": f"{_BLOCK}.mlp.fc2",
        "encoder.norm": "post_layernorm",
        f"{_OUR_POOL}.probe": f"{_POOL}.probe",
        f"{_OUR_POOL}.attention.qkv.weight": f"{_POOL}.attention.in_proj_weight",
        f"{_OUR_POOL}.attention.qkv.bias": f"{_POOL}.attention.in_proj_bias",
        f"{_OUR_POOL}.attention.out": f"{_POOL}.attention.out_proj",
        f"{_OUR_POOL}.norm": f"{_POOL}.layernorm",
        f"{_OUR_POOL}.mlp.fc1": f"{_POOL}.mlp.fc1",
        f"{_OUR_POOL}.mlp.fc2": f"{_POOL}.mlp.fc2",
        "head.hidden": "visual_projection",
        "head.linear": "classifier",
    }
)
_OUTSIDE = ("visual_projection.", "classifier.")
"""What stands beside the tower in their classes, not in it."""


def holds(config: ModelConfig) -> bool:
    """Whether this is what transformers has as an image tower, and not as a ViT."""
    return isinstance(config, ViTConfig) and (config.norm_before or not config.class_token)


def read(raw: RawCheckpoint) -> Draft:
    """The image tower that is there; raises `CheckpointError` where something cannot be represented."""
    kind = _kind(raw)
    tensors = _of_images(raw, kind)
    said = mapping(raw.config.get("vision_config")) or raw.config
    if not said:
        log.warning("%s: no config.json beside it; assuming %s and LayerNorm eps %g", raw.path, *_USUAL[kind])
    gelu, eps = _USUAL[kind]
    sizes = Sizes(raw, tensors, _LAYOUT)
    fields = sizes.fields()
    clip = kind == "clip"
    config = ViTConfig(
        **fields | {"representation_activation": "none" if fields["representation_size"] else "gelu"},
        image_size=sizes.grid(fields["patch"], (clip,), stated_size(said.get("image_size")))[0],
        heads=heads_for(raw, fields["width"], said.get("num_attention_heads")),
        pooling="token" if clip else "attention" if sizes.has(f"{_OUR_POOL}.probe", 3) else "mean",
        class_row=clip,
        norm_before=clip,
        gelu=raw.meaning(GELU, said.get("hidden_act", gelu), "hidden_act"),
        norm_eps=said.get("layer_norm_eps", eps),
    )
    return Draft(
        config=config,
        layout=_LAYOUT,
        tensors=tensors,
        preprocess=(
            Preprocess.from_dict(raw.preprocessor) if raw.preprocessor else raw.assume(_usual_preprocess(config, kind))
        ),
        labels=labels_of(raw.config.get("id2label"), config.classes),
        activation=activation_of(raw, config.classes),
    )


def write(checkpoint: Checkpoint) -> RawCheckpoint:
    """What `from_pretrained` opens as a folder; raises `CheckpointError` for preprocessing that it cannot say."""
    c = checkpoint.config
    assert isinstance(c, ViTConfig)
    tensors = _LAYOUT.to_theirs(checkpoint.model.state_dict(), c)
    for name, shape in ((_CLASS_TOKEN, (c.width,)), (_TABLE, (-1, c.width))):
        if name in tensors:
            tensors[name] = tensors[name].reshape(shape)
    prefix = "vision_model." if c.classes or c.representation_size else ""
    return RawCheckpoint(
        tensors={name if name.startswith(_OUTSIDE) else prefix + name: tensor for name, tensor in tensors.items()},
        config=_description(checkpoint, c),
        preprocessor=preprocessor_said(checkpoint),
        model=c,
    )


def unsaid(c: ViTConfig) -> dict[str, bool]:
    """What their classes cannot be, though the tensors could."""
    return {
        "a head of classes on a class token or on attention pooling": c.classes > 0 and c.pooling != "mean",
        "a projection of anything but a class token": c.representation_size is not None and c.pooling != "token",
        "no biases on q, k and v": not c.qkv_bias,
        f"images of {c.image_size[0]}×{c.image_size[1]}, not square": c.image_size[0] != c.image_size[1],
    }


def _kind(raw: RawCheckpoint) -> str:
    stated = raw.config.get("model_type")
    if any(name.endswith("patch_embedding.weight") and tensor.ndim == 2 for name, tensor in raw.tensors.items()):
        raise CheckpointError(f"{raw.path}: a NaFlex ViT (SigLIP 2 of any size); take the model of a fixed size")
    if stated is None:
        return "clip" if any(name.endswith("pre_layrnorm.weight") for name in raw.tensors) else "siglip"
    return str(raw.meaning(_KINDS, stated, "model_type"))


def _of_images(raw: RawCheckpoint, kind: str) -> dict[str, Tensor]:
    """The tower's tensors without its prefix, with all axes that ours have."""
    if "classifier.weight" not in raw.tensors:
        tensors = raw.part("vision_model.", _OUTSIDE, ("embeddings.position_ids",))
    elif kind == "clip":
        raise CheckpointError(f"{raw.path}: a CLIPForImageClassification, whose head reads patches without a LayerNorm")
    else:  # its head reads the mean; the pooling beside it is for nothing
        tensors = raw.part("vision_model.", _OUTSIDE, ("embeddings.position_ids", f"{_POOL}."))
    for name, axes in ((_CLASS_TOKEN, 1), (_TABLE, 2)):
        if name in tensors and tensors[name].ndim == axes:
            tensors[name] = tensors[name].reshape((1,) * (3 - axes) + tuple(tensors[name].shape))
    return tensors


def _usual_preprocess(config: ViTConfig, kind: str) -> Preprocess:
    """What the image processor of this kind does by default."""
    if kind == "clip":
        return clip_preprocess(config)
    return Preprocess(size=config.image_size, channels=config.channels, fit="squash", interpolation="bicubic")


def _description(checkpoint: Checkpoint, c: ViTConfig) -> dict[str, Any]:
    kind = "clip" if c.norm_before else "siglip"
    vision: dict[str, Any] = {
        "model_type": f"{kind}_vision_model",
        "hidden_size": c.width,
        "intermediate_size": c.hidden,
        "num_hidden_layers": c.depth,
        "num_attention_heads": c.heads,
        "num_channels": c.channels,
        "image_size": c.image_size[0],
        "patch_size": c.patch,
        "hidden_act": WRITTEN_GELU[c.gelu],
        "layer_norm_eps": c.norm_eps,
    }
    if kind == "clip":
        projected = c.representation_size is not None
        what = "CLIPVisionModelWithProjection" if projected else "CLIPVisionModel"
        return {"architectures": [what], **WRITTEN_BY, **vision, "projection_dim": c.representation_size or c.width}
    vision["vision_use_head"] = c.pooling == "attention"
    if not c.classes:
        return {"architectures": ["SiglipVisionModel"], **WRITTEN_BY, **vision}
    # Its class has the tower within a whole model's description, whose text tower it does not have.
    said = {"architectures": ["SiglipForImageClassification"], "model_type": "siglip", **WRITTEN_BY}
    return {**said, "vision_config": vision, "text_config": {}, **outputs_said(checkpoint)}
