"""DINOv3 in Hugging Face transformers (`DINOv3ViTModel`).

It has no biases on keys, which are zeros here, and the angles of positions in the code, not in the file.
"""

from __future__ import annotations

from typing import Any

import torch

from vitascope.checkpoints.checkpoint import Checkpoint
from vitascope.checkpoints.formats.described import GELU, WRITTEN_GELU, preprocessor_said
from vitascope.checkpoints.formats.raw import WRITTEN_BY, Draft, RawCheckpoint
from vitascope.checkpoints.formats.sizes import Sizes, heads_for
from vitascope.checkpoints.translate import Layout
from vitascope.checkpoints.unwrap import anchor
from vitascope.data.preprocess import Preprocess
from vitascope.errors import CheckpointError
from vitascope.fields import height_width
from vitascope.layers.rotary import TEMPERATURE
from vitascope.models.config import ModelConfig, ViTConfig

ANCHOR = anchor(r"embeddings\.patch_embeddings\.weight")
_BLOCK, _OURS = "layer.{0}", "encoder.blocks.*"
_LAYOUT = Layout(
    {
        "patches.projection": "embeddings.patch_embeddings",
        "embedding.class_token": "embeddings.cls_token",
        "embedding.registers": "embeddings.register_tokens",
        f"{_OURS}.norm1": f"{_BLOCK}.norm1",
        f"{_OURS}.attention.qkv": tuple(f"{_BLOCK}.attention.{part}_proj" for part in "qkv"),
        f"{_OURS}.attention.out": f"{_BLOCK}.attention.o_proj",
        f"{_OURS}.scale1.gamma": f"{_BLOCK}.layer_scale1.lambda1",
        f"{_OURS}.norm2": f"{_BLOCK}.norm2",
        f"{_OURS}.mlp.gate": f"{_BLOCK}.mlp.gate_proj",
        f"{_OURS}.mlp.fc1": f"{_BLOCK}.mlp.up_proj",
        f"{_OURS}.mlp.fc2": f"{_BLOCK}.mlp.down_proj",
        f"{_OURS}.scale2.gamma": f"{_BLOCK}.layer_scale2.lambda1",
        "encoder.norm": "norm",
    }
)
_UNUSED = r"embeddings\.mask_token\Z"
_GATED = {"silu": "erf", "swish": "erf"}
"""`hidden_act` of gated MLPs; there is no GELU then."""
WIDE_HEADS = {1536: 24, 4096: 32}
"""Width → heads, where that is not plainly 64 channels each."""


def holds(config: ModelConfig) -> bool:
    """Whether this is a ViT with rotary positions."""
    return isinstance(config, ViTConfig) and config.positions == "rotary"


def read(raw: RawCheckpoint) -> Draft:
    """The model that the tensors are; raises `CheckpointError` where something cannot be represented."""
    said = raw.config
    if (base := said.get("rope_theta", TEMPERATURE)) != TEMPERATURE:
        raise CheckpointError(f"{raw.path}: rope_theta {base!r} in config.json, expected {TEMPERATURE:g}")
    tensors = raw.renamed(((r"^model\.layer\.", "layer."),), _UNUSED)
    for name in [name for name in tensors if name.endswith("q_proj.bias")]:
        tensors.setdefault(name.replace("q_proj", "k_proj"), torch.zeros_like(tensors[name]))
    if "embeddings.register_tokens" in tensors and not tensors["embeddings.register_tokens"].numel():
        del tensors["embeddings.register_tokens"]
    sizes = Sizes(raw, tensors, _LAYOUT)
    fields = sizes.fields()
    config = ViTConfig(
        **fields,
        image_size=height_width(said.get("image_size", raw.image_size or 14 * fields["patch"]), "image_size"),
        heads=heads_for(raw, fields["width"], said.get("num_attention_heads"), WIDE_HEADS),
        positions="rotary",
        gelu=(
            raw.meaning(_GATED, said.get("hidden_act", "silu"), "hidden_act of gated MLPs")
            if fields["gated_mlp"]
            else raw.meaning(GELU, said.get("hidden_act", "gelu"), "hidden_act")
        ),
        norm_eps=said.get("layer_norm_eps", 1e-5),
        layer_scale=said.get("layerscale_value", 1.0),
        stochastic_depth=said.get("drop_path_rate", 0.0),
    )
    preprocess = Preprocess.from_dict(raw.preprocessor) if raw.preprocessor else raw.assume(usual_preprocess(config))
    return Draft(config=config, layout=_LAYOUT, tensors=tensors, preprocess=preprocess)


def usual_preprocess(config: ViTConfig) -> Preprocess:
    """The authors' (README, "Image transforms"), but for satellites' images, which have other means and deviations."""
    usual = Preprocess(size=config.image_size, channels=config.channels, fit="squash")
    return usual.with_statistics("imagenet" if config.channels == 3 else None, None)


def write(checkpoint: Checkpoint) -> RawCheckpoint:
    """What `from_pretrained` opens as a folder."""
    c = checkpoint.config
    assert isinstance(c, ViTConfig)
    tensors = _LAYOUT.to_theirs(checkpoint.model.state_dict(), c)
    keys = {name: tensor for name, tensor in tensors.items() if name.endswith("k_proj.bias")}
    key_bias = any(bool(tensor.any()) for tensor in keys.values())
    if not key_bias:
        tensors = {name: tensor for name, tensor in tensors.items() if name not in keys}
    tensors["embeddings.mask_token"] = torch.zeros(1, 1, c.width)  # for masked training only
    tensors.setdefault("embeddings.register_tokens", torch.zeros(1, 0, c.width))
    description: dict[str, Any] = {
        "architectures": ["DINOv3ViTModel"],
        "model_type": "dinov3_vit",
        **WRITTEN_BY,
        "image_size": c.image_size[0] if c.image_size[0] == c.image_size[1] else list(c.image_size),
        "patch_size": c.patch,
        "num_channels": c.channels,
        "hidden_size": c.width,
        "intermediate_size": c.hidden,
        "num_hidden_layers": c.depth,
        "num_attention_heads": c.heads,
        "num_register_tokens": c.registers,
        "hidden_act": "silu" if c.gated_mlp else WRITTEN_GELU[c.gelu],
        "use_gated_mlp": c.gated_mlp,
        "layer_norm_eps": c.norm_eps,
        "layerscale_value": c.layer_scale,
        "drop_path_rate": c.stochastic_depth,
        "query_bias": c.qkv_bias,
        "key_bias": key_bias,
        "value_bias": c.qkv_bias,
        "rope_theta": TEMPERATURE,
    }
    return RawCheckpoint(tensors=tensors, config=description, preprocessor=preprocessor_said(checkpoint), model=c)


def unsaid(c: ViTConfig) -> dict[str, bool]:
    """What their class cannot be, though the tensors could."""
    return {"a head of classes": c.classes > 0}
