"""timm's VisionTransformer, and what shares its names: DeiT, distilled or not, DeiT III, MAE, DINOv2, 3, CLIP, SigLIP.

Read from safetensors or .pth, alone or beside timm's config.json; written as the folder that
`timm.create_model("local-dir:PATH", pretrained=True)` opens. LayerNorm has eps 1e-6, 1e-5 in CLIP, and GELU is exact
unless the description says otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from vitascope.checkpoints.checkpoint import Checkpoint
from vitascope.checkpoints.formats import timm_dinov3 as dinov3
from vitascope.checkpoints.formats import timm_stem
from vitascope.checkpoints.formats import timm_towers as towers
from vitascope.checkpoints.formats.dinov3 import usual_preprocess
from vitascope.checkpoints.formats.distilled import Distilled, with_rows
from vitascope.checkpoints.formats.openclip import clip_preprocess
from vitascope.checkpoints.formats.probe import without_batch_norm
from vitascope.checkpoints.formats.raw import WRITTEN_BY, Draft, RawCheckpoint, labels_of, mapping, stated_size
from vitascope.checkpoints.formats.sizes import Sizes, heads_for, square_side
from vitascope.checkpoints.translate import Layout
from vitascope.checkpoints.unwrap import anchor
from vitascope.data.preprocess import Preprocess
from vitascope.layers.position import Positions
from vitascope.models.config import ModelConfig, ViTConfig

ANCHOR = anchor(r"patch_embed\.proj\.weight")
_POSITIONS = "embedding.positions.table"
_BLOCK, _OURS = "blocks.{0}", "encoder.blocks.*"
_NAMES = {
    "patches.projection": "patch_embed.proj",
    "embedding.class_token": "cls_token",
    "embedding.registers": "reg_token",
    _POSITIONS: "pos_embed",
    f"{_OURS}.norm1": f"{_BLOCK}.norm1",
    f"{_OURS}.attention.qkv": f"{_BLOCK}.attn.qkv",
    f"{_OURS}.attention.out": f"{_BLOCK}.attn.proj",
    f"{_OURS}.scale1": f"{_BLOCK}.ls1",
    f"{_OURS}.norm2": f"{_BLOCK}.norm2",
    f"{_OURS}.mlp.gate": f"{_BLOCK}.mlp.fc1_g",
    f"{_OURS}.mlp.fc1": f"{_BLOCK}.mlp.fc1",
    f"{_OURS}.mlp.fc2": f"{_BLOCK}.mlp.fc2",
    f"{_OURS}.scale2": f"{_BLOCK}.ls2",
    "encoder.norm": "norm",
    "head.norm": "fc_norm",
    "head.linear": "head",
    **towers.NAMES,
}
_DISTILLED = Distilled(
    token="dist_token", register="reg_token", table="pos_embed", heads=("head", "head_dist"), head="head"
)
_DINOV2 = ((r"^(blocks\.\d+)\.gamma_([12])$", r"\1.ls\2.gamma"), (r"^register_tokens$", "reg_token"))
"""Names of the DeiT III and DINOv2 repositories that differ from timm's."""
_MASKED_TRAINING = r"mask_token\Z|decoder_"
_USUAL = {"crop_pct": 0.9, "mean": (0.5,), "std": (0.5,)}
_POOLING = {"avg": "mean", "map": "attention"}
_ACTIVATIONS = {"gelu": "erf", "gelu_tanh": "tanh", "quick_gelu": "quick"}
# Names of architectures whose arguments are not written beside the weights, where they differ from the rule.
_TANH_NAMES = re.compile(
    r"vit_(so400m_patch16|giantopt_patch16|base_patch32)_siglip|vit_large_patch16_siglip(_gap)?_512"
)
_SAME = (
    "img_size",
    "patch_size",
    "in_chans",
    "embed_dim",
    "depth",
    "num_heads",
    "mlp_ratio",
    "qkv_bias",
    "init_values",
)
_EVA = {name: name for name in (*_SAME, "class_token", "global_pool")} | {
    "fc_norm": "use_fc_norm",
    "reg_tokens": "num_reg_tokens",
}
"""Arguments of timm's ViT → those of its class of EVA and DINOv3."""
_HEADS = {
    "vit_base_patch16_gap_224": 16,
    "vit_giant_patch16_radio_v3": 24,
    "vit_giantopt_patch16_siglip_256": 16,
    "vit_giantopt_patch16_siglip_384": 16,
    "vit_giantopt_patch16_siglip_gap_256": 16,
    "vit_giantopt_patch16_siglip_gap_384": 16,
    "test_vit": 2,
    "test_vit2": 2,
    "test_vit4": 3,
}


