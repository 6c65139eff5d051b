"""What timm's CLIP and SigLIP have beyond a ViT: a LayerNorm before the blocks, a projection, attention pooling."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from vitascope.models.config import ModelConfig, ViTConfig

_POOL, _OURS = "attn_pool", "head.attention"
_PROJECTION = "projection.weight"
NAMES: dict[str, str | tuple[str, ...]] = {
    "embedding.norm": "norm_pre",
    f"{_OURS}.probe": f"{_POOL}.latent",
    f"{_OURS}.attention.qkv": (f"{_POOL}.q", f"{_POOL}.k", f"{_POOL}.v"),
    f"{_OURS}.attention.out": f"{_POOL}.proj",
    f"{_OURS}.norm": f"{_POOL}.norm",
    f"{_OURS}.mlp.fc1": f"{_POOL}.mlp.fc1",
    f"{_OURS}.mlp.fc2": f"{_POOL}.mlp.fc2",
}
"""Our names → theirs, keys and values apart."""
PROJECTION = {"head.hidden.weight": _PROJECTION}
"""A name that theirs have only between `as_projection` and `as_head`."""
_LEAVES = ("weight", "bias")


def apart(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Their tensors with the pooling's keys and values apart, as `NAMES` has them."""
    result = dict(tensors)
    for leaf in _LEAVES:
        if (both := result.pop(f"{_POOL}.kv.{leaf}", None)) is not None:
            result[f"{_POOL}.k.{leaf}"], result[f"{_POOL}.v.{leaf}"] = both.chunk(2)
    return result


def together(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The reverse of `apart`."""
    result = dict(tensors)
    for leaf in _LEAVES:
        if f"{_POOL}.k.{leaf}" in result:
            result[f"{_POOL}.kv.{leaf}"] = torch.cat([result.pop(f"{_POOL}.{part}.{leaf}") for part in "kv"])
    return result


def has_projection(tensors: Mapping[str, Tensor], named: bool) -> bool:
    """Whether the head is CLIP's projection, which timm keeps as a head with a bias of zeros, and without labels."""
    head = [tensors[name] for name in ("head.weight", "head.bias") if name in tensors]
    if "norm_pre.weight" not in tensors or len(head) < 2 or named:
        return False
    return bool(head[0].any()) and not head[1].any()  # a head all of zeros waits for its fine-tuning


def as_projection(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Their tensors with the head under a name of its own, without its bias."""
    tensors = {name: tensor for name, tensor in tensors.items() if name != "head.bias"}
    tensors[_PROJECTION] = tensors.pop("head.weight")
    return tensors


def as_head(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The reverse of `as_projection`."""
    weight = tensors.pop(_PROJECTION)
    return {**tensors, "head.weight": weight, "head.bias": torch.zeros(len(weight))}


def outputs(c: ModelConfig) -> int:
    """How many outputs their head has."""
    projected = c.representation_size if isinstance(c, ViTConfig) and is_projection(c) else None
    return projected or c.classes


def is_projection(c: ViTConfig) -> bool:
    """Whether a model is to be written with such a head."""
    return c.representation_size is not None and c.representation_activation == "none" and not c.classes
