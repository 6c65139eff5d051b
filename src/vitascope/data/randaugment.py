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

_GREY = 128

Operation = Callable[[Image.Image, float], Image.Image]
"""(image, signed strength in [−1, 1]) → image of the same size and mode."""


def _fill(image: Image.Image) -> int | tuple[int, ...]:
    return _GREY if image.mode == "L" else (_GREY,) * 3


def _moved(image: Image.Image, *coefficients: float) -> Image.Image:
    """Each pixel (x, y) is taken from (ax + by + c, dx + ey + f), the coefficients."""
    bilinear = Image.Resampling.BILINEAR
    return image.transform(image.size, Image.Transform.AFFINE, coefficients, bilinear, fillcolor=_fill(image))


OPERATIONS: dict[str, Operation] = {
    "identity": lambda image, s: image,
    "autocontrast": lambda image, s: ImageOps.autocontrast(image),  # has no strength
    "equalise": lambda image, s: ImageOps.equalize(image),  # likewise
    "rotate": lambda image, s: image.rotate(30 * s, Image.Resampling.BILINEAR, fillcolor=_fill(image)),
    "solarise": lambda image, s: ImageOps.solarize(image, 256 - round(256 * abs(s))),
    "posterise": lambda image, s: ImageOps.posterize(image, 8 - round(4 * abs(s))),
    "contrast": lambda image, s: ImageEnhance.Contrast(image).enhance(1 + 0.9 * s),
    "brightness": lambda image, s: ImageEnhance.Brightness(image).enhance(1 + 0.9 * s),
    "sharpness": lambda image, s: ImageEnhance.Sharpness(image).enhance(1 + 0.9 * s),
    "shear_x": lambda image, s: _moved(image, 1, 0.3 * s, 0, 0, 1, 0),
    "shear_y": lambda image, s: _moved(image, 1, 0, 0, 0.3 * s, 1, 0),
    "translate_x": lambda image, s: _moved(image, 1, 0, 0.45 * s * image.width, 0, 1, 0),
    "translate_y": lambda image, s: _moved(image, 1, 0, 0, 0, 1, 0.45 * s * image.height),
    "colour": lambda image, s: ImageEnhance.Color(image).enhance(1 + 0.9 * s),  # last: grey images use all but this one
}
"""Each by its strength s."""


def randaugment(image: np.ndarray, layers: int, magnitude: float, rng: np.random.Generator) -> np.ndarray:
    """uint8 (H, W, 1) or (H, W, 3) → the same shape after `layers` drawn operations.

    magnitude in [0, 10]. Each operation and its sign come from rng, so one generator state fixes the result.
    """
    operations = list(OPERATIONS.values())[: None if image.shape[2] == 3 else -1]
    picture = to_pillow(image)
    for _ in range(layers):
        operation = operations[int(rng.random() * len(operations))]
        sign = 1 if rng.random() < 0.5 else -1
        picture = operation(picture, sign * magnitude / 10)
    return to_array(picture)
