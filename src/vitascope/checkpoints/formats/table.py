"""The foreign formats, and which of them a checkpoint has. One row for each file beside this."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from vitascope.checkpoints.checkpoint import Checkpoint
from vitascope.checkpoints.formats import (
    bit,
    dinov3,
    google,
    huggingface,
    openclip,
    timm,
    timm_bit,
    torchvision,
    towers,
    vit_pytorch,
)
from vitascope.checkpoints.formats.others import other_architecture
from vitascope.checkpoints.formats.raw import Draft, RawCheckpoint
from vitascope.checkpoints.unwrap import unwrap
from vitascope.errors import CheckpointError
from vitascope.models.config import BiTConfig, ModelConfig, ViTConfig
from vitascope.wording import some


def _is_vit(config: ModelConfig) -> bool:
    return isinstance(config, ViTConfig)


def _is_bit(config: ModelConfig) -> bool:
    return isinstance(config, BiTConfig)


@dataclass(frozen=True)
class Format:
    """How one foreign format is told from the others, read and written."""

    name: str
    """As `Checkpoint.format` reports it and `save` takes it."""
    anchor: re.Pattern[str]
    """A name that all its files hold once; see `unwrap.py`."""
    read: Callable[[RawCheckpoint], Draft]
    """Understands what lies there; raises `CheckpointError`."""
    write: Callable[[Checkpoint], RawCheckpoint] | None
    """Its tensors and descriptions of a model, whose config is then `model`; None where it is only read."""
    holds: Callable[[ModelConfig], bool] = _is_vit
    """Whether this is its kind of model; of several formats of a name the first that says so writes it."""
    unsaid: Callable[[Any], dict[str, bool]] = lambda config: {}
    """What it cannot hold besides all that does not come back when what is written is read; whether a config has it."""


FOREIGN = (
    Format("google", google.ANCHOR, google.read, google.write, unsaid=google.unsaid),
    Format("google", bit.ANCHOR, bit.read, bit.write, _is_bit),
    Format("huggingface", dinov3.ANCHOR, dinov3.read, dinov3.write, dinov3.holds, dinov3.unsaid),
    Format("huggingface", towers.ANCHOR, towers.read, towers.write, towers.holds, towers.unsaid),
    Format("huggingface", huggingface.ANCHOR, huggingface.read, huggingface.write, unsaid=huggingface.unsaid),
    Format("timm", timm.ANCHOR, timm.read, timm.write, unsaid=timm.unsaid),
    Format("timm", timm_bit.ANCHOR, timm_bit.read, timm_bit.write, _is_bit, timm_bit.unsaid),
    Format("torchvision", torchvision.ANCHOR, torchvision.read, torchvision.write, unsaid=torchvision.unsaid),
    Format("vit-pytorch", vit_pytorch.ANCHOR, vit_pytorch.read, vit_pytorch.write, unsaid=vit_pytorch.unsaid),
    Format("open_clip", openclip.ANCHOR, openclip.read, None),
)


def understand(raw: RawCheckpoint) -> tuple[Format, Draft]:
    """Its format, told by the names of its tensors, and the model; raises `CheckpointError` or `ConfigError`."""
    number, tensors = unwrap(raw.tensors, [format.anchor for format in FOREIGN], raw.path)
    if other := other_architecture(tensors, raw.architecture):
        raise CheckpointError(f"{other}; what is read are ViTs, their hybrids and BiT-ResNets")
    if number < 0:
        name = raw.config.get("model_type", raw.architecture)
        formats = ", ".join(dict.fromkeys(format.name for format in FOREIGN))
        called = f" (described as {str(name)[:40]})" if name else ""
        raise CheckpointError(
            f"no known format has these {len(tensors)} tensors ({some(list(tensors), 4)}); "
            f"expected names of vitascope, {formats}{called}"
        )
    return FOREIGN[number], FOREIGN[number].read(replace(raw, tensors=tensors))
