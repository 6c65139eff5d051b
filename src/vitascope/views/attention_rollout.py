"""Attention rollout (Figure 6; Abnar and Zuidema, 2020): from which patches the last layer's answer was gathered."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageFilter
from torch import Tensor, nn
from torch.nn import functional

from vitascope.data.preprocess import Preprocess
from vitascope.errors import ConfigError
from vitascope.layers.attention import attention_weights
from vitascope.views.capture import Capture, as_vit, by_image, captures
from vitascope.views.drawing import HEAT, figure
from vitascope.views.pixels import Images, as_pixels

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def rollout(model: nn.Module, images: Tensor, residual: bool = True) -> Tensor:
    """How much of each patch reaches what the head reads, (B, C, H, W) → (B, r, c).

    Attention averaged over heads and multiplied through the layers. With `residual` each layer's is (A + I)/2, half of
    a token being carried past the attention. Read from the class token, or from the patches where the head pools them:
    their mean, or as attention pooling weighs them. Values are shares: with those of the class token and registers they
    add up to 1. Raises `ConfigError`.
    """
    return by_image(model, images, partial(Rollouts, residual=residual))


class Rollouts:
    """Reads `rollout` of each image as a product of a row with matrices, from the last layer to the first."""

    def __init__(self, capture: Capture, residual: bool = True) -> None:
        self.patches, self.grid, self.residual = capture.patches, capture.grid, residual
        self.queries = slice(0, capture.patches.stop)
        # flow[l] says how much of each token, before layer l, reaches what the head reads.
        self.flow = capture.q[0].new_zeros(len(capture.layers) + 1, capture.images, capture.patches.stop)
        read = self.flow[-1, :, capture.readers]
        read.copy_(read.new_tensor(1 / read.shape[1]) if capture.pooled is None else capture.pooled)

    def read(self, position: int, images: slice, queries: slice, weights: Tensor) -> None:
        """Hands what reached these queries on to the tokens that they attend to."""
        reached = self.flow[position + 1, images, queries]  # (b, t)
        gathered = _gathered(reached, weights)
        if self.residual:
            self.flow[position, images] += gathered / 2
            self.flow[position, images, queries] += reached / 2
        else:
            self.flow[position, images] += gathered

    def result(self) -> Tensor:
        """(B, r, c)."""
        return self.flow[0, :, self.patches].reshape(-1, *self.grid)


def _gathered(reached: Tensor, weights: Tensor) -> Tensor:
    """What tokens hand on to those that they attend to, (b, t) and (b, h, t, T) → (b, T), mean over heads."""
    return (reached[:, None, None] @ weights).squeeze(2).mean(1)


def logits_and_rollout(model: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    """The model's logits and `rollout` of one image, (1, C, H, W) → (1, K) and (1, r, c), from one pass.

    In operations that an exporter can write down: no part of a tensor is written to, and each layer's attention is
    computed whole. Raises `ConfigError`.
    """
    model = as_vit(model)
    (capture,) = captures(model, images, tokens=True)
    logits = model.head(model.encoder.norm(capture.tokens[-1]))
    if capture.pooled is not None:
        reached = functional.pad(capture.pooled, (capture.patches.start, 0))
    else:
        first, last = capture.readers.start, capture.readers.stop
        shares = torch.full((1, last - first), 1 / (last - first), dtype=capture.q[0].dtype)
        reached = functional.pad(shares, (first, capture.patches.stop - last))
    for q, k in zip(reversed(capture.q), reversed(capture.k), strict=True):
        reached = (_gathered(reached, attention_weights(q, k)) + reached) / 2
    return logits, reached[:, capture.patches].reshape(1, *capture.grid)


def draw_rollout(rolled: npt.ArrayLike | Tensor, images: Images, preprocess: Preprocess | None = None) -> Figure:
    """Figure 6 of each image: as it is, as bright as its rollout says, and under the colours of the rollout.

    `rolled` is (B, r, c) as `rollout` gives it, or (r, c) of one; `images` are (B, C, H, W), paths, Pillow images or
    uint8 (H, W, 3). With the checkpoint's `preprocess` they are shown as the model sees them, otherwise of files the
    middle, and tensors from black to white. Raises ImageError, `ConfigError` where there are not as many.
    """
    from matplotlib.cm import ScalarMappable

    amounts = np.asarray(rolled.detach().cpu() if isinstance(rolled, Tensor) else rolled, dtype=np.float32)
    amounts = amounts[None] if amounts.ndim == 2 else amounts
    pictures = as_pixels(images, preprocess, amounts.shape[1:])
    if len(pictures) != len(amounts) or amounts.ndim != 3:
        raise ConfigError(f"rollout of shape {amounts.shape} for {len(pictures)} images, expected one of each")
    height, width = pictures[0].shape[:2]
    side = 3.0 / math.sqrt(height * width)
    drawing = figure(3.1 * side * width + 0.9, len(pictures) * side * height + 0.35)
    panels = drawing.subplots(len(pictures), 3, squeeze=False)
    for row, image, amount in zip(panels, pictures, amounts, strict=True):
        for axes, picture in zip(row, (image, lit(image, amount), overlaid(image, amount)), strict=True):
            axes.imshow(picture)
            axes.set_axis_off()
    for axes, title in zip(panels[0], ("input", "lit by the rollout", "attention rollout"), strict=True):
        axes.set_title(title, fontsize=10)
    bar = ScalarMappable(cmap=HEAT)
    drawing.colorbar(bar, ax=panels[:, 2], label="share of the largest value", shrink=0.85 / len(pictures), aspect=22)
    return drawing


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
