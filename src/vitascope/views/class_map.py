"""Where a ResNet found what it said: how much each cell of its last feature map adds to a class (Zhou et al., 2016).

Its head is linear and reads the mean of the cells, so a logit is the sum of what they add, and the bias. What they add
to all logits alike changes no answer and is left out.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vitascope.errors import ConfigError
from vitascope.models.bit import BiT
from vitascope.models.evaluated import evaluated


def class_map(model: BiT, images: Tensor, labels: Tensor) -> Tensor:
    """What each cell adds to the logit of `labels` int64 (B,) beyond the mean of all logits, (B, C, H, W) → (B, r, c).

    Negative where it speaks against the label. Raises `ConfigError` for a model without a head.
    """
    linear, step = model.head.linear, model.config.pixels_per_token
    if linear is None:
        raise ConfigError("a class map of a model without a head; fine-tune it first")
    with torch.no_grad():
        cells = evaluated(model).tokens(images)  # (B, N, D)
    rows = -(-images.shape[2] // step)
    every = linear.weight.detach()
    weights = every[labels.to(cells.device)] - (every.mean(dim=0) if len(every) > 1 else 0)  # (B, D)
    return ((cells @ weights[:, :, None]).squeeze(2) / cells.shape[1]).reshape(len(images), rows, -1).cpu()
