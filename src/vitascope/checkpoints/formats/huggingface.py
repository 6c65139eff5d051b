"""Hugging Face transformers: ViT, DeiT, DINOv2 and DINOv2 with registers, as folders with config.json.

Names are read in both layouts: on disk `encoder.layer.0.attention.attention.query`, in the memory of
transformers 5 `layers.0.attention.q_proj`; the layout on disk is written, which every version opens. The LayerNorm's
eps comes from the description (1e-12 for ViT unless stated).
"""

from __future__ import annotations

import logging
import re
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from vitascope.checkpoints.checkpoint import Checkpoint
from vitascope.checkpoints.formats.described import (
    GELU,
    WRITTEN_GELU,
    activation_of,
    outputs_said,
    preprocessor_said,
)
from vitascope.checkpoints.formats.distilled import Distilled, with_rows
from vitascope.checkpoints.formats.raw import WRITTEN_BY, Draft, RawCheckpoint, labels_of, stated_size
from vitascope.checkpoints.formats.sizes import Sizes, heads_for
from vitascope.checkpoints.translate import Layout
from vitascope.checkpoints.unwrap import anchor
from vitascope.data.preprocess import Preprocess
from vitascope.errors import CheckpointError
from vitascope.layers.config import Pooling
from vitascope.models.config import ViTConfig

log = logging.getLogger(__name__)

_CLASSES = {"vit": "ViT", "deit": "DeiT", "dinov2": "Dinov2", "dinov2_with_registers": "Dinov2WithRegisters"}
"""Kinds, as model_type says them, and what their classes are called."""
_SAME_MODEL = {"vit_mae": "vit", "vit_msn": "vit"}
_PATCHES, _TABLE = "embeddings.patch_embeddings.projection", "embeddings.position_embeddings"
_BASE_MODEL = rf"^(?:{'|'.join(_CLASSES)})\."
ANCHOR = anchor(rf"(?:{_BASE_MODEL[1:]})?{re.escape(_PATCHES)}\.weight")
_EPS = {"vit": 1e-12, "vit_mae": 1e-12, "vit_msn": 1e-6, "deit": 1e-12, "dinov2": 1e-6, "dinov2_with_registers": 1e-6}
"""By model_type, where the description leaves it open."""
_IN_MEMORY = (
    (r"^layers\.", "encoder.layer."),
    (r"\.attention\.q_proj\.", ".attention.attention.query."),
    (r"\.attention\.k_proj\.", ".attention.attention.key."),
    (r"\.attention\.v_proj\.", ".attention.attention.value."),
    (r"\.attention\.o_proj\.", ".attention.output.dense."),
)
_IN_MEMORY_VIT = ((r"\.mlp\.fc1\.", ".intermediate.dense."), (r"\.mlp\.fc2\.", ".output.dense."))
_MASKED_TRAINING = r"embeddings\.mask_token\Z|decoder\.|lm_head\."
_BLOCK, _OURS = "encoder.layer.{0}", "encoder.blocks.*"


def _layout(norm1: str, norm2: str, fc1: str, fc2: str) -> Layout:
    """Names on disk, without the base model's prefix."""
    attention = f"{_BLOCK}.attention.attention"
    return Layout(
        {
            "patches.projection": _PATCHES,
            "embedding.class_token": "embeddings.cls_token",
            "embedding.registers": "embeddings.register_tokens",
            "embedding.positions.table": _TABLE,
            f"{_OURS}.norm1": f"{_BLOCK}.{norm1}",
            f"{_OURS}.attention.qkv": (f"{attention}.query", f"{attention}.key", f"{attention}.value"),
            f"{_OURS}.attention.out": f"{_BLOCK}.attention.output.dense",
            f"{_OURS}.scale1.gamma": f"{_BLOCK}.layer_scale1.lambda1",
            f"{_OURS}.norm2": f"{_BLOCK}.{norm2}",
            f"{_OURS}.mlp.fc1": f"{_BLOCK}.{fc1}",
            f"{_OURS}.mlp.fc2": f"{_BLOCK}.{fc2}",
            f"{_OURS}.scale2.gamma": f"{_BLOCK}.layer_scale2.lambda1",
            "encoder.norm": "layernorm",
            "head.hidden": "pooler.dense",
            "head.linear": "classifier",
        }
    )


