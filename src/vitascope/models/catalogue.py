"""The catalogue of models: every published name, its sizes, and how one is made."""

from __future__ import annotations

import difflib
import re
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

from vitascope.errors import ConfigError
from vitascope.fields import height_width
from vitascope.models.config import BiTConfig, ModelConfig, StemConfig, ViTConfig, make_config

if TYPE_CHECKING:
    import torch

    from vitascope.models.bit import BiT
    from vitascope.models.vit import ViT

# Table 1 of the paper, and `configs/models.py` for Ti, S and the dropout rates. "b" is B at half width (Figure 4).
# Numbers are widths of six blocks, for images of 32 to 64 pixels on a CPU.
SIZES: dict[str, ViTConfig] = {
    "Ti": ViTConfig(width=192, depth=12, heads=3, hidden=768),
    "S": ViTConfig(width=384, depth=12, heads=6, hidden=1536),
    "b": ViTConfig(width=384, depth=12, heads=6, hidden=1536),
    "B": ViTConfig(width=768, depth=12, heads=12, hidden=3072),
    "L": ViTConfig(width=1024, depth=24, heads=16, hidden=4096, dropout=0.1),
    "H": ViTConfig(width=1280, depth=32, heads=16, hidden=5120, patch=14, dropout=0.1),
    "128": ViTConfig(width=128, depth=6, heads=2, hidden=512),
    "256": ViTConfig(width=256, depth=6, heads=4, hidden=1024),
}

# A hybrid's name gives the patch in image pixels as the authors count it, except R+ViT-Ti/16: its root reduces the
# image by 4, not by 2 as the comment in the official code says, so that one patch spans 32 pixels.
HYBRIDS: dict[str, ViTConfig] = {
    "R+ViT-Ti/16": replace(SIZES["Ti"], patch=8, stem=StemConfig()),
    "R26+ViT-S/32": replace(SIZES["S"], patch=1, stem=StemConfig(units=(2, 2, 2, 2))),
    "R26+ViT-B/32": replace(SIZES["B"], patch=1, stem=StemConfig(units=(2, 2, 2, 2))),
    "R50+ViT-B/16": replace(SIZES["B"], patch=1, stem=StemConfig(units=(3, 4, 9)), dropout=0.1),
    "R50+ViT-B/32": replace(SIZES["B"], patch=1, stem=StemConfig(units=(3, 4, 6, 3))),
    "R50+ViT-L/16": replace(SIZES["L"], patch=1, stem=StemConfig(units=(3, 4, 9))),
    "R50+ViT-L/32": replace(SIZES["L"], patch=1, stem=StemConfig(units=(3, 4, 6, 3))),
    "R+ViT-128/8": replace(SIZES["128"], patch=2, stem=StemConfig(width_factor=0.5)),
}

# Shallower and of half the width: what a CPU trains in minutes.
_SMALL_RESNETS: dict[str, BiTConfig] = {
    f"BiT-R{depth}x{factor}": BiTConfig(units=units, base_width=width)
    for depth, units in {14: (1, 1, 1, 1), 26: (2, 2, 2, 2), 50: (3, 4, 6, 3)}.items()
    for factor, width in {"½": 32, "1": 64}.items()
    if (depth, factor) != (50, "1")
}
RESNETS: dict[str, BiTConfig] = _SMALL_RESNETS | {
    f"BiT-R{depth}x{factor}": BiTConfig(units=units, width_factor=factor)
    for depth, units in {
        50: (3, 4, 6, 3),
        101: (3, 4, 23, 3),
        152: (3, 8, 36, 3),
        200: (3, 24, 36, 3),
    }.items()
    for factor in (1, 2, 3, 4)
}

PLAIN_NAMES = (
    "ViT-Ti/16",
    "ViT-S/32",
    "ViT-S/16",
    "ViT-b/32",
    "ViT-B/32",
    "ViT-B/16",
    "ViT-B/8",
    "ViT-L/32",
    "ViT-L/16",
    "ViT-H/14",
    "ViT-128/8",
    "ViT-256/8",
)
"""The pure ViTs that were published, and two small ones; the patch number of a ViT name is free beyond them."""


