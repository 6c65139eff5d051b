"""The same logits with less work: the last block computes the class token alone where the head reads no other.

The model itself does so in training only, because in evaluation someone may be looking at its tokens.
"""

from __future__ import annotations

from torch import Tensor, nn

from vitascope.models.bit import BiT
from vitascope.models.vit import ViT


class ClassTokenViT(nn.Module):
    """Shares the weights of a model whose head reads the class token, (B, C, H, W) → (B, K)."""

    def __init__(self, model: ViT) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.model.encoder(self.model.embedded(images), 1)  # (B, 1, D)
        return self.model.head(tokens[:, 0])


def for_prediction(model: ViT | BiT) -> nn.Module:
    """`model` in a form that computes the same logits, or features, with the least work; the weights are shared."""
    if isinstance(model, ViT) and model.config.pooling == "token":
        return ClassTokenViT(model).eval()
    return model.eval()
