"""What training does to images before the model sees them, as settings; importing this needs no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from vitascope.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """Augmentation of training images: per image in the loader (augment.py), per batch on the device
    (mix.py).

    The defaults are the paper's own: inception crop and flip, nothing else (vision_transformer,
    input_pipeline.py). Small data sets usually want the rest. Raises ConfigError for values out of range.
    """

    crop: Literal["inception", "shift", "none"] = "inception"
    """"inception": a random part, resized (the official pipeline). "shift": the whole image moved by a few
    pixels, usual for small images such as CIFAR's. "none": the evaluation geometry."""
    crop_area: tuple[float, float] = (0.05, 1.0)
    """Smallest and largest share of the image's area that crop="inception" keeps; in (0, 1]. Official:
    5–100 %."""
    crop_ratio: tuple[float, float] = (3 / 4, 4 / 3)
    """Smallest and largest width / height that crop="inception" keeps; TensorFlow's default is 0.75–1.33."""
    pad_shift: int = 4
    """Largest move of crop="shift" along each axis, in pixels of the model's input; 4 at 32 px as in ResNet's
    CIFAR experiments (He et al., 2016, section 4.2)."""
    pad_mode: Literal["reflect", "zero"] = "reflect"
    """What crop="shift", rotation and zoom put where the image has moved away: its mirror image, or black."""
    rotate: float = 0.0
    """Turn by up to this many degrees to either side; 0 = off, 180 at most. About 10 suits handwriting."""
    zoom: float = 0.0
    """Stretch or shrink height and width, each by up to this share of itself; 0 = off, 0.9 at most."""
    flip: bool = True
    """Mirror left and right with probability one half. Turn off where direction means something (digits)."""
    randaugment_layers: int = 0
    """Operations drawn per image (N of RandAugment, Cubuk et al., 2019); 0 = off, usually 2."""
    randaugment_magnitude: float = 9.0
    """Strength of each operation from 0 (least) to 10 (most); 9 in DeiT's and the fractal recipes."""
    erasing: float = 0.0
    """Probability that a rectangle of 2–33 % of the image becomes noise (Zhong et al., 2017); 0 = off."""
    mixup: float = 0.0
    """α of the Beta(α, α) that blends two images and their labels (Zhang et al., 2018); 0 = off."""
    cutmix: float = 0.0
    """α of the Beta(α, α) that sizes a rectangle taken from another image (Yun et al., 2019); 0 = off."""
    mix_probability: float = 1.0
    """Share of batches that MixUp or CutMix touches, in (0, 1]."""
    mix_switch: float = 0.5
    """Where both are on: the share of mixed batches that CutMix gets, in [0, 1]; 0.5 as in DeiT."""

    def __post_init__(self) -> None:
        _choice("crop", self.crop, ("inception", "shift", "none"))
        _choice("pad_mode", self.pad_mode, ("reflect", "zero"))
        for name in ("crop_area", "crop_ratio"):
            object.__setattr__(self, name, _range(name, getattr(self, name)))
        if self.crop_area[1] > 1:
            raise ConfigError(f"crop_area is {self.crop_area}; expected shares of the image, at most 1")
        if not isinstance(self.flip, bool):
            raise ConfigError(f"flip is {self.flip!r}; expected true or false")
        for name, least in (("pad_shift", 1 if self.crop == "shift" else 0), ("randaugment_layers", 0)):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise ConfigError(f"{name} is {value!r}; expected a whole number from {least} up")
        _bounded("rotate", self.rotate, 180)
        _bounded("zoom", self.zoom, 0.9)
        _bounded("randaugment_magnitude", self.randaugment_magnitude, 10)
        for name in ("erasing", "mix_probability", "mix_switch"):
            _bounded(name, getattr(self, name), 1)
        for name in ("mixup", "cutmix"):
            _bounded(name, getattr(self, name), math.inf)
        if self.mixes and self.mix_probability == 0:
            raise ConfigError(
                f"mix_probability is 0 with mixup {self.mixup} and cutmix {self.cutmix}; raise it, or set both to 0"
            )

    @property
    def mixes(self) -> bool:
        """True where training targets are blends (MixUp or CutMix) instead of class indices."""
        return self.mixup > 0 or self.cutmix > 0


def _choice(name: str, value: Any, options: tuple[str, ...]) -> None:
    if value not in options:
        raise ConfigError(f"{name} is {value!r}; expected one of {', '.join(options)}")


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _bounded(name: str, value: Any, most: float) -> None:
    if not _number(value) or not 0 <= value <= most:
        expected = "a number from 0 up" if most == math.inf else f"a number from 0 to {most}"
        raise ConfigError(f"{name} is {value!r}; expected {expected}")


def _range(name: str, value: Any) -> tuple[float, float]:
    ok = isinstance(value, list | tuple) and len(value) == 2 and all(_number(v) for v in value)
    if not ok or not 0 < value[0] <= value[1]:
        raise ConfigError(f"{name} is {value!r}; expected (smallest, largest), both above 0")
    return float(value[0]), float(value[1])