def _layout(root_alone: bool, projects: bool) -> Layout:
    return Layout({**_NAMES, **timm_stem.names(root_alone), **(towers.PROJECTION if projects else {})})


def read(raw: RawCheckpoint) -> Draft:
    """The model that the tensors are; raises `CheckpointError` where something cannot be represented."""
    rotary = dinov3.is_dinov3(raw.tensors)
    plain = replace(raw, tensors=dinov3.plain(raw)) if rotary else raw
    tensors = without_batch_norm(plain.renamed(_DINOV2, _MASKED_TRAINING))
    token = "token+distillation" if _DISTILLED.token in tensors else "token"
    tensors = towers.apart(_positions_of_patches(_DISTILLED.join(tensors, raw.path)))
    described = mapping(raw.config.get("pretrained_cfg"))
    labels = described.get("label_names", raw.config.get("label_names"))
    projects = towers.has_projection(tensors, bool(labels))
    if projects:
        tensors = towers.as_projection(tensors)
    layout = _layout(timm_stem.is_root_alone(tensors), projects)
    sizes = Sizes(raw, tensors, layout)
    fields, args = sizes.fields(), mapping(raw.config.get("model_args"))
    fields["representation_activation"] = "none" if projects else "gelu"
    class_token, size = fields["class_token"], stated_size(args.get("img_size"))
    step = fields["patch"]
    if stem := timm_stem.stem(sizes):
        step *= stem.stride
        fields["channels"] = sizes.shape("stem.root.weight", 4)[1]
    learned, class_row = sizes.has(_POSITIONS, 3), class_token
    if learned:
        size, class_row = sizes.grid(step, (True, False) if class_token else (False,), size)
    pooling = args.get("global_pool", raw.config.get("global_pool")) or None
    if pooling is None:
        attends = sizes.has("head.attention.probe", 3)
        pooling = "map" if attends else "avg" if fields["norm"] == "pooled" or not class_token else "token"
    named = raw.architecture
    scale = args.get("init_values")  # only the start of a training depends on it; DINOv2 begins at 1e-5
    scaled = sizes.has("encoder.blocks.0.scale1.gamma", 1)
    usual = "gelu_tanh" if _TANH_NAMES.match(named) else "gelu"
    before = sizes.has("embedding.norm.weight", 1)
    gelu = "quick_gelu" if "quickgelu" in named else args.get("act_layer") or usual
    config = ViTConfig(
        **fields,
        image_size=size or raw.image_size or (max(224 // step, 1) * step,) * 2,
        heads=(dinov3.heads if rotary else heads_for)(raw, fields["width"], args.get("num_heads", _HEADS.get(named))),
        stem=stem,
        pooling=raw.meaning(_POOLING | {"token": token}, pooling, "pooling"),
        positions="rotary" if rotary else "learned" if learned or args.get("pos_embed") != "none" else "none",
        class_row=class_row,
        gelu=raw.meaning(_ACTIVATIONS, gelu, "activation"),
        norm_before=before,
        norm_eps=1e-5 if "clip" in named or (before and not named) or rotary else 1e-6,
        layer_scale=(scale if isinstance(scale, int | float) else 1e-5) if scaled else None,
    )
    return Draft(
        config=config,
        layout=layout,
        tensors=tensors,
        preprocess=stated_preprocess(raw, config, _USUAL),
        labels=labels_of(labels, config.classes),
    )


def write(checkpoint: Checkpoint) -> RawCheckpoint:
    """What timm opens as a folder."""
    c, state = checkpoint.config, dict(checkpoint.model.state_dict())
    assert isinstance(c, ViTConfig)
    if c.positions == "sincos":
        # timm has only tables, so the fixed one is written out.
        state[_POSITIONS], c = Positions(c)(c.grid), replace(c, positions="learned", class_row=c.has_class_row)
    projects = towers.is_projection(c)
    tensors = towers.together(_layout(c.stem is not None and not c.stem.units, projects).to_theirs(state, c))
    if projects:
        tensors = towers.as_head(tensors)
    if c.registers and c.has_class_row and "pos_embed" in tensors:
        # In timm either no prefix token has a position or all have; those of the registers are zero.
        tensors["pos_embed"] = with_rows(tensors["pos_embed"], c.registers)
    if c.pooling == "token+distillation":
        tensors = _DISTILLED.part(tensors, c)
    description = _description(checkpoint, c)
    if c.positions == "rotary":
        tensors, arguments = dinov3.for_timm(tensors), description["model_args"]
        gated = {"swiglu_mlp": True, "swiglu_align_to": 1} if c.gated_mlp else {}  # 1: no hidden size is rounded
        description["model_args"] = {theirs: arguments[key] for key, theirs in _EVA.items()} | gated
    return RawCheckpoint(tensors=tensors, config=description, model=c)


def _description(checkpoint: Checkpoint, c: ViTConfig) -> dict[str, Any]:
    ratio = c.hidden / c.width
    pool = "token" if c.first_read else {ours: theirs for theirs, ours in _POOLING.items()}.get(c.pooling, "avg")
    distilled, classes = c.pooling == "token+distillation", towers.outputs(c)
    heads = ["head", "head_dist"] if distilled else "head"
    return {
        # Any name of the class would do: all else that differs from it is in model_args.
        "architecture": _architecture(c),
        **WRITTEN_BY,
        "num_classes": classes,
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
            "qkv_bias": c.qkv_bias,
            "init_values": c.layer_scale,
            "class_token": c.class_token,
            "global_pool": pool,
            "fc_norm": c.norm == "pooled",
            "reg_tokens": 0 if distilled else c.registers,
            "no_embed_class": not c.has_class_row,
            "pre_norm": c.norm_before,
            "pos_embed": "none" if c.positions == "none" else "learn",
            "act_layer": {ours: theirs for theirs, ours in _ACTIVATIONS.items()}[c.gelu],
        },
        "pretrained_cfg": {**pretrained_cfg(checkpoint, "patch_embed.proj", heads), "fixed_input_size": True},
    }


def pretrained_cfg(checkpoint: Checkpoint, first_conv: str, classifier: str | list[str]) -> dict[str, Any]:
    """The part of the description that is about images, labels and the names of the first and last layer."""
    return {
        **checkpoint.preprocess.to_timm(),
        "num_classes": towers.outputs(checkpoint.config),
        "label_names": list(checkpoint.labels),
        "first_conv": first_conv,
        "classifier": classifier,
    }


def unsaid(c: ViTConfig) -> dict[str, bool]:
    """What timm has no name for, or its distilled class cannot be, though the tensors could be written."""
    nameless, distilled = c.stem is not None and not _architecture(c), c.pooling == "token+distillation"
    return {
        "a hybrid's stem of another root, units or width than timm's": nameless,
        "a distillation token behind a hybrid's stem": distilled and c.stem is not None,
        "registers beside a distillation token": distilled and c.registers > 1,
        "a distillation token without positions for class token and patches": distilled and not c.has_class_row,
        "a LayerNorm after the pooling of a distillation token": distilled and c.norm == "pooled",
    }


def _architecture(c: ViTConfig) -> str:
    """A name of the class; "" where there is none."""
    if c.stem is not None:
        return timm_stem.architecture(c.stem)
    if c.positions == "rotary":
        return "vit_small_patch16_dinov3"
    if c.pooling == "token+distillation":
        return "deit_base_distilled_patch16_224"
    return "vit_base_patch32_clip_224" if c.norm_eps == 1e-5 else "vit_base_patch16_224"  # no argument says the eps


def _positions_of_patches(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    # timm's registers may have positions, which we add to them.
    table, registers = tensors.get("pos_embed"), tensors.get("reg_token")
    if table is not None and registers is not None and table.ndim == registers.ndim == 3:
        rows, count, cls = table.shape[1], registers.shape[1], int("cls_token" in tensors)
        if square_side(rows - cls - count) and not square_side(rows) and not square_side(rows - cls):
            tensors["reg_token"] = registers + table[:, cls : cls + count]
            tensors["pos_embed"] = torch.cat([table[:, :cls], table[:, cls + count :]], dim=1)
    return tensors


def stated_preprocess(raw: RawCheckpoint, config: ModelConfig, usual: Mapping[str, Any]) -> Preprocess:
    """What the description says, or what is usual for a model of this kind."""
    size = {"input_size": [config.channels, *config.image_size]}
    described = mapping(raw.config.get("pretrained_cfg"))
    if described.keys() & {"input_size", "mean"}:
        return Preprocess.from_dict({**size, **described})
    if isinstance(config, ViTConfig) and config.norm_before:
        return raw.assume(clip_preprocess(config))
    if isinstance(config, ViTConfig) and config.positions == "rotary":
        return raw.assume(usual_preprocess(config))
    return raw.assume(Preprocess.from_dict({**size, **usual}))
