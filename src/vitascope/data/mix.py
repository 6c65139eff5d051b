"""MixUp and CutMix on whole batches, on their device, after normalisation.

Each sample meets its neighbour in the batch (the order is shuffled every epoch, so partners are random)
with its own weight λ; the target is λ of its own class and 1 − λ of the neighbour's. Shapes: B batch, C
channels, H, W height and width, K classes.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vitascope.data.settings import AugmentConfig
from vitascope.errors import ConfigError


def mix_batch(
    images: Tensor, labels: Tensor, classes: int, config: AugmentConfig, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Normalised float (B, C, H, W) and class indices (B,) or several labels (B, K) → images and their targets.

    Without MixUp and CutMix in config both come back as they are. Otherwise the targets are float32 (B, K),
    rows of classes summing to 1, for every batch, mixed or not. `rng` makes all draws. Inputs are
    left unchanged. Raises ConfigError for images that are not floating point.
    """
    if not config.mixes:
        return images, labels
    if not images.is_floating_point():
        raise ConfigError(f"mix_batch received {images.dtype} images; expected floating point, normalise first")
    targets = (F.one_hot(labels, classes) if labels.ndim == 1 else labels).to(torch.float32)  # (B, K)
    mixed, cuts = rng.random() < config.mix_probability, rng.random() < config.mix_switch
    if not mixed:
        return images, targets
    if config.cutmix and (cuts or not config.mixup):
        images, share = cutmix(images, config.cutmix, rng)
    else:
        images, share = mixup(images, config.mixup, rng)
    return images, torch.lerp(targets.roll(1, 0), targets, share.view(-1, 1))


def mixup(images: Tensor, alpha: float, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """λ·image + (1 − λ)·neighbour, λ ~ Beta(α, α) per sample (Zhang et al., 2018).

    float (B, C, H, W) → images of the same shape, λ float32 (B,). The neighbour of sample i is sample i − 1.
    """
    drawn = rng.beta(alpha, alpha, len(images)).astype(np.float32)
    share = torch.from_numpy(drawn).to(images.device, non_blocking=True)
    weight = share.to(images.dtype).view(-1, 1, 1, 1)
    return torch.lerp(images.roll(1, 0), images, weight), share


def cutmix(images: Tensor, alpha: float, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """A rectangle of each image replaced by the neighbour's (Yun et al., 2019).

    float (B, C, H, W) → images of the same shape, λ float32 (B,): the exact share of pixels that are the
    image's own. The rectangle is meant to have the area 1 − λ', λ' ~ Beta(α, α), its centre is uniform, and
    it is cut off at the border; λ is counted after that. The neighbour of sample i is sample i − 1.
    """
    count, _, height, width = images.shape
    top, left, bottom, right = _boxes(count, height, width, alpha, rng)
    share = 1 - (bottom - top) * (right - left) / (height * width)
    edges = np.stack([top, bottom, left, right]).reshape(4, count, 1, 1, 1)
    t, b, x0, x1 = torch.from_numpy(edges).to(images.device, non_blocking=True)  # each (B, 1, 1, 1)
    rows = torch.arange(height, device=images.device).view(1, 1, -1, 1)
    columns = torch.arange(width, device=images.device).view(1, 1, 1, -1)
    inside = (rows >= t) & (rows < b) & (columns >= x0) & (columns < x1)  # (B, 1, H, W)
    own = torch.from_numpy(share.astype(np.float32)).to(images.device, non_blocking=True)
    return torch.where(inside, images.roll(1, 0), images), own


def _boxes(
    count: int, height: int, width: int, alpha: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Top, left, bottom, right (exclusive) of one rectangle per sample, int64 (B,)."""
    side = np.sqrt(1 - rng.beta(alpha, alpha, count))
    # Not a pixel's index, as in the authors' code, whose rectangles lean towards the upper left.
    centre_y, centre_x = rng.random(count) * height, rng.random(count) * width
    half_h, half_w = side * height / 2, side * width / 2
    top, bottom = np.rint(centre_y - half_h), np.rint(centre_y + half_h)
    left, right = np.rint(centre_x - half_w), np.rint(centre_x + half_w)
    edges = [top.clip(0, height), left.clip(0, width), bottom.clip(0, height), right.clip(0, width)]
    top, left, bottom, right = (edge.astype(np.int64) for edge in edges)
    return top, left, bottom, right
