"""Preprocessing as other libraries write it down, in and out, as plain dictionaries.

Every reader returns the fields of `Preprocess`. What has no equivalent raises CheckpointError instead of
being guessed. Both libraries resample with Pillow, so `antialias` is true unless our own extra key says
otherwise.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from vitascope.errors import CheckpointError, ConfigError
from vitascope.fields import height_width

log = logging.getLogger(__name__)

STATISTICS = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "clip": ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
}
"""Mean and deviation by the name that people know them by."""
_PIL_CODES = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"}
_EXTRA = ("channels", "antialias", "draft")  # not in Hugging Face's form; written beside it when not the default


def from_huggingface(data: Mapping[str, Any]) -> dict[str, Any]:
    """preprocessor_config.json of ViTImageProcessor, DeiTImageProcessor, BitImageProcessor and alike."""
    for key, what in (("do_resize", "resizing"), ("do_rescale", "scaling to [0, 1]")):
        if data.get(key, True) is not True:
            raise CheckpointError(f"preprocessor_config.json turns {what} off ({key}); expected true")
    factor = data.get("rescale_factor", 1 / 255)
    if not isinstance(factor, float) or not abs(factor - 1 / 255) < 1e-6:
        raise CheckpointError(f"preprocessor_config.json has rescale_factor {factor!r}; expected 1/255")
    resample = data.get("resample", 2)
    if not isinstance(resample, int) or resample not in _PIL_CODES:
        raise CheckpointError(
            f"preprocessor_config.json has resample {resample!r}; expected 0 (nearest), 1 (lanczos), "
            "2 (bilinear) or 3 (bicubic)"
        )
    size = data.get("size", 224)
    keeps_ratio = isinstance(size, Mapping) and "shortest_edge" in size
    resized = height_width(size["shortest_edge"] if keeps_ratio else size, "size")
    crops = data.get("do_center_crop", "crop_size" in data)
    if keeps_ratio and not crops:
        raise CheckpointError(
            "preprocessor_config.json resizes the shortest edge without a centre crop, which leaves images "
            'of differing sizes; expected do_center_crop with crop_size, or size {"height", "width"}'
        )
    target = height_width(data.get("crop_size", 224), "crop_size") if crops else resized
    # The one fraction that rounds to both sizes; DeiT's and Bit's processors give two pairs of whole numbers.
    fraction = min(inner / outer for inner, outer in zip(target, resized, strict=True))
    if fraction > 1 or any(int(inner / fraction + 1e-6) != outer for inner, outer in zip(target, resized, strict=True)):
        raise CheckpointError(
            f"preprocessor_config.json crops {target} out of {resized}; expected the same share of both "
            "sides, at most all of it"
        )
    normalises = data.get("do_normalize", True)
    mean = data.get("image_mean", (0.5,)) if normalises else (0.0,)
    std = data.get("image_std", (0.5,)) if normalises else (1.0,)
    return {
        "size": target,
        "channels": len(mean) if isinstance(mean, list | tuple) and len(mean) > 1 else 3,
        "fit": "crop" if keeps_ratio else "squash",
        "crop_fraction": fraction,
        "interpolation": _PIL_CODES[resample],
        "mean": mean,
        "std": std,
        **{key: data[key] for key in _EXTRA if key in data},
    }


def to_huggingface(fields: Mapping[str, Any]) -> dict[str, Any]:
    """preprocessor_config.json of a ViT (plain squash), DeiT (squash and crop) or Bit (keeps the ratio)
    processor.

    Reading it back gives the same pixels; `crop_fraction` becomes a pair of whole sizes. Raises ConfigError
    for a ratio-keeping fit to a size that is not square, which Hugging Face cannot express.
    """
    height, width = fields["size"]
    fraction = fields["crop_fraction"]
    resized = (int(height / fraction + 1e-6), int(width / fraction + 1e-6))
    ratio = fields["fit"] == "crop"
    if ratio and height != width:
        raise ConfigError(
            f'size {(height, width)} with fit "crop" has no Hugging Face form; use a square or fit "squash"'
        )
    codes = {name: code for code, name in _PIL_CODES.items()}
    result: dict[str, Any] = {
        "do_resize": True,
        "size": {"shortest_edge": resized[0]} if ratio else {"height": resized[0], "width": resized[1]},
        "resample": codes[fields["interpolation"]],
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(fields["mean"]),
        "image_std": list(fields["std"]),
    }
    crops = ratio or resized != (height, width)
    if crops:
        result |= {"do_center_crop": True, "crop_size": {"height": height, "width": width}}
    kind = "BitImageProcessor" if ratio else "DeiTImageProcessor" if crops else "ViTImageProcessor"
    result["image_processor_type"] = kind
    if not fields["antialias"]:
        log.warning("Hugging Face always antialiases when it resizes; its pixels will differ slightly")
        result["antialias"] = False
    if fields["draft"]:
        result["draft"] = True
    if fields["channels"] != 3:
        result["channels"] = fields["channels"]
    return result


def from_timm(data: Mapping[str, Any]) -> dict[str, Any]:
    """The preprocessing keys of timm's pretrained_cfg; the others describe the model."""
    shape = data["input_size"]
    if not isinstance(shape, list | tuple) or len(shape) != 3:
        raise CheckpointError(f"pretrained_cfg has input_size {shape!r}; expected [channels, height, width]")
    mode = data.get("crop_mode", "center")
    if mode not in ("center", "squash"):
        raise CheckpointError(f'pretrained_cfg has crop_mode {mode!r}; expected "center" or "squash"')
    return {
        "size": tuple(shape[1:]),
        "channels": shape[0],
        "fit": "crop" if mode == "center" else "squash",
        "crop_fraction": data.get("crop_pct", 0.875),
        "interpolation": data.get("interpolation", "bicubic"),  # where it says nothing, timm's own defaults
        "mean": data.get("mean", STATISTICS["imagenet"][0]),
        "std": data.get("std", STATISTICS["imagenet"][1]),
    }


def to_timm(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The preprocessing keys of timm's pretrained_cfg."""
    return {
        "input_size": [fields["channels"], *fields["size"]],
        "interpolation": fields["interpolation"],
        "crop_pct": fields["crop_fraction"],
        "crop_mode": "center" if fields["fit"] == "crop" else "squash",
        "mean": list(fields["mean"]),
        "std": list(fields["std"]),
    }
