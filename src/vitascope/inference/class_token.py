"""The same logits with less work: the last block computes the class token alone where the head reads no other.

The model itself does so in training only, because in evaluation someone may be looking at its tokens.
"""

from __future__ import annotations

import copy
from typing import TypeVar

from torch import Tensor, nn

from vitascope.models.bit import BiT
from vitascope.models.vit import ViT

M = TypeVar("M", bound=nn.Module)


class ClassTokenViT(nn.Module):
    """Shares the weights of a model whose head reads the class token, (B, C, H, W) → (B, K)."""

    def __init__(self, model: ViT) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.model.encoder(self.model.embedded(images), 1)  # (B, 1, D)
        return self.model.head(tokens[:, 0])


def for_prediction(model: ViT | BiT) -> nn.Module:
    """A module that computes the same logits, or features, with the least work; weights are shared, `model` is left."""
    own = evaluated(model)
    return ClassTokenViT(own).eval() if isinstance(own, ViT) and own.config.pooling == "token" else own


def evaluated(model: M) -> M:
    """A copy in evaluation mode that shares every weight, so that the caller's may go on being trained."""
    shared = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    return copy.deepcopy(model, shared).eval()
