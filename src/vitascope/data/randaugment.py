"""RandAugment (Cubuk et al., 2019): N operations, each drawn anew for every image, at one common strength.

The 14 operations of the paper's Figure 2, on Pillow images. Strength runs from 0 to 1 and always means
"further from the original" (the first TensorFlow code had posterise and solarise the other way round).
Ranges at strength 1 follow that code and timm: shear 0.3, translation 0.45 of the side, rotation 30°,
enhancement factors 0.1 or 1.9, posterise to 4 bits, solarise everything. Geometry leaves grey behind.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from vitascope.data.resize import to_array, to_pillow

_SHEAR = 0.3
_TRANSLATE = 0.45  # of the side
_ROTATE = 30.0  # degrees
_ENHANCE = 0.9
_POSTERISE_BITS = 4
_GREY = 128

Operation = Callable[[Image.Image, float], Image.Image]
"""(image, signed strength in [−1, 1]) → image of the same size and mode."""


def _affine(image: Image.Image, coefficients: tuple[float, ...]) -> Image.Image:
    fill = _GREY if image.mode == "L" else (_GREY,) * 3
    return image.transform(image.size, Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR, fillcolor=fill)


def identity(image: Image.Image, strength: float) -> Image.Image:
    """The image as it is."""
    return image


def autocontrast(image: Image.Image, strength: float) -> Image.Image:
    """Stretches each channel to 0–255; has no strength."""
    return ImageOps.autocontrast(image)


def equalise(image: Image.Image, strength: float) -> Image.Image:
    """Makes each channel's histogram flat; has no strength."""
    return ImageOps.equalize(image)


def rotate(image: Image.Image, strength: float) -> Image.Image:
    """Turns about the centre."""
    fill = _GREY if image.mode == "L" else (_GREY,) * 3
    return image.rotate(_ROTATE * strength, Image.Resampling.BILINEAR, fillcolor=fill)


def solarise(image: Image.Image, strength: float) -> Image.Image:
    """Inverts every value from a threshold up, which falls from 256 to 0."""
    return ImageOps.solarize(image, 256 - round(256 * abs(strength)))


def colour(image: Image.Image, strength: float) -> Image.Image:
    """Saturation, down or up."""
    return ImageEnhance.Color(image).enhance(1 + _ENHANCE * strength)


def posterise(image: Image.Image, strength: float) -> Image.Image:
    """Keeps the upper bits of each value."""
    return ImageOps.posterize(image, 8 - round((8 - _POSTERISE_BITS) * abs(strength)))


def contrast(image: Image.Image, strength: float) -> Image.Image:
    """Contrast about the mean grey, down or up."""
    return ImageEnhance.Contrast(image).enhance(1 + _ENHANCE * strength)


def brightness(image: Image.Image, strength: float) -> Image.Image:
    """Brightness, down or up."""
    return ImageEnhance.Brightness(image).enhance(1 + _ENHANCE * strength)


def sharpness(image: Image.Image, strength: float) -> Image.Image:
    """Blurs or sharpens."""
    return ImageEnhance.Sharpness(image).enhance(1 + _ENHANCE * strength)


def shear_x(image: Image.Image, strength: float) -> Image.Image:
    """Moves each row in proportion to its distance from the top."""
    return _affine(image, (1, _SHEAR * strength, 0, 0, 1, 0))


def shear_y(image: Image.Image, strength: float) -> Image.Image:
    """Moves each column in proportion to its distance from the left."""
    return _affine(image, (1, 0, 0, _SHEAR * strength, 1, 0))


def translate_x(image: Image.Image, strength: float) -> Image.Image:
    """Moves left or right by a share of the width."""
    return _affine(image, (1, 0, _TRANSLATE * strength * image.width, 0, 1, 0))


def translate_y(image: Image.Image, strength: float) -> Image.Image:
    """Moves up or down by a share of the height."""
    return _affine(image, (1, 0, 0, 0, 1, _TRANSLATE * strength * image.height))


OPERATIONS: tuple[Operation, ...] = (
    identity,
    autocontrast,
    equalise,
    rotate,
    solarise,
    posterise,
    contrast,
    brightness,
    sharpness,
    shear_x,
    shear_y,
    translate_x,
    translate_y,
    colour,  # last: grey images use all but this one
)


def randaugment(image: np.ndarray, layers: int, magnitude: float, rng: np.random.Generator) -> np.ndarray:
    """uint8 (H, W, 1) or (H, W, 3) → the same shape after `layers` drawn operations.

    magnitude in [0, 10]. Each operation and its sign come from rng, so one generator state fixes the result.
    """
    operations = OPERATIONS if image.shape[2] == 3 else OPERATIONS[:-1]
    picture = to_pillow(image)
    for _ in range(layers):
        operation = operations[int(rng.random() * len(operations))]
        sign = 1 if rng.random() < 0.5 else -1
        picture = operation(picture, sign * magnitude / 10)
    return to_array(picture)
