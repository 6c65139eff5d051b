"""The stem of timm's hybrids: names, and constants other than the official code's.

There GroupNorm has eps 1e-5 and a kernel is divided by √(variance + 1e-8). How many units its stages have is nowhere
written down: the architecture's name says it.
"""

from __future__ import annotations

from typing import Any

from vitascope.checkpoints.formats.sizes import Sizes
from vitascope.layers.config import StemConfig

_CONSTANTS: dict[str, Any] = {"norm_eps": 1e-5, "kernel_rule": "variance", "kernel_eps": 1e-8}
_BACKBONE, _OURS = "patch_embed.backbone", "stem.stages.*.*"
_UNIT = f"{_BACKBONE}.stages.{{0}}.blocks.{{1}}"
_ARCHITECTURES = {
    (): "vit_tiny_r_s16_p8_224",
    (2, 2, 2, 2): "vit_small_r26_s32_224",
    (3, 4, 9): "vit_base_r50_s16_224",
    (3, 4, 6, 3): "vit_large_r50_s32_224",
}
"""Units in each stage → a name whose stem has them."""


def names(root_alone: bool) -> dict[str, str]:
    """Our names → theirs; the root is called otherwise where there are no stages."""
    root = _BACKBONE if root_alone else f"{_BACKBONE}.stem"
    return {
        "stem.root": f"{root}.conv",
        "stem.root_norm": f"{root}.norm",
        **{f"{_OURS}.{part}{i}": f"{_UNIT}.{part}{i}" for part in ("conv", "norm") for i in (1, 2, 3)},
        f"{_OURS}.shortcut": f"{_UNIT}.downsample.conv",
        f"{_OURS}.shortcut_norm": f"{_UNIT}.downsample.norm",
    }


def is_root_alone(tensors: Any) -> bool:
    """Whether tensors of these names are of a hybrid without stages."""
    return f"{_BACKBONE}.conv.weight" in tensors


def stem(sizes: Sizes) -> StemConfig | None:
    """The stem that the tensors are, if there is one."""
    if not sizes.has("stem.root.weight", 4):
        return None
    width = sizes.shape("stem.root.weight", 4)[0]
    return StemConfig(units=sizes.units(f"{_OURS}.conv1"), width_factor=width / 64, **_CONSTANTS)


def architecture(c: StemConfig) -> str:
    """The name whose stem this is; or ""."""
    return _ARCHITECTURES.get(c.units, "") if c.width_factor == 1 and not c.small_images else ""
