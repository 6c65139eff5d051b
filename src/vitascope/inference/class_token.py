"""The same logits with less work: the last block is computed for the class token alone where the head reads no other.

Keys and values of every token are still needed there, but queries, output projection and MLP of one token only: of 12
blocks that saves a fourteenth of all products. Shapes: B batch, T tokens, D width, h heads, d = D/h.
"""

from __future__ import annotations

from typing import cast

import torch.nn.functional as F
from torch import Tensor, nn

from vitascope.layers.attention import attend
from vitascope.layers.encoder import Block
from vitascope.models.bit import BiT
from vitascope.models.vit import ViT


class ClassTokenViT(nn.Module):
    """Shares `model`'s weights, (B, C, H, W) → (B, K); for prediction only: drops nothing, tells recorders nothing."""

    def __init__(self, model: ViT) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        model = self.model
        grid = model._grid(images)
        x = images if model.stem is None else model.stem(images)
        x = model.embedding(model.patches(x), grid)  # (B, T, D)
        *others, last = model.encoder.blocks
        for block in others:
            x = block(x)
        x = first_token(cast(Block, last), x)  # (B, 1, D)
        return model.head(model.encoder.norm(x)[:, 0])


def for_prediction(model: ViT | BiT) -> nn.Module:
    """`model` in a form that computes the same logits, or features, with the least work; the weights are shared."""
    short = isinstance(model, ViT) and model.config.pooling == "token" and len(model.encoder.blocks) > 0
    return (ClassTokenViT(cast(ViT, model)) if short else model).eval()


def first_token(block: Block, x: Tensor) -> Tensor:
    """What `block` makes of the first token, (B, T, D) → (B, 1, D)."""
    attention = block.attention
    b, t, width = x.shape
    shape = (attention.heads, width // attention.heads)
    normed = block.norm1(x)
    weight, bias = attention.qkv.weight, attention.qkv.bias
    q = F.linear(normed[:, :1], weight[:width], bias[:width]).reshape(b, 1, *shape).transpose(1, 2)  # (B, h, 1, d)
    kv = F.linear(normed, weight[width:], bias[width:]).reshape(b, t, 2, *shape)
    k, v = kv.permute(2, 0, 3, 1, 4).unbind(0)  # (B, h, T, d) each
    z = x[:, :1] + block.scale1(attention.out(attend(q, k, v).transpose(1, 2).reshape(b, 1, width)))
    return z + block.scale2(block.mlp(block.norm2(z)))
