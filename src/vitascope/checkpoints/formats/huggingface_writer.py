"""Folders that `from_pretrained` of transformers opens; `huggingface.py` has the table of names and the reader."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from vitascope.checkpoints.atomic import atomic_folder
from vitascope.checkpoints.checkpoint import Checkpoint
from vitascope.checkpoints.formats.express import WRITTEN_BY, refuse_inexpressible, vit_only
from vitascope.checkpoints.formats.huggingface import PREFIXES, PROBLEMS, rows
from vitascope.checkpoints.json_file import dump_json
from vitascope.checkpoints.keys import to_foreign
from vitascope.checkpoints.tensor_file import write_safetensors
from vitascope.errors import CheckpointError, ConfigError
from vitascope.models.config import ViTConfig

_CLASSES = {"vit": "ViT", "dinov2": "Dinov2", "dinov2_with_registers": "Dinov2WithRegisters"}
_ACTIVATION = {"erf": "gelu", "tanh": "gelu_pytorch_tanh"}


def write(checkpoint: Checkpoint, path: Path, *, overwrite: bool = False) -> None:
    """A folder that `from_pretrained` opens; raises `CheckpointError` for what transformers cannot say."""
    c = vit_only("huggingface", checkpoint.config)
    kind = "dinov2_with_registers" if c.registers else "dinov2" if c.layer_scale is not None else "vit"
    _refuse_inexpressible(c, kind)
    try:
        preprocessor = checkpoint.preprocess.to_huggingface()
    except ConfigError as error:
        raise CheckpointError(f'format "huggingface" cannot hold the preprocessing: {error}') from error
    base = to_foreign(rows(c, kind), checkpoint.model.state_dict(), c)
    if kind != "vit":
        base["embeddings.mask_token"] = torch.zeros(1, c.width)  # for masked training only
    prefix = PREFIXES[kind] if c.classes else ""
    tensors = {name if name.startswith("classifier.") else prefix + name: t for name, t in base.items()}
    with atomic_folder(path, what="checkpoint", overwrite=overwrite) as folder:
        write_safetensors(folder / "model.safetensors", tensors, {})
        (folder / "config.json").write_bytes(dump_json(_description(checkpoint, c, kind)))
        (folder / "preprocessor_config.json").write_bytes(dump_json(preprocessor))


def _refuse_inexpressible(c: ViTConfig, kind: str) -> None:
    dino = kind != "vit"
    pooling = "token+mean" if dino and c.classes else "token"
    refuse_inexpressible(
        "huggingface",
        (
            ("no class token", not c.class_token),
            ("positions without a class row, or fixed ones", c.positions != "learned" or not c.class_row),
            ("its last LayerNorm after the pooling", c.norm != "tokens"),
            (f"pooling {c.pooling} where {_CLASSES[kind]} has {pooling}", c.pooling != pooling),
            ("registers without LayerScale", c.registers > 0 and c.layer_scale is None),
            (
                "a hidden layer in the head",
                c.representation_size is not None and (c.classes > 0 or dino),
            ),
            (f"an MLP of {c.hidden}, no multiple of the width", dino and c.hidden % c.width != 0),
            (
                f"images of {c.image_size[0]}×{c.image_size[1]}, not square",
                dino and len(set(c.image_size)) > 1,
            ),
        ),
    )


def _description(checkpoint: Checkpoint, c: ViTConfig, kind: str) -> dict[str, Any]:
    names = [str(label) for label in checkpoint.labels]
    height, width = c.image_size
    values: dict[str, Any] = {
        "architectures": [_CLASSES[kind] + ("ForImageClassification" if c.classes else "Model")],
        "model_type": kind,
        **WRITTEN_BY,
        "hidden_size": c.width,
        "num_hidden_layers": c.depth,
        "num_attention_heads": c.heads,
        "hidden_act": _ACTIVATION[c.gelu],
        "hidden_dropout_prob": c.dropout,
        "attention_probs_dropout_prob": 0.0,
        "layer_norm_eps": c.norm_eps,
        "image_size": height if height == width else [height, width],
        "patch_size": c.patch,
        "num_channels": c.channels,
        "qkv_bias": True,
        "id2label": {str(index): name for index, name in enumerate(names)},
        "label2id": {name: index for index, name in enumerate(names)},
    }
    if checkpoint.activation in PROBLEMS:
        values["problem_type"] = PROBLEMS[checkpoint.activation]
    if kind == "vit":
        values["intermediate_size"] = c.hidden
        values["encoder_stride"] = c.patch
        if c.representation_size is not None:
            gelu = c.representation_activation == "gelu"
            values["pooler_output_size"] = c.representation_size
            values["pooler_act"] = _ACTIVATION[c.gelu] if gelu else "tanh"
    else:
        values["mlp_ratio"] = c.hidden // c.width
        values["layerscale_value"] = c.layer_scale
        values["drop_path_rate"] = c.stochastic_depth
        values["use_swiglu_ffn"] = False
        if c.registers:
            values["num_register_tokens"] = c.registers
    return values