_DISTILLED = Distilled(
    token="embeddings.distillation_token",
    register="embeddings.register_tokens",
    table=_TABLE,
    heads=("cls_classifier", "distillation_classifier"),
    head="classifier",
)
_VIT = _layout("layernorm_before", "layernorm_after", "intermediate.dense", "output.dense")
_DINO = _layout("norm1", "norm2", "mlp.fc1", "mlp.fc2")
_LAYOUTS = {
    "vit": _VIT,
    "deit": _VIT,
    "dinov2": _DINO,
    "dinov2_with_registers": _DINO,
}


def read(raw: RawCheckpoint) -> Draft:
    """The model that the tensors are; raises `CheckpointError` where something cannot be represented."""
    kind = _kind(raw)
    tensors = _names_on_disk(raw, kind)
    pooling: Pooling = "token+distillation" if f"{_DISTILLED.heads[1]}.weight" in tensors else "token"
    tensors = _DISTILLED.join(tensors, raw.path)
    config = _config(raw, tensors, kind, pooling)
    if _is_dino(kind):
        config = _resized(raw, tensors, config, antialias=kind == "dinov2_with_registers")
    if not raw.config:
        log.warning("%s: no config.json beside it; assuming the usual LayerNorm eps %g", raw.path, config.norm_eps)
    return Draft(
        config=config,
        layout=_LAYOUTS[kind],
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
    kind = _kind_of(c)
    tensors = _LAYOUTS[kind].to_theirs(checkpoint.model.state_dict(), c)
    if kind == "deit" and _TABLE in tensors:
        tensors = _DISTILLED.part(tensors | {_TABLE: with_rows(tensors[_TABLE], 1)}, c)
    if _is_dino(kind):
        tensors["embeddings.mask_token"] = torch.zeros(1, c.width)  # for masked training only
    prefix = f"{kind}." if c.classes else ""
    return RawCheckpoint(
        tensors={name if "classifier." in name else prefix + name: t for name, t in tensors.items()},
        config=_description(checkpoint, c, kind),
        preprocessor=preprocessor_said(checkpoint),
        model=c,
    )


def unsaid(c: ViTConfig) -> dict[str, bool]:
    """What their classes cannot be, though the tensors could."""
    dino = _is_dino(_kind_of(c))
    return {
        "no class token": not c.class_token,
        "a hidden layer in the head": c.representation_size is not None and (c.classes > 0 or dino),
        "registers without LayerScale": c.registers > 1 and c.layer_scale is None,
        f"an MLP of {c.hidden}, no multiple of the width": dino and c.hidden % c.width != 0,
        f"images of {c.image_size[0]}×{c.image_size[1]}, not square": dino and c.image_size[0] != c.image_size[1],
    }


def _kind_of(c: ViTConfig) -> str:
    if c.layer_scale is None:  # one register is the distillation token, whether or not the head reads it
        return "deit" if c.registers == 1 else "dinov2_with_registers" if c.registers else "vit"
    return "dinov2_with_registers" if c.registers else "dinov2"


def _is_dino(kind: str) -> bool:
    return kind.startswith("dinov2")


def _kind(raw: RawCheckpoint) -> str:
    stated = raw.config.get("model_type")
    kind = _SAME_MODEL.get(str(stated), str(stated))
    if kind in _CLASSES:
        return kind
    if stated is not None:
        raise CheckpointError(
            f"{raw.path}: model_type {str(stated)[:40]!r} in config.json, "
            f"expected {', '.join([*_CLASSES, *_SAME_MODEL])}"
        )
    if any(name.endswith("register_tokens") for name in raw.tensors):
        return "dinov2_with_registers"
    if any(name.endswith("distillation_token") for name in raw.tensors):
        return "deit"
    return "dinov2" if any(name.endswith("layer_scale1.lambda1") for name in raw.tensors) else "vit"


def _names_on_disk(raw: RawCheckpoint, kind: str) -> dict[str, Tensor]:
    renames = ((_BASE_MODEL, ""), *_IN_MEMORY, *(() if _is_dino(kind) else _IN_MEMORY_VIT))
    tensors = raw.renamed(renames, _MASKED_TRAINING)
    if "embeddings.register_tokens" in tensors and not tensors["embeddings.register_tokens"].numel():
        del tensors["embeddings.register_tokens"]
    return tensors


def _config(raw: RawCheckpoint, tensors: dict[str, Tensor], kind: str, pooling: Pooling) -> ViTConfig:
    said, dino = raw.config, _is_dino(kind)
    sizes = Sizes(raw, tensors, _LAYOUTS[kind])
    fields = sizes.fields()
    gelu = raw.meaning(GELU, said.get("hidden_act", "gelu"), "hidden_act")
    pooler = said.get("pooler_act", "tanh")
    if fields["representation_size"] and pooler != "tanh":
        if raw.meaning(GELU, pooler, "pooler_act") != gelu:
            raise CheckpointError(f"{raw.path}: pooler_act {pooler!r} differs in kind from hidden_act")
        fields["representation_activation"] = "gelu"
    return ViTConfig(
        **fields | {"class_token": True},
        image_size=sizes.grid(fields["patch"], (True,), stated_size(said.get("image_size")))[0],
        heads=heads_for(raw, fields["width"], said.get("num_attention_heads")),
        pooling="token+mean" if dino and fields["classes"] else pooling,
        gelu=gelu,
        norm_eps=said.get("layer_norm_eps", _EPS[said.get("model_type") or kind]),
        layer_scale=said.get("layerscale_value", 1.0) if dino else None,
        dropout=said.get("hidden_dropout_prob", 0.0),
        stochastic_depth=said.get("drop_path_rate", 0.0) if dino else 0.0,
    )


def _resized(raw: RawCheckpoint, tensors: dict[str, Tensor], config: ViTConfig, *, antialias: bool) -> ViTConfig:
    """DINOv2 is seldom used at the size of its positions, and resizes them by a rule of its own: done here, once."""
    size = raw.image_size or (Preprocess.from_dict(raw.preprocessor).size if raw.preprocessor else None)
    if size is None or size == config.image_size or size[0] % config.patch or size[1] % config.patch:
        return config
    table, new = tensors[_TABLE], replace(config, image_size=size)
    grid = table[:, 1:].reshape(1, *config.grid, -1).permute(0, 3, 1, 2)  # (1, D, rows, columns)
    grid = F.interpolate(grid.float(), size=new.grid, mode="bicubic", align_corners=False, antialias=antialias)
    tensors[_TABLE] = torch.cat([table[:, :1].float(), grid.flatten(2).transpose(1, 2)], dim=1)
    return new


def _usual_preprocess(config: ViTConfig, kind: str) -> Preprocess:
    """What the image processor of this kind does by default."""
    if kind == "deit":
        return Preprocess(
            size=config.image_size,
            channels=config.channels,
            fit="squash",
            crop_fraction=0.875,
            interpolation="bicubic",
        )
    if kind == "vit" or config.channels != 3:
        return Preprocess(size=config.image_size, channels=config.channels, fit="squash")
    return Preprocess(
        size=config.image_size,
        crop_fraction=0.875,
        interpolation="bicubic",
    ).with_statistics("imagenet", None)


def _task(c: ViTConfig) -> str:
    """What the name of their class ends with."""
    if not c.classes:
        return "Model"
    return "ForImageClassification" + ("WithTeacher" if c.pooling == "token+distillation" else "")


def _description(checkpoint: Checkpoint, c: ViTConfig, kind: str) -> dict[str, Any]:
    height, width = c.image_size
    values: dict[str, Any] = {
        "architectures": [_CLASSES[kind] + _task(c)],
        "model_type": kind,
        **WRITTEN_BY,
        "hidden_size": c.width,
        "num_hidden_layers": c.depth,
        "num_attention_heads": c.heads,
        "hidden_act": WRITTEN_GELU[c.gelu],
        "hidden_dropout_prob": c.dropout,
        "attention_probs_dropout_prob": 0.0,
        "layer_norm_eps": c.norm_eps,
        "image_size": height if height == width else [height, width],
        "patch_size": c.patch,
        "num_channels": c.channels,
        "qkv_bias": c.qkv_bias,
        **outputs_said(checkpoint),
    }
    if not _is_dino(kind):
        values["intermediate_size"] = c.hidden
        values["encoder_stride"] = c.patch
        if c.representation_size is not None:
            gelu = c.representation_activation == "gelu"
            values["pooler_output_size"] = c.representation_size
            values["pooler_act"] = WRITTEN_GELU[c.gelu] if gelu else "tanh"
    else:
        values["mlp_ratio"] = c.hidden // c.width
        values["layerscale_value"] = c.layer_scale
        values["drop_path_rate"] = c.stochastic_depth
        values["use_swiglu_ffn"] = False
        if c.registers:
            values["num_register_tokens"] = c.registers
    return values
