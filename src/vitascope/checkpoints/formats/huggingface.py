"""Hugging Face transformers: ViT, DINOv2 and DINOv2 with registers, as folders with config.json.

Names are read in both layouts: on disk `encoder.layer.0.attention.attention.query`, in the memory of
transformers 5 `layers.0.attention.q_proj`; the layout on disk is written (`huggingface_writer.py`), which every version
opens. The LayerNorm's eps comes from the description (1e-12 for ViT unless stated).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from vitascope.checkpoints.checkpoint import Activation
from vitascope.checkpoints.formats.express import labels_of
from vitascope.checkpoints.formats.found import (
    Draft,
    Found,
    heads_for,
    meaning,
    numbered,
    shape_of,
    stated_size,
    table_size,
)
from vitascope.checkpoints.keys import Row, pair, row
from vitascope.checkpoints.unwrap import anchor
from vitascope.data.preprocess import Preprocess
from vitascope.errors import CheckpointError
from vitascope.models.config import ViTConfig

log = logging.getLogger(__name__)

_PATCHES = "embeddings.patch_embeddings.projection.weight"
_TABLE = "embeddings.position_embeddings"
PREFIXES = {"vit": "vit.", "dinov2": "dinov2.", "dinov2_with_registers": "dinov2_with_registers."}
_SAME_MODEL = {"vit_mae": "vit", "vit_msn": "vit"}
ANCHOR = anchor(rf"(?:{'|'.join(map(re.escape, PREFIXES.values()))})?{re.escape(_PATCHES)}")
_GELU = {"gelu": "erf", "gelu_new": "tanh", "gelu_pytorch_tanh": "tanh"}
PROBLEMS = {"sigmoid": "multi_label_classification", "none": "regression"}
_EPS = {"vit": 1e-12, "dinov2": 1e-6, "dinov2_with_registers": 1e-6}
_IN_MEMORY = (
    (r"^layers\.", "encoder.layer."),
    (r"\.attention\.q_proj\.", ".attention.attention.query."),
    (r"\.attention\.k_proj\.", ".attention.attention.key."),
    (r"\.attention\.v_proj\.", ".attention.attention.value."),
    (r"\.attention\.o_proj\.", ".attention.output.dense."),
)
_IN_MEMORY_VIT = ((r"\.mlp\.fc1\.", ".intermediate.dense."), (r"\.mlp\.fc2\.", ".output.dense."))


def read(found: Found) -> Draft:
    """Config and table for the tensors found; raises `CheckpointError` where something cannot be represented."""
    kind = _kind(found)
    tensors = _names_on_disk(found, kind)
    config = _config(found, tensors, kind)
    if kind != "vit":
        config = _resized(found, tensors, config, antialias=kind == "dinov2_with_registers")
    if not found.config:
        log.warning("%s: no config.json beside it; assuming the usual LayerNorm eps %g", found.path, config.norm_eps)
    usual = usual_preprocess(config, kind)
    preprocess = Preprocess.from_dict(found.preprocessor) if found.preprocessor else found.assume(usual)
    return Draft(
        config=config,
        rows=rows(config, kind),
        tensors=tensors,
        preprocess=preprocess,
        labels=labels_of(found.config.get("id2label"), config.classes),
        activation=_activation(found, config.classes),
    )


def _resized(found: Found, tensors: dict[str, Tensor], config: ViTConfig, *, antialias: bool) -> ViTConfig:
    """DINOv2 is seldom used at the size of its positions, and resizes them by a rule of its own: done here, once."""
    size = found.image_size or (Preprocess.from_dict(found.preprocessor).size if found.preprocessor else None)
    if size is None or size == config.image_size or size[0] % config.patch or size[1] % config.patch:
        return config
    table, new = tensors[_TABLE], replace(config, image_size=size)
    grid = table[:, 1:].reshape(1, *config.grid, -1).permute(0, 3, 1, 2)  # (1, D, rows, columns)
    grid = F.interpolate(grid.float(), size=new.grid, mode="bicubic", align_corners=False, antialias=antialias)
    tensors[_TABLE] = torch.cat([table[:, :1].float(), grid.flatten(2).transpose(1, 2)], dim=1)
    return new


def usual_preprocess(config: ViTConfig, kind: str) -> Preprocess:
    """What the image processor of this kind does by default."""
    if kind == "vit" or config.channels != 3:
        return Preprocess(size=config.image_size, channels=config.channels, fit="squash")
    return Preprocess(
        size=config.image_size,
        crop_fraction=0.875,
        interpolation="bicubic",
    ).with_statistics("imagenet", None)


def rows(config: ViTConfig, kind: str) -> list[Row]:
    """The table of names on disk, without the base model's prefix; every layout is ours."""
    vit = kind == "vit"
    norms = ("layernorm_before", "layernorm_after") if vit else ("norm1", "norm2")
    layers = ("intermediate.dense", "output.dense") if vit else ("mlp.fc1", "mlp.fc2")
    table = [
        *pair("patches.projection", "embeddings.patch_embeddings.projection"),
        row("embedding.class_token", "embeddings.cls_token"),
        row("embedding.registers", "embeddings.register_tokens"),
        row("embedding.positions.table", _TABLE),
    ]
    for i in range(config.depth):
        own, foreign = f"encoder.blocks.{i}", f"encoder.layer.{i}"
        parts = [f"{foreign}.attention.attention.{part}" for part in ("query", "key", "value")]
        table += [
            *pair(f"{own}.norm1", f"{foreign}.{norms[0]}"),
            row(f"{own}.attention.qkv.weight", *(f"{part}.weight" for part in parts)),
            row(f"{own}.attention.qkv.bias", *(f"{part}.bias" for part in parts)),
            *pair(f"{own}.attention.out", f"{foreign}.attention.output.dense"),
            row(f"{own}.scale1.gamma", f"{foreign}.layer_scale1.lambda1"),
            *pair(f"{own}.norm2", f"{foreign}.{norms[1]}"),
            *pair(f"{own}.mlp.fc1", f"{foreign}.{layers[0]}"),
            *pair(f"{own}.mlp.fc2", f"{foreign}.{layers[1]}"),
            row(f"{own}.scale2.gamma", f"{foreign}.layer_scale2.lambda1"),
        ]
    return [
        *table,
        *pair("encoder.norm", "layernorm"),
        *pair("head.hidden", "pooler.dense"),
        *pair("head.linear", "classifier"),
    ]


