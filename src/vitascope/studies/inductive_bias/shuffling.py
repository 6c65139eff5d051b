"""What is left when the image's pieces are put in another order: of the image, and of the tokens with their positions.

Pieces of the image in random order leave local texture and take away the arrangement. Tokens in random order, each
with its position, tell something else: whether anything after the embedding knows what is beside what.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from vitascope.errors import ConfigError
from vitascope.models.vit import ViT
from vitascope.streams import Stream, generator


def order(pieces: int, seed: int, index: int) -> Tensor:
    """A random order of so many pieces, int64, the same for every model: by seed and number of the image."""
    return torch.from_numpy(generator(Stream.PIECES, seed, index).permutation(pieces))


def shuffled(images: Tensor, cell: int, seed: int, first: int = 0) -> Tensor:
    """(B, C, H, W) images cut into squares of `cell` pixels, which are put back in random order.

    What does not fill a square at the right and the bottom stays. `first` is the number of the first image. Raises
    `ConfigError` where there are no two squares.
    """
    rows, columns = images.shape[2] // cell, images.shape[3] // cell
    if rows * columns < 2:
        size = f"{images.shape[2]}×{images.shape[3]}"
        raise ConfigError(f"images of {size} pixels have no two cells of {cell} to shuffle; choose a smaller cell")
    height, width = rows * cell, columns * cell
    pieces = images[..., :height, :width].reshape(*images.shape[:2], rows, cell, columns, cell)
    pieces = pieces.permute(0, 2, 4, 1, 3, 5).flatten(1, 2)  # (B, N, C, cell, cell)
    pieces = torch.stack([p[order(len(p), seed, first + i).to(p.device)] for i, p in enumerate(pieces)])
    back = pieces.reshape(len(pieces), rows, columns, -1, cell, cell).permute(0, 3, 1, 4, 2, 5)
    result = images.clone()
    result[..., :height, :width] = back.reshape(*images.shape[:2], height, width)
    return result


def features_of_reordered_tokens(model: ViT, images: Tensor, seed: int, first: int = 0) -> Tensor:
    """Features of (B, C, H, W) images, (B, D'), with the patch tokens reordered after they got their positions."""
    prefix = model.config.prefix

    def reorder(module: nn.Module, given: tuple[Any, ...], tokens: Tensor) -> Tensor:
        patches = tokens[:, prefix:]
        orders = torch.stack([order(patches.shape[1], seed, first + i) for i in range(len(patches))])
        moved = patches.gather(1, orders.to(patches.device)[..., None].expand_as(patches))
        return torch.cat([tokens[:, :prefix], moved], dim=1)

    hook = model.embedding.register_forward_hook(reorder)
    try:
        return model.features(images)
    finally:
        hook.remove()