def model_names() -> tuple[str, ...]:
    """Every catalogued name, pure ViTs first, then hybrids, then ResNets."""
    return (*PLAIN_NAMES, *HYBRIDS, *RESNETS)


def model_config(name: str, **changes: Any) -> ModelConfig:
    """The config behind a name, with any field changed; raises `ConfigError` naming the nearest names or fields.

    A half may be written "x½" or "x0.5".
    """
    name = name.replace("x0.5", "x½")
    match = re.fullmatch(r"ViT-(\w+)/(\d+)", name)
    if match and match[1] in SIZES and int(match[2]) >= 1:
        base: ModelConfig | None = _plain(match[1], int(match[2]))
    else:
        base = HYBRIDS.get(name) or RESNETS.get(name)
    if base is None:
        near = difflib.get_close_matches(name, model_names(), 3, cutoff=0.5)
        hint = f"did you mean {', '.join(near)}?" if near else f"for example {', '.join(model_names()[:6])}"
        raise ConfigError(f"no model {name!r}; {hint} (ViT-{{{','.join(SIZES)}}}/PATCH takes any patch number)")
    if "image_size" in changes:
        changes["image_size"] = height_width(changes["image_size"], "image_size")
    return make_config(type(base), {**vars(base), **changes})


def _plain(size: str, patch: int) -> ViTConfig:
    # 224 pixels unless they do not divide by this patch; then the next size down that does.
    side = max(224 // patch, 1) * patch
    return replace(SIZES[size], patch=patch, image_size=(side, side))


def create_model(name: str, *, generator: torch.Generator | None = None, **changes: Any) -> ViT | BiT:
    """A new model with official initial values: `create_model("ViT-B/16", classes=10, image_size=224)`.

    Any field of the config is a keyword. The head starts from zero, as in the official code, so that all logits
    are equal until it is trained. Randomness comes from `generator`, or from torch's own. Raises `ConfigError`.
    """
    return build_model(model_config(name, **changes), generator)


def build_model(config: ModelConfig, generator: torch.Generator | None = None) -> ViT | BiT:
    """A model of this config with official initial values, float32, on the CPU, in training mode."""
    from vitascope.models.initialise import initialise

    model = empty_model(config).to_empty(device="cpu")
    initialise(model, generator)
    return model


def empty_model(config: ModelConfig) -> ViT | BiT:
    """The model without memory for its parameters (torch's meta device): for counting and for loading into."""
    import torch

    from vitascope.models.bit import BiT
    from vitascope.models.vit import ViT

    with torch.device("meta"):
        return ViT(config) if isinstance(config, ViTConfig) else BiT(config)


def count_parameters(config: ModelConfig) -> int:
    """Number of trainable values; takes no memory for them."""
    return sum(parameter.numel() for parameter in empty_model(config).parameters())


@cache
def forward_flops(config: ModelConfig) -> float:
    """Operations of one image's forward pass, counted by PyTorch: products and convolutions."""
    if isinstance(config, ViTConfig) and config.depth > 2:  # all blocks are alike
        one, two = (forward_flops(replace(config, depth=depth)) for depth in (1, 2))
        return one + (config.depth - 1) * (two - one)
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    model = empty_model(config).eval().requires_grad_(False)
    with torch.device("meta"), FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.empty(1, config.channels, *config.image_size))
    return float(counter.get_total_flops())


def architecture_name(config: ModelConfig) -> str:
    """ "ViT-B/16" where the catalogue has these sizes, otherwise in words: "ViT 192 wide, 9 deep, patch 4"."""
    if isinstance(config, BiTConfig):
        sizes = (config.units, config.root_channels)
        named = (name for name, known in RESNETS.items() if (known.units, known.root_channels) == sizes)
        return next(named, f"BiT-ResNet {config.root_channels} wide, {sum(config.units) * 3 + 2} deep")
    plain = {f"ViT-{size}/{config.patch}": _plain(size, config.patch) for size in SIZES}
    for name, known in (plain | HYBRIDS).items():
        if all(getattr(known, f) == getattr(config, f) for f in ("stem", "patch", "width", "depth", "heads", "hidden")):
            return name
    kind = "hybrid ViT" if config.stem else "ViT"
    return f"{kind} {config.width} wide, {config.depth} deep, patch {config.pixels_per_token}"