def _kind(found: Found) -> str:
    stated = found.config.get("model_type")
    kind = _SAME_MODEL.get(str(stated), str(stated))
    if kind in PREFIXES:
        return kind
    if stated is not None:
        raise CheckpointError(
            f"{found.path}: model_type {str(stated)[:40]!r} in config.json, "
            f"expected {', '.join([*PREFIXES, *_SAME_MODEL])}"
        )
    if any(name.endswith("register_tokens") for name in found.tensors):
        return "dinov2_with_registers"
    return "dinov2" if any(name.endswith("layer_scale1.lambda1") for name in found.tensors) else "vit"


def _names_on_disk(found: Found, kind: str) -> dict[str, Tensor]:
    renames = _IN_MEMORY + (_IN_MEMORY_VIT if kind == "vit" else ())
    tensors: dict[str, Tensor] = {}
    for name, tensor in found.tensors.items():
        key = name.removeprefix(PREFIXES[kind])
        for pattern, replacement in renames:
            key = re.sub(pattern, replacement, key)
        if key == "embeddings.mask_token" or key.startswith(("decoder.", "lm_head.")):  # for masked training only
            continue
        if key == "embeddings.register_tokens" and tensor.numel() == 0:
            continue
        if key in tensors:
            raise CheckpointError(f"{found.path}: {key} is there twice, under two names")
        tensors[key] = tensor
    if found.config.get("qkv_bias") is False:
        for name in [name for name in tensors if re.search(r"attention\.(query|key|value)\.weight$", name)]:
            tensors.setdefault(name.removesuffix("weight") + "bias", torch.zeros(tensors[name].shape[0]))
    return tensors


def _config(found: Found, tensors: Mapping[str, Tensor], kind: str) -> ViTConfig:
    said = found.config
    width, channels, patch, _ = shape_of(found, tensors, _PATCHES, 4)
    table = shape_of(found, tensors, _TABLE, 3)[1]
    size, _ = table_size(
        found,
        table,
        class_token=True,
        pixels_per_token=patch,
        class_row=True,
        stated=stated_size(said.get("image_size")),
    )
    vit = kind == "vit"
    hidden = "pooler.dense.weight" in tensors
    classes = shape_of(found, tensors, "classifier.weight", 2)[0] if "classifier.weight" in tensors else 0
    first = "encoder.layer.0." + ("intermediate.dense.weight" if vit else "mlp.fc1.weight")
    gelu = meaning(found, _GELU, said.get("hidden_act", "gelu"), "hidden_act")
    scale, eps = said.get("layerscale_value", 1.0), said.get("layer_norm_eps", _EPS[kind])
    if not isinstance(eps, int | float) or not 0 <= eps < 1 or not isinstance(scale, int | float):
        raise CheckpointError(f"{found.path}: layer_norm_eps {eps!r} or layerscale_value {scale!r} in config.json")
    return ViTConfig(
        image_size=size,
        channels=channels,
        patch=patch,
        width=width,
        depth=numbered(tensors, r"encoder\.layer\.(\d+)\."),
        heads=heads_for(found, width, said.get("num_attention_heads")),
        hidden=shape_of(found, tensors, first, 2)[0],
        classes=classes,
        registers=(
            shape_of(found, tensors, "embeddings.register_tokens", 3)[1]
            if "embeddings.register_tokens" in tensors
            else 0
        ),
        pooling="token" if vit or not classes else "token+mean",
        representation_size=shape_of(found, tensors, "pooler.dense.weight", 2)[0] if hidden else None,
        representation_activation=_pooler_activation(found, gelu) if hidden else "gelu",
        gelu=gelu,
        norm_eps=float(eps),
        layer_scale=None if vit else scale,
        dropout=_rate(said.get("hidden_dropout_prob")),
        stochastic_depth=0.0 if vit else _rate(said.get("drop_path_rate")),
    )


def _pooler_activation(found: Found, gelu: str) -> Any:
    stated = found.config.get("pooler_act", "tanh")
    if stated == "tanh":
        return "tanh"
    if meaning(found, _GELU, stated, "pooler_act") != gelu:
        raise CheckpointError(f"{found.path}: pooler_act {stated!r} differs in kind from hidden_act")
    return "gelu"


def _activation(found: Found, classes: int) -> Activation:
    # As transformers' image-classification pipeline decides.
    problem = found.config.get("problem_type")
    if classes and problem == "regression":
        return "none"
    return "sigmoid" if problem == PROBLEMS["sigmoid"] or classes == 1 else "softmax"


def _rate(stated: object) -> float:
    return float(stated) if isinstance(stated, int | float) and 0 <= stated < 1 else 0.0
