"""Augmentation of one training image, uint8 in and uint8 out, in the loader's workers.

All randomness comes from the generator passed in (callers seed it with (seed, epoch, index)), so an image's
augmentation depends on nothing but its place in training. Normalisation follows on the device
(preprocess.py), MixUp and CutMix after that (mix.py).
"""

from __future__ import annotations

import math

import numpy as np

from vitascope.data.preprocess import Preprocess
from vitascope.data.randaugment import randaugment
from vitascope.data.resize import resample
from vitascope.data.settings import AugmentConfig
from vitascope.errors import ConfigError

_CROP_ATTEMPTS = 100  # TensorFlow's default; all but odd shapes succeed at once
_ERASE_ATTEMPTS = 10
_ERASE_AREA = (0.02, 1 / 3)  # share of the image (Zhong et al., 2017, section 4.2)
_ERASE_RATIO = (0.3, 1 / 0.3)  # height / width
_REDUCING_GAP = 3.0  # Pillow may halve whole pixels first while 3 times as many remain: no visible difference


class Augment:
    """Crop, flip, RandAugment and erasing for images that `preprocess` will normalise.

    Size, channels, filter and antialiasing are the preprocessing's own. Raises ConfigError where the
    settings do not suit them.
    """

    def __init__(self, config: AugmentConfig, preprocess: Preprocess) -> None:
        if config.randaugment_layers and preprocess.channels not in (1, 3):
            raise ConfigError(
                f"randaugment_layers is {config.randaugment_layers} with {preprocess.channels} channels; "
                "RandAugment works on 1 or 3, set it to 0"
            )
        if config.crop == "shift" and config.pad_shift >= min(preprocess.size):
            raise ConfigError(
                f"pad_shift is {config.pad_shift} with size {preprocess.size}; expected less than the smaller side"
            )
        self.config = config
        self.preprocess = preprocess

    def __call__(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """uint8 (H, W, C) → contiguous uint8 (h, w, C) of the preprocessing's size; `image` is left
        unchanged."""
        config, preprocess = self.config, self.preprocess
        if config.crop == "inception":
            top, left, height, width = inception_box(
                image.shape[0], image.shape[1], config.crop_area, config.crop_ratio, rng
            )
            result = resample(
                image[top : top + height, left : left + width],
                preprocess.size,
                interpolation=preprocess.interpolation,
                antialias=preprocess.antialias,
                reducing_gap=_REDUCING_GAP,
            )
        else:
            result = preprocess.resize(image)
            if config.crop == "shift":
                result = shift(result, config.pad_shift, config.pad_mode, rng)
        if config.flip and rng.random() < 0.5:
            # As result[:, ::-1], which costs twice as much once it is made contiguous.
            result = result.take(np.arange(result.shape[1] - 1, -1, -1), axis=1)
        if config.randaugment_layers:
            result = randaugment(result, config.randaugment_layers, config.randaugment_magnitude, rng)
        if config.erasing and rng.random() < config.erasing:
            result = erase(result, rng)
        return np.ascontiguousarray(result)


def inception_box(
    height: int,
    width: int,
    area: tuple[float, float],
    ratio: tuple[float, float],
    rng: np.random.Generator,
) -> tuple[int, int, int, int]:
    """A random (top, left, height, width) inside an image, drawn as TensorFlow draws it.

    `sample_distorted_bounding_box`: width/height uniform in `ratio`, then the height (not the area) uniform
    over all that keep the area within bounds and the box inside. Falls back to the whole image where no
    such box exists, as in one 1 pixel high.
    """
    pixels = height * width
    for _ in range(_CROP_ATTEMPTS):
        aspect = ratio[0] + (ratio[1] - ratio[0]) * rng.random()
        least = round(math.sqrt(area[0] * pixels / aspect))
        most = min(round(math.sqrt(area[1] * pixels / aspect)), height, int((width + 0.5) / aspect))
        box_height = least + int(rng.random() * (most - least + 1)) if least < most else most
        box_width = min(round(box_height * aspect), width)
        # One pixel of rounding on each side must not reject a box that was meant to fit.
        smallest, largest = area[0] * pixels, area[1] * pixels
        if box_height < 1 or box_width < 1:
            continue
        if (box_height + 1) * (box_width + 1) < smallest or (box_height - 1) * (box_width - 1) > largest:
            continue
        top = int(rng.random() * (height - box_height + 1))
        left = int(rng.random() * (width - box_width + 1))
        return top, left, box_height, box_width
    return 0, 0, height, width


def shift(image: np.ndarray, most: int, mode: str, rng: np.random.Generator) -> np.ndarray:
    """Moves a uint8 (H, W, C) image by up to `most` pixels each way; mode "reflect" or "zero" fills the
    gap."""
    down, right = (int(rng.random() * (2 * most + 1)) for _ in range(2))
    height, width = image.shape[:2]
    widths = ((most, most), (most, most), (0, 0))
    padded = np.pad(image, widths, mode="reflect") if mode == "reflect" else np.pad(image, widths)
    return padded[down : down + height, right : right + width]


def erase(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Copy of a uint8 (H, W, C) image with one rectangle of uniform noise per pixel and channel.

    Noise over 0–255 is the variant that Zhong et al. (2017, Table 5) found best. Unchanged where no rectangle
    fits, as in an image 1 pixel high.
    """
    height, width, channels = image.shape
    for _ in range(_ERASE_ATTEMPTS):
        area = (_ERASE_AREA[0] + (_ERASE_AREA[1] - _ERASE_AREA[0]) * rng.random()) * height * width
        low, high = math.log(_ERASE_RATIO[0]), math.log(_ERASE_RATIO[1])
        aspect = math.exp(low + (high - low) * rng.random())
        h, w = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 1 <= h < height and 1 <= w < width:
            top, left = int(rng.random() * (height - h + 1)), int(rng.random() * (width - w + 1))
            result = image.copy()
            result[top : top + h, left : left + w] = rng.integers(0, 256, (h, w, channels), dtype=np.uint8)
            return result
    return image
