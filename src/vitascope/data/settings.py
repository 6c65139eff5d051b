"""What training does to images before the model sees them, as settings; importing this needs no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from vitascope.errors import ConfigError
from vitascope.fields import Count, Range, check_fields, refuse_idle

_Area = Annotated[float, Range(0.001, 1)]
_Ratio = Annotated[float, Range(0.01, 100)]
_Share = Annotated[float, Range(0, 1)]


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """Augmentation of training images: per image in the loader (augment.py), per batch on the device
    (mix.py).

    The defaults are the paper's own: inception crop and flip, nothing else (vision_transformer,
    input_pipeline.py). Small data sets usually want the rest. Raises ConfigError for values out of range, and for those
    that the others leave without effect.
    """

    crop: Literal["inception", "shift", "none"] = "inception"
    """"inception": a random part, resized (the official pipeline). "shift": the whole image moved by a few
    pixels, usual for small images such as CIFAR's. "none": the evaluation geometry."""
    crop_area: tuple[_Area, _Area] = (0.05, 1.0)
    """Smallest and largest share of the image's area that crop="inception" keeps; in (0, 1]. Official:
    5–100 %."""
    crop_ratio: tuple[_Ratio, _Ratio] = (3 / 4, 4 / 3)
    """Smallest and largest width / height that crop="inception" keeps; TensorFlow's default is 0.75–1.33."""
    pad_shift: Count = 4
    """Largest move of crop="shift" along each axis, in pixels of the model's input; 4 at 32 px as in ResNet's
    CIFAR experiments (He et al., 2016, section 4.2)."""
    pad_mode: Literal["reflect", "zero"] = "reflect"
    """What crop="shift", rotation and zoom put where the image has moved away: its mirror image, or black."""
    rotate: Annotated[float, Range(0, 180)] = 0.0
    """Turn by up to this many degrees to either side; 0 = off, 180 at most. About 10 suits handwriting."""
    zoom: Annotated[float, Range(0, 0.9)] = 0.0
    """Stretch or shrink height and width, each by up to this share of itself; 0 = off, 0.9 at most."""
    flip: bool = True
    """Mirror left and right with probability one half. Turn off where direction means something (digits)."""
    randaugment_layers: Annotated[int, Range(0)] = 0
    """Operations drawn per image (N of RandAugment, Cubuk et al., 2019); 0 = off, usually 2."""
    randaugment_magnitude: Annotated[float, Range(0, 10)] = 9.0
    """Strength of each operation from 0 (least) to 10 (most); 9 in DeiT's and the fractal recipes."""
    erasing: _Share = 0.0
    """Probability that a rectangle of 2–33 % of the image becomes noise (Zhong et al., 2017); 0 = off."""
    mixup: Annotated[float, Range(0)] = 0.0
    """α of the Beta(α, α) that blends two images and their labels (Zhang et al., 2018); 0 = off."""
    cutmix: Annotated[float, Range(0)] = 0.0
    """α of the Beta(α, α) that sizes a rectangle taken from another image (Yun et al., 2019); 0 = off."""
    mix_probability: Annotated[float, Range(0.001, 1)] = 1.0
    """Share of batches that MixUp or CutMix touches, in (0, 1]."""
    mix_switch: _Share = 0.5
    """Where both are on: the share of mixed batches that CutMix gets, in [0, 1]; 0.5 as in DeiT."""

    def __post_init__(self) -> None:
        for name in ("crop_area", "crop_ratio"):
            if isinstance(value := getattr(self, name), list):
                object.__setattr__(self, name, tuple(value))
        check_fields(self)
        for name in ("crop_area", "crop_ratio"):
            least, most = getattr(self, name)
            if least > most:
                raise ConfigError(f"{name} is {(least, most)}; expected (smallest, largest)")
        if self.crop != "inception":
            refuse_idle(self, f"crop is {self.crop}, which keeps the whole image", "crop_area", "crop_ratio")
        if self.crop != "shift":
            refuse_idle(self, f"crop is {self.crop}, which moves nothing", "pad_shift")
            if not self.rotate and not self.zoom:
                refuse_idle(self, "nothing is moved, turned or zoomed", "pad_mode")
        if not self.randaugment_layers:
            refuse_idle(self, "randaugment_layers is 0", "randaugment_magnitude")
        if not self.mixes:
            refuse_idle(self, "mixup and cutmix are 0", "mix_probability")
        if not self.mixup or not self.cutmix:
            refuse_idle(self, "mixup and cutmix are not both on", "mix_switch")

    @property
    def mixes(self) -> bool:
        """True where training targets are blends (MixUp or CutMix) instead of class indices."""
        return self.mixup > 0 or self.cutmix > 0
