"""A start for the patch projection E from data: filters that whiten patches, instead of random ones.

Neighbouring pixels are nearly equal, so a random filter sees little but brightness, and training takes long to find
detail. The principal components of patches, each scaled to unit variance, show every detail from the first step. The
idea is from convolutional speed records (Page, 2019; Jordan, 2024, "94% on CIFAR-10 in 3.29 seconds"). E stays what it
is, a linear projection, and is trained like all else.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vitascope.errors import ConfigError
from vitascope.layers.patches import patchify
from vitascope.models.bit import BiT
from vitascope.models.vit import ViT

_LEAST_VARIANCE = 5e-4
"""Added to every variance, so that components which are next to nothing but noise are not blown up."""
_TOGETHER = 64  # images in float64 at once: those of 224 pixels take 77 MB


@torch.no_grad()
def whiten_patches(model: ViT | BiT, images: Tensor) -> None:
    """Sets the first filters of E to the whitening components of the patches of `images`, (B, C, H, W) normalised.

    The largest components come first, each with both signs, as far as the width goes; filters left over stay random.
    The bias takes the mean patch away. Raises `ConfigError` for hybrids and ResNets, which have no patches of pixels,
    and where there is no bias.
    """
    if not isinstance(model, ViT) or model.stem is not None or model.config.patch_norms:
        raise ConfigError(
            "whiten is for a ViT's patches of pixels, which hybrids, ResNets and models that normalise their patches "
            "have not: leave it at 0"
        )
    config, projection = model.config, model.patches.projection
    if projection.bias is None:
        raise ConfigError("whiten takes the mean patch away by a bias, which E has not with norm_before: leave it at 0")
    mean, covariance = _moments(images, config.patch)
    variances, components = torch.linalg.eigh(covariance)  # ascending; components in columns
    filters = (components / (variances.clamp(min=0) + _LEAST_VARIANCE).sqrt()).flip(1).T  # (P·P·C, P·P·C), rows
    filters = filters[: config.width // 2]
    weight = projection.weight.permute(0, 2, 3, 1).flatten(1).double()  # (D, P·P·C), as `patchify` orders them
    weight[: 2 * len(filters)] = torch.cat([filters, -filters])
    projection.weight.copy_(weight.view(-1, config.patch, config.patch, config.channels).permute(0, 3, 1, 2))
    projection.bias.copy_(-(weight @ mean))


def _moments(images: Tensor, patch: int) -> tuple[Tensor, Tensor]:
    """Mean (P·P·C,) and covariance (P·P·C, P·P·C) of the patches, float64."""
    values = patch * patch * images.shape[1]
    count, total, products = 0, torch.zeros(values).double(), torch.zeros(values, values).double()
    for part in torch.split(images, _TOGETHER):
        x = patchify(part.double(), patch).flatten(0, 1)  # (B·N, P·P·C)
        count, total, products = count + len(x), total + x.sum(dim=0), products + x.T @ x
    mean = total / count
    return mean, (products - count * torch.outer(mean, mean)) / max(count - 1, 1)
