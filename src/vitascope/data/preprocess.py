"""From any image to what the model sees, one way for training, evaluation, prediction, serving and looking.

`Preprocess.pixels` makes of any image uint8 of the model's size (in training `Augment` does), `to_tensor` a batch of
many, `Preprocess.normalise` float32 of that, on its device; `Preprocess.__call__` is all of it for one image.
Shapes: B batch, C channels, H, W the image as read, h, w the size the model sees.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
import torch
from torch import Tensor

from vitascope.data import preprocess_formats as formats
from vitascope.data.images import MAX_PIXELS, ImageLike, UInt8, read_image
from vitascope.data.resize import Interpolation, fit_box, resample
from vitascope.errors import CheckpointError, ConfigError
from vitascope.fields import LARGEST_SIDE, Range, Side, check_fields, height_width
from vitascope.wording import meant


@dataclass(frozen=True, kw_only=True)
class Preprocess:
    """How an image becomes a model input; travels with the weights as `preprocessor.json`.

    Raises ConfigError where a field is out of range or contradicts another.
    """

    size: tuple[Side, Side]
    """(height, width) in pixels that the model sees."""
    channels: Annotated[int, Range(1, 1024)] = 3
    """1 = grey, 3 = RGB; any other count takes arrays only."""
    fit: Literal["crop", "squash"] = "crop"
    """"crop": resize so that the shorter side fits, keep the middle. "squash": resize both sides, whatever
    the ratio, as the official test pipeline does (vision_transformer, input_pipeline.py)."""
    crop_fraction: Annotated[float, Range(1e-6, 1)] = 1.0
    """Side of the kept middle over the side after resizing, in (0, 1]. 1 keeps all that fits, like the
    official pipeline, and suits images that are small already; 0.875 = 224 of 256 is the usual ImageNet
    crop."""
    interpolation: Interpolation = "bilinear"
    """Resampling filter."""
    antialias: bool = True
    """True: the filter widens with the reduction (Pillow). False: TensorFlow's plain bilinear with half-pixel
    centres, two taps per axis, as in the official pipeline; only for "bilinear" and "nearest"."""
    mean: tuple[Annotated[float, Range(-1e6, 1e6)], ...] = (0.5,)
    """Per channel, subtracted from values in [0, 1]; one number stands for every channel."""
    std: tuple[Annotated[float, Range(1e-6, 1e6)], ...] = (0.5,)
    """Per channel, divides afterwards; one number stands for every channel."""
    draft: bool = False
    """Decode JPEG files at 1/2, 1/4 or 1/8 where that is still no smaller than the resized image: faster on
    large photographs, slightly different pixels."""

    def __post_init__(self) -> None:
        for name in ("size", "mean", "std"):
            if isinstance(value := getattr(self, name), list):
                object.__setattr__(self, name, tuple(value))
        check_fields(self)
        for name in ("mean", "std"):
            values = tuple(map(float, getattr(self, name)))
            if len(values) not in (1, self.channels):
                raise ConfigError(f"{name} is {values}; expected one number or {self.channels}, one for each channel")
            object.__setattr__(self, name, values * self.channels if len(values) == 1 else values)
        if max(self.size) / self.crop_fraction > LARGEST_SIDE:
            raise ConfigError(
                f"crop_fraction {self.crop_fraction} with size {self.size} resizes to more than "
                f"{LARGEST_SIDE} pixels a side; raise crop_fraction"
            )
        if not self.antialias and self.interpolation not in ("nearest", "bilinear"):
            raise ConfigError(
                f"antialias=False with interpolation {self.interpolation!r}; "
                "only bilinear and nearest exist without antialiasing"
            )

    def __call__(self, image: ImageLike, *, max_pixels: int = MAX_PIXELS) -> Tensor:
        """Path, encoded bytes, Pillow image or uint8 (H, W[, C]) array → normalised float32 (C, h, w) on the CPU.

        Raises ImageError (not an image, refused, truncated).
        """
        pixels = self.pixels(image, max_pixels=max_pixels)
        return self.normalise(torch.from_numpy(pixels.transpose(2, 0, 1).copy()))

    def pixels(self, image: ImageLike, *, max_pixels: int = MAX_PIXELS) -> UInt8:
        """What the model sees of an image before `normalise`, uint8 (h, w, C); raises ImageError."""
        return self.resize(self.read(image, max_pixels=max_pixels))

    def read(self, image: ImageLike, *, max_pixels: int = MAX_PIXELS) -> UInt8:
        """Decodes to uint8 (H, W, C), at reduced scale where `draft` says so. Raises ImageError.

        What has the channels already stays the array it is.
        """
        if isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.ndim == 3:
            height, width, channels = image.shape
            if channels == self.channels and 0 < height * width <= max_pixels:
                return image
        height, width = (math.ceil(side / self.crop_fraction) for side in self.size)
        draft = (height, width) if self.draft else None
        return read_image(image, channels=self.channels, max_pixels=max_pixels, draft=draft)

    def resize(self, array: UInt8) -> UInt8:
        """uint8 (H, W, C) → uint8 (h, w, C): geometry only. The input itself where nothing is to be done."""
        source = (array.shape[0], array.shape[1])
        box = fit_box(source, self.size, self.crop_fraction, keep_ratio=self.fit == "crop")
        return resample(array, self.size, box=box, interpolation=self.interpolation, antialias=self.antialias)

    def normalise(self, images: Tensor) -> Tensor:
        """uint8 (…, C, H, W) in 0–255 → float32 of the same shape on the same device, (x/255 − mean)/std.

        Computed as (x − 255·mean)/(255·std), which for mean = std = 0.5 is the official (x − 127.5)/127.5
        to the last bit. Raises ConfigError for another dtype or channel count.
        """
        if images.dtype != torch.uint8 or images.ndim < 3 or images.shape[-3] != self.channels:
            raise ConfigError(
                f"normalise received {images.dtype} of shape {tuple(images.shape)}; "
                f"expected uint8 (…, {self.channels}, height, width)"
            )
        mean, std = self._scaled(self.mean, images), self._scaled(self.std, images)
        if images.device.type != "cpu":
            return images.to(torch.float32).sub_(mean).div_(std)
        if images.ndim == 3:
            # By NumPy, in this thread: PyTorch's others would go on spinning and take the processor from an engine that
            # has its own, a tenth of the time of one small image.
            one = np.subtract(images.numpy(), np.asarray(mean, np.float32), dtype=np.float32)
            return torch.from_numpy(np.divide(one, np.asarray(std, np.float32), out=one))
        result = torch.empty(images.shape, dtype=torch.float32)
        for image, place in zip(images, result, strict=True):  # one stays in the processor's cache, a batch does not
            place.copy_(image).sub_(mean).div_(std)
        return result

    def restored(self, images: Tensor) -> Tensor:
        """What `normalise` was given: its result, float32 (…, C, H, W) → uint8 of the same shape."""
        mean, std = self._scaled(self.mean, images), self._scaled(self.std, images)
        return (images * std + mean).round_().clamp_(0, 255).to(torch.uint8)

    def _scaled(self, values: tuple[float, ...], images: Tensor) -> Tensor | float:
        """255·values, shaped to broadcast over (…, C, H, W); a plain number where all channels agree."""
        if len(set(values)) == 1:
            return 255.0 * values[0]
        return torch.tensor([255.0 * v for v in values], device=images.device).view(-1, 1, 1)

    def with_size(self, size: int | tuple[int, int]) -> Preprocess:
        """The same preprocessing for another (height, width); one number means a square."""
        return dataclasses.replace(self, size=height_width(size, "size"))

    def with_statistics(
        self, mean: str | float | Sequence[float] | None, std: str | float | Sequence[float] | None
    ) -> Preprocess:
        """The same with another mean and deviation: numbers, as such or as a text with commas, or mean="imagenet".

        None leaves both as they are. Raises ConfigError for one without the other.
        """
        if mean is None and std is None:
            return self
        named = formats.STATISTICS.get(mean) if isinstance(mean, str) else None
        if named is not None:
            mean, std = named[0], named[1] if std is None else std
        if mean is None or std is None:
            known = ", ".join(formats.STATISTICS)
            raise ConfigError(f"mean is {mean!r} and std {std!r}; give numbers for both, or a name for mean ({known})")
        return dataclasses.replace(self, mean=_numbers("mean", mean), std=_numbers("std", std))

    def to_dict(self) -> dict[str, Any]:
        """Every field as plain JSON values; `from_dict` gives back an equal object."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in dataclasses.asdict(self).items()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Preprocess:
        """Reads `to_dict`'s form, Hugging Face's preprocessor_config.json or timm's pretrained_cfg.

        Raises CheckpointError for unknown keys (naming the nearest), for values out of range and for foreign
        settings that have no equivalent here.
        """
        if not isinstance(data, Mapping):
            raise CheckpointError(
                f"preprocessing is a {type(data).__name__}; expected an object as preprocessor.json holds"
            )
        names = [f.name for f in dataclasses.fields(cls)]
        try:
            if "input_size" in data:
                return cls(**formats.from_timm(data))
            if data.keys() & {"image_mean", "image_processor_type", "feature_extractor_type", "do_resize"}:
                return cls(**formats.from_huggingface(data))
            for key in data:
                if key not in names:
                    raise CheckpointError(f"preprocessing has the unknown key {key!r}; {meant(str(key), names)}")
            if "size" not in data:
                raise CheckpointError('preprocessing has no "size"; expected [height, width] in pixels')
            return cls(**data)
        except ConfigError as error:
            raise CheckpointError(f"preprocessing: {error}") from error

    def to_huggingface(self) -> dict[str, Any]:
        """As Hugging Face's preprocessor_config.json; see preprocess_formats.py. Raises ConfigError."""
        return formats.to_huggingface(self.to_dict())

    def to_timm(self) -> dict[str, Any]:
        """As the preprocessing part of timm's pretrained_cfg; see preprocess_formats.py."""
        return formats.to_timm(self.to_dict())


def to_tensor(images: Sequence[UInt8]) -> Tensor:
    """uint8 (h, w, C), all of one size → uint8 (B, C, h, w); of no image (0,)."""
    if not images:
        return torch.empty(0)
    height, width, channels = images[0].shape
    batch = torch.empty((len(images), channels, height, width), dtype=torch.uint8)
    for place, image in zip(batch, images, strict=True):
        writeable = image if image.flags.writeable else image.copy()  # PyTorch knows no read-only memory
        place.copy_(torch.from_numpy(writeable).permute(2, 0, 1))
    return batch


def _numbers(name: str, value: str | float | Sequence[float]) -> tuple[float, ...]:
    if not isinstance(value, str):
        return (value,) if isinstance(value, int | float) else tuple(value)
    try:
        return tuple(float(part) for part in value.strip("[]() ").split(","))
    except ValueError:
        known = ", ".join(formats.STATISTICS)
        raise ConfigError(f"{name} is {value!r}; expected numbers with commas between, or {known}") from None
