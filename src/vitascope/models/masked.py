"""A ViT without its head, and what it takes to learn from images of which a part is hidden (Section 4.6, B.1.2).

Both models are made around the parts of a ViT, which they train, under the names these have there; what else they hold
ends with the training. Shapes: B batch, N patches, of them m hidden and n seen, T tokens, D width, d the decoder's.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vitascope.layers.config import ViTConfig
from vitascope.layers.embedding import taken
from vitascope.layers.encoder import Encoder
from vitascope.layers.patches import check_images, patch_grid
from vitascope.layers.position import Positions
from vitascope.models.masked_config import MaskedConfig
from vitascope.models.vit import ViT


class MaskedPatches(nn.Module):
    """Masked patch prediction (B.1.2): (B, C, H, W) → what is said of each hidden patch, from its own token, (B, m, ·).

    `hidden` (B, m) are places of patches. `shown` (B, N) is the place of the patch whose embedding stands in each place
    before positions are added, N for the learned [mask] embedding.
    """

    def __init__(self, vit: ViT, masked: MaskedConfig) -> None:
        super().__init__()
        self.config = vit.config
        self.patches, self.embedding, self.encoder = vit.patches, vit.embedding, vit.encoder
        self.mask = nn.Parameter(torch.zeros(1, 1, vit.config.width))
        self.prediction = nn.Linear(vit.config.width, masked.outputs(vit.config))

    def forward(self, images: Tensor, hidden: Tensor, shown: Tensor, *, recompute: bool = False) -> Tensor:
        grid = _grid(images, self.config)
        x = self.patches(images)  # (B, N, D)
        x = taken(torch.cat([x, self.mask.expand(len(x), -1, -1).to(x.dtype)], dim=1), shown)  # (B, N, D)
        z = self.encoder(self.embedding(x, grid), None, recompute)[:, self.config.prefix :]  # (B, N, D)
        return self.prediction(taken(z, hidden))


class MaskedAutoencoder(nn.Module):
    """The encoder sees the visible patches alone (arXiv 2111.06377): (B, C, H, W) → what is said of each hidden patch.

    `hidden` (B, m) and `shown` (B, n) are places of patches, each in one of them.
    """

    def __init__(self, vit: ViT, masked: MaskedConfig) -> None:
        super().__init__()
        self.config = vit.config
        self.patches, self.embedding, self.encoder = vit.patches, vit.embedding, vit.encoder
        self.decoder = Decoder(masked.decoder(vit.config), vit.config, masked.outputs(vit.config))

    def forward(self, images: Tensor, hidden: Tensor, shown: Tensor, *, recompute: bool = False) -> Tensor:
        grid = _grid(images, self.config)
        z = self.embedding(self.patches(images), grid, seen=shown)  # (B, T, D) of the visible patches
        return self.decoder(self.encoder(z, None, recompute), hidden, shown, grid, recompute)


class Decoder(nn.Module):
    """Tokens of the visible patches (B, T, D) → what is said of each hidden patch (B, m, outputs).

    A learned token stands for each hidden patch. Positions are fixed, sine and cosine. Tokens before the patches take
    part without one.
    """

    def __init__(self, c: ViTConfig, encoder: ViTConfig, outputs: int) -> None:
        super().__init__()
        self.prefix = encoder.prefix
        self.inward = nn.Linear(encoder.width, c.width)
        self.mask = nn.Parameter(torch.zeros(1, 1, c.width))
        self.positions = Positions(c)
        self.encoder = Encoder(c)
        self.prediction = nn.Linear(c.width, outputs)

    def forward(
        self, z: Tensor, hidden: Tensor, shown: Tensor, grid: tuple[int, int], recompute: bool = False
    ) -> Tensor:
        x = self.inward(z)  # (B, T, d)
        table = self.positions(grid).to(x.device)[0]  # (N, d)
        told = x[:, self.prefix :] + table[shown]
        # What is asked for stands first, so that the last block computes nothing else.
        x = torch.cat([self.mask + table[hidden], told, x[:, : self.prefix]], dim=1)  # (B, m + T, d)
        return self.prediction(self.encoder(x, hidden.shape[1], recompute))


Masked = MaskedPatches | MaskedAutoencoder
"""What is trained around a ViT where a part of the images is hidden."""


def masked_model(vit: ViT, masked: MaskedConfig) -> Masked:
    """What is trained around `vit`, whose parts it shares; `initialise_masked` gives its own weights their values."""
    with torch.random.fork_rng([]):  # modules draw values as they are made, from what is the caller's
        return MaskedAutoencoder(vit, masked) if masked.autoencoder else MaskedPatches(vit, masked)


def _grid(images: Tensor, c: ViTConfig) -> tuple[int, int]:
    check_images(images, c.channels)
    return patch_grid((images.shape[2], images.shape[3]), c.patch)
