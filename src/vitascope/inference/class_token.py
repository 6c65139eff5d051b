"""The same logits with less work: the last block computes the class token alone where the head reads no other.

The model itself does so in training only, because in evaluation someone may be looking at its tokens.
"""

from __future__ import annotations

from torch import Tensor, nn

from vitascope.models.bit import BiT
from vitascope.models.evaluated import evaluated
from vitascope.models.vit import ViT


class ClassTokenViT(nn.Module):
    """Shares the weights of a model, (B, C, H, W) → (B, K)."""

    def __init__(self, model: ViT) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        return self.model.head(self.model.encoded(images, self.model.config.first_read))


def for_prediction(model: ViT | BiT) -> nn.Module:
    """A module that computes the same logits, or features, with the least work; weights are shared, `model` is left."""
    own = evaluated(model)
    return ClassTokenViT(own).eval() if isinstance(own, ViT) else own
