"""The training loss: softmax or sigmoid cross-entropy, with smoothed or mixed labels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def soft_targets(labels: Tensor, classes: int, smoothing: float) -> Tensor:
    """Labels int64 (B,), or float targets (B, K) of mixed images, → targets (B, K) with `smoothing` spread evenly."""
    targets = F.one_hot(labels, classes).float() if labels.ndim == 1 else labels.float()
    return targets * (1 - smoothing) + smoothing / classes if smoothing else targets


def objective(logits: Tensor, labels: Tensor, loss: str, smoothing: float = 0.0) -> Tensor:
    """Mean loss over the batch, a float32 scalar.

    "softmax" is cross-entropy over the classes. "sigmoid" sums binary cross-entropy over the classes, as
    `big_vision` does when pre-training on images with several labels.
    """
    logits = logits.float()
    if loss == "softmax":
        if labels.ndim == 1:
            return F.cross_entropy(logits, labels, label_smoothing=smoothing)
        return torch.sum(-soft_targets(labels, logits.shape[1], smoothing) * logits.log_softmax(dim=1), dim=1).mean()
    targets = soft_targets(labels, logits.shape[1], smoothing)
    return F.binary_cross_entropy_with_logits(logits, targets, reduction="none").sum(dim=1).mean()
