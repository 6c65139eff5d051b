"""Augmentation of one training image, uint8 in and uint8 out, in the loader's workers.

All randomness comes from the generator passed in (callers seed it with (seed, epoch, index)), so an image's
augmentation depends on nothing but its place in training. Normalisation follows on the device
(preprocess.py), MixUp and CutMix after that (mix.py).
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch
from PIL import Image

from vitascope.data.images import ImageLike, UInt8
from vitascope.data.picture import Picture, open_image
from vitascope.data.preprocess import Preprocess
from vitascope.data.randaugment import randaugment
from vitascope.data.resize import to_array, to_pillow
from vitascope.data.settings import AugmentConfig
from vitascope.errors import ConfigError

_CROP_ATTEMPTS = 100  # TensorFlow's default; all but odd shapes succeed at once
_ERASE_ATTEMPTS = 10
_ERASE_AREA = (0.02, 1 / 3)  # share of the image (Zhong et al., 2017, section 4.2)
_ERASE_RATIO = (0.3, 1 / 0.3)  # height / width


class Augment:
    """Crop, rotation, zoom, flip, RandAugment and erasing for images that `preprocess` will normalise.

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

    def __call__(self, image: ImageLike | Picture, rng: np.random.Generator) -> UInt8:
        """Any image → uint8 (h, w, C) of the preprocessing's size, its channels perhaps planes in memory.

        `image` is left unchanged; how much of an opened one is decoded follows from the crop drawn. Raises ImageError.
        """
        config, preprocess = self.config, self.preprocess
        picture = open_image(image)
        if config.crop == "inception":
            box = inception_box(*picture.size, config.crop_area, config.crop_ratio, rng)
            result = picture.crop(
                box,
                preprocess.size,
                preprocess.channels,
                interpolation=preprocess.interpolation,
                antialias=preprocess.antialias,
            )
        else:
            result = preprocess.resize(picture.read(preprocess.channels))
            if config.crop == "shift":
                result = shift(result, config.pad_shift, config.pad_mode, rng)
        if config.rotate or config.zoom:
            result = rotate_and_zoom(result, config.rotate, config.zoom, config.pad_mode, rng)
        if config.flip and rng.random() < 0.5:
            result = _mirrored(result)
        if config.randaugment_layers:
            result = randaugment(result, config.randaugment_layers, config.randaugment_magnitude, rng)
        if config.erasing and rng.random() < config.erasing:
            result = erase(result, rng)
        return result


def _mirrored(image: np.ndarray) -> np.ndarray:
    """image[:, ::-1], copied by PyTorch's kernel, which takes a tenth of the time of NumPy's."""
    writeable = image if image.flags.writeable else image.copy()
    return torch.from_numpy(writeable).flip(1).numpy()


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
    rows, columns = _moved(height, down - most), _moved(width, right - most)
    moved = image.take(rows, axis=0).take(columns, axis=1)  # a quarter of the time of np.pad
    if mode == "zero":
        moved[: max(most - down, 0)] = 0
        moved[height + min(most - down, 0) :] = 0
        moved[:, : max(most - right, 0)] = 0
        moved[:, width + min(most - right, 0) :] = 0
    return moved


@lru_cache(maxsize=1024)
def _moved(length: int, by: int) -> np.ndarray:
    """Where each of `length` pixels comes from after a move, mirrored at the ends without repeating them."""
    places = np.abs(np.arange(length) + by)
    return (length - 1) - np.abs((length - 1) - places)


def _padded(image: np.ndarray, rows: int, columns: int, mode: str) -> np.ndarray:
    widths = ((rows, rows), (columns, columns), (0, 0))
    return np.pad(image, widths, mode="reflect") if mode == "reflect" else np.pad(image, widths)


def rotate_and_zoom(
    image: np.ndarray, most_degrees: float, most_zoom: float, mode: str, rng: np.random.Generator
) -> np.ndarray:
    """Turns a uint8 (H, W, C) image about its centre and scales height and width, each within 1 ± `most_zoom`.

    Bilinear; mode "reflect" or "zero" fills the gap. Angle and factors are uniform within their bounds.
    """
    angle = math.radians(most_degrees) * (2 * rng.random() - 1)
    zoom_y, zoom_x = (1 + most_zoom * (2 * rng.random() - 1) for _ in range(2))
    height, width, channels = image.shape
    cos, sin = math.cos(angle), math.sin(angle)
    # Where the pixel at (x, y) from the centre of the result comes from: first turned, then scaled.
    xx, xy, yx, yy = cos / zoom_x, -sin / zoom_x, sin / zoom_y, cos / zoom_y
    # As far as the corners reach beyond the edge, and a pixel for bilinear; an image can be mirrored only once.
    reach_y = math.ceil((abs(yy) * height + abs(yx) * width - height) / 2) + 1
    reach_x = math.ceil((abs(xx) * width + abs(xy) * height - width) / 2) + 1
    rows, columns = max(0, min(reach_y, height - 1)), max(0, min(reach_x, width - 1))
    padded = _padded(image, rows, columns, mode)
    x0, y0 = width / 2, height / 2
    matrix = (xx, xy, x0 + columns - xx * x0 - xy * y0, yx, yy, y0 + rows - yx * x0 - yy * y0)
    planes = [padded] if channels in (1, 3) else np.split(padded, channels, axis=2)  # Pillow knows grey and colour
    moved = [
        to_array(to_pillow(plane).transform((width, height), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR))
        for plane in planes
    ]
    return moved[0] if len(moved) == 1 else np.concatenate(moved, axis=2)


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
