"""timm's VisionTransformer, and what shares its names: DeiT, DeiT III, DINOv2 with and without registers.

Read from safetensors or .pth, alone or beside timm's config.json; written as the folder that
`timm.create_model("local-dir:PATH", pretrained=True)` opens. LayerNorm has eps 1e-6 and GELU is exact unless
the description says "gelu_tanh".
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vitascope.checkpoints.atomic import atomic_folder
from vitascope.checkpoints.checkpoint import Checkpoint
from vitascope.checkpoints.formats.express import WRITTEN_BY, labels_of, refuse_inexpressible, vit_only
from vitascope.checkpoints.formats.found import (
    Draft,
    Found,
    heads_for,
    meaning,
    numbered,
    shape_of,
    square_grid,
    stated_size,
    table_size,
)
from vitascope.checkpoints.json_file import dump_json
from vitascope.checkpoints.keys import Row, pair, row, to_foreign
from vitascope.checkpoints.tensor_file import write_safetensors
from vitascope.checkpoints.unwrap import anchor
from vitascope.data.preprocess import Preprocess
from vitascope.layers.position import Positions
from vitascope.models.config import ViTConfig

log = logging.getLogger(__name__)

ANCHOR = anchor(r"patch_embed\.proj\.weight")
_POSITIONS = "embedding.positions.table"
_POOLING = {"token": "token", "avg": "mean"}
_ACTIVATIONS = {"gelu": "erf", "gelu_tanh": "tanh"}
# Names of architectures whose arguments are not written beside the weights, where they differ from the rule.
_TANH_NAMES = re.compile(
    r"vit_(so400m_patch16|giantopt_patch16|base_patch32)_siglip|vit_large_patch16_siglip(_gap)?_512"
)
_HEADS = {
    "vit_base_patch16_gap_224": 16,
    "vit_giant_patch16_radio_v3": 24,
    "vit_giantopt_patch16_siglip_gap_256": 16,
    "vit_giantopt_patch16_siglip_gap_384": 16,
    "test_vit": 2,
    "test_vit2": 2,
    "test_vit4": 3,
}


def read(found: Found) -> Draft:
    """Config and table for the tensors found; raises `CheckpointError` where something cannot be represented."""
    tensors = _usual_names(found)
    config = _config(found, tensors)
    described = found.config.get("pretrained_cfg")
    described = described if isinstance(described, Mapping) else {}
    labels = described.get("label_names", found.config.get("label_names"))
    return Draft(
        config=config,
        rows=rows(config),
        tensors=tensors,
        preprocess=_preprocess(found, described, config),
        labels=labels_of(labels, config.classes),
    )


def rows(config: ViTConfig) -> list[Row]:
    """The table of names; every layout is ours."""
    table = [
        *pair("patches.projection", "patch_embed.proj"),
        row("embedding.class_token", "cls_token"),
        row("embedding.registers", "reg_token"),
        row(_POSITIONS, "pos_embed"),
    ]
    for i in range(config.depth):
        own, foreign = f"encoder.blocks.{i}", f"blocks.{i}"
        table += [
            *pair(f"{own}.norm1", f"{foreign}.norm1"),
            *pair(f"{own}.attention.qkv", f"{foreign}.attn.qkv"),
            *pair(f"{own}.attention.out", f"{foreign}.attn.proj"),
            row(f"{own}.scale1.gamma", f"{foreign}.ls1.gamma"),
            *pair(f"{own}.norm2", f"{foreign}.norm2"),
            *pair(f"{own}.mlp.fc1", f"{foreign}.mlp.fc1"),
            *pair(f"{own}.mlp.fc2", f"{foreign}.mlp.fc2"),
            row(f"{own}.scale2.gamma", f"{foreign}.ls2.gamma"),
        ]
    return [
        *table,
        *pair("encoder.norm", "norm"),
        *pair("head.norm", "fc_norm"),
        *pair("head.linear", "head"),
    ]


def write(checkpoint: Checkpoint, path: Path, *, overwrite: bool = False) -> None:
    """A folder of model.safetensors and config.json; raises `CheckpointError` for what timm cannot say."""
    c = vit_only("timm", checkpoint.config)
    refuse_inexpressible(
        "timm",
        (
            (f"LayerNorm eps {c.norm_eps:g} instead of 1e-06", c.norm_eps != 1e-6),
            ("a hidden layer in the head", c.representation_size is not None),
            ("the pooling token+mean", c.pooling == "token+mean"),
        ),
    )
    state = dict(checkpoint.model.state_dict())
    if c.positions == "sincos":
        # timm has only tables, so the fixed one is written out.
        state[_POSITIONS], c = Positions(c)(c.grid), replace(c, positions="learned", class_row=c.has_class_row)
    tensors = to_foreign(rows(c), state, c)
    if c.registers and c.has_class_row and "pos_embed" in tensors:
        # In timm either no prefix token has a position or all have; those of the registers are zero.
        table = tensors["pos_embed"]
        blank = table.new_zeros(1, c.registers, c.width)
        tensors["pos_embed"] = torch.cat([table[:, :1], blank, table[:, 1:]], dim=1)
    with atomic_folder(path, what="checkpoint", overwrite=overwrite) as folder:
        write_safetensors(folder / "model.safetensors", tensors, {})
        (folder / "config.json").write_bytes(dump_json(_description(checkpoint, c)))


def _description(checkpoint: Checkpoint, c: ViTConfig) -> dict[str, Any]:
    ratio = c.hidden / c.width
    pool = "token" if c.pooling == "token" else "avg"
    return {
        # Any name of the class would do: all that differs from it is in model_args.
        "architecture": "vit_base_patch16_224",
        **WRITTEN_BY,
        "num_classes": c.classes,
        "num_features": c.width,
        "global_pool": pool,
        "model_args": {
            "img_size": list(c.image_size),
            "patch_size": c.patch,
            "in_chans": c.channels,
            "embed_dim": c.width,
            "depth": c.depth,
            "num_heads": c.heads,
            "mlp_ratio": ratio if int(c.width * ratio) == c.hidden else (c.hidden + 0.5) / c.width,
            "init_values": c.layer_scale,
            "class_token": c.class_token,
            "global_pool": pool,
            "fc_norm": c.norm == "pooled",
            "reg_tokens": c.registers,
            "no_embed_class": not c.has_class_row,
            "pos_embed": "none" if c.positions == "none" else "learn",
            "act_layer": "gelu_tanh" if c.gelu == "tanh" else "gelu",
        },
        "pretrained_cfg": {
            **checkpoint.preprocess.to_timm(),
            "num_classes": c.classes,
            "label_names": list(checkpoint.labels),
            "fixed_input_size": True,
            "first_conv": "patch_embed.proj",
            "classifier": "head",
        },
    }


def _usual_names(found: Found) -> dict[str, Tensor]:
    # The DeiT III and DINOv2 repositories differ from timm in a few names.
    tensors: dict[str, Tensor] = {}
    for name, tensor in found.tensors.items():
        if name == "mask_token" or name.startswith("decoder_"):  # for masked training only
            continue
        name = re.sub(r"^(blocks\.\d+)\.gamma_([12])$", r"\1.ls\2.gamma", name)
        tensors["reg_token" if name == "register_tokens" else name] = tensor
    table, registers = tensors.get("pos_embed"), tensors.get("reg_token")
    if table is not None and registers is not None and table.ndim == registers.ndim == 3:
        rows, count, cls = table.shape[1], registers.shape[1], int("cls_token" in tensors)
        if square_grid(rows, cls + count) and not square_grid(rows, 0) and not square_grid(rows, cls):
            tensors["reg_token"] = registers + table[:, cls : cls + count]
            tensors["pos_embed"] = torch.cat([table[:, :cls], table[:, cls + count :]], dim=1)
    return tensors


def _config(found: Found, tensors: Mapping[str, Tensor]) -> ViTConfig:
    args = found.config.get("model_args")
    args = args if isinstance(args, Mapping) else {}
    width, channels, patch, _ = shape_of(found, tensors, "patch_embed.proj.weight", 4)
    class_token = "cls_token" in tensors
    stated = stated_size(args.get("img_size"))
    if "pos_embed" in tensors:
        size, class_row = table_size(
            found,
            shape_of(found, tensors, "pos_embed", 3)[1],
            class_token=class_token,
            pixels_per_token=patch,
            stated=stated,
        )
    else:
        size, class_row = stated or found.image_size or (max(224 // patch, 1) * patch,) * 2, class_token
    pooled_norm = "fc_norm.weight" in tensors
    scaled = "blocks.0.ls1.gamma" in tensors
    return ViTConfig(
        image_size=size,
        channels=channels,
        patch=patch,
        width=width,
        depth=numbered(tensors, r"blocks\.(\d+)\."),
        heads=heads_for(found, width, args.get("num_heads", _HEADS.get(found.architecture))),
        hidden=shape_of(found, tensors, "blocks.0.mlp.fc1.weight", 2)[0],
        classes=shape_of(found, tensors, "head.weight", 2)[0] if "head.weight" in tensors else 0,
        class_token=class_token,
        registers=shape_of(found, tensors, "reg_token", 3)[1] if "reg_token" in tensors else 0,
        pooling=_pooling(found, args, class_token, pooled_norm),
        positions="learned" if "pos_embed" in tensors or args.get("pos_embed") != "none" else "none",
        class_row=class_row,
        norm="pooled" if pooled_norm else "tokens",
        gelu=_gelu(found, args),
        norm_eps=1e-6,
        layer_scale=_initial_scale(args) if scaled else None,
    )


def _pooling(found: Found, args: Mapping[str, Any], class_token: bool, pooled_norm: bool) -> Any:
    stated = args.get("global_pool", found.config.get("global_pool")) or None
    if stated is None:
        return "mean" if pooled_norm or not class_token else "token"
    return meaning(found, _POOLING, stated, "pooling")


def _gelu(found: Found, args: Mapping[str, Any]) -> Any:
    name = found.architecture
    usual = "gelu_tanh" if _TANH_NAMES.match(name) else "gelu"
    stated = "quickgelu" if "quickgelu" in name else args.get("act_layer") or usual
    return meaning(found, _ACTIVATIONS, stated, "activation")


def _initial_scale(args: Mapping[str, Any]) -> float:
    # Only the start of a training depends on it; DeiT III and DINOv2 begin at 1e-6 and 1e-5.
    stated = args.get("init_values")
    return stated if isinstance(stated, int | float) else 1e-5


def _preprocess(found: Found, described: Mapping[str, Any], config: ViTConfig) -> Preprocess:
    size = {"input_size": [config.channels, *config.image_size]}
    if described.keys() & {"input_size", "mean"}:
        return Preprocess.from_dict({**size, **described})
    # timm's usual one for a ViT
    return found.assume(Preprocess.from_dict({**size, "crop_pct": 0.9, "mean": (0.5,), "std": (0.5,)}))
