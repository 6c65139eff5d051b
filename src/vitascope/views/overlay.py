"""A map of patches laid over the image it belongs to, as colours or as light (Figure 6)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from vitascope.views.drawing import HEAT

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def overlaid(image: np.ndarray, amounts: npt.ArrayLike, opacity: float = 0.65) -> np.ndarray:
    """uint8 (H, W, 3) with the colours of (r, c) amounts over it, scaled to their largest → uint8 (H, W, 3)."""
    from matplotlib import colormaps

    colours = colormaps[HEAT](enlarged(amounts, (image.shape[0], image.shape[1])))[..., :3]
    grey = image.mean(axis=2, keepdims=True) / 255  # the photograph's own colours would be mistaken for the map's
    return np.rint(255 * ((1 - opacity) * grey + opacity * colours)).astype(np.uint8)


def lit(image: np.ndarray, amounts: npt.ArrayLike) -> np.ndarray:
    """uint8 (H, W, 3) as bright as (r, c) amounts say, as in Figure 6: the authors' display blurs by one patch."""
    size = (image.shape[0], image.shape[1])
    mask = enlarged(amounts, size, blur=size[0] / np.asarray(amounts).shape[0])
    return np.rint(image * mask[..., None]).astype(np.uint8)


def enlarged(amounts: npt.ArrayLike, size: tuple[int, int], blur: float = 0.0) -> np.ndarray:
    """(r, c) amounts of at least 0 → float32 (H, W) from 0 to 1: divided by the largest, enlarged with Lanczos, then
    blurred with a Gaussian of `blur` pixels."""
    values = np.asarray(amounts, dtype=np.float32)
    picture = Image.fromarray(values / max(float(values.max()), 1e-12))
    big = np.clip(np.asarray(picture.resize((size[1], size[0]), Image.Resampling.LANCZOS)), 0, 1)
    if blur:
        soft = Image.fromarray(np.rint(255 * big).astype(np.uint8)).filter(ImageFilter.GaussianBlur(blur))
        big = np.asarray(soft, dtype=np.float32) / max(float(np.asarray(soft).max()), 1.0)
    return big.astype(np.float32)


def over_image(drawing: Figure, axes: Axes, image: np.ndarray, amounts: np.ndarray, label: str) -> None:
    """An image under the colours of (r, c) amounts, scaled to their largest, with a colour bar."""
    from matplotlib.cm import ScalarMappable

    axes.imshow(overlaid(image, amounts))
    axes.set_axis_off()
    drawing.colorbar(ScalarMappable(cmap=HEAT), ax=axes, label=label, shrink=0.85, aspect=22)
