"""The Vision Transformer of Section 3, and with a convolutional stem the hybrid."""

from __future__ import annotations

from torch import Tensor, nn

from vitascope.errors import ConfigError
from vitascope.layers.embedding import Embedding
from vitascope.layers.encoder import Encoder
from vitascope.layers.head import Head
from vitascope.layers.patches import NormedPatches, Patches, check_images, patch_grid
from vitascope.layers.position import Places, over_tokens
from vitascope.layers.rotary import Rotary
from vitascope.models.config import ViTConfig
from vitascope.models.stem import Stem


class ViT(nn.Module):
    """Images (B, C, H, W) → logits (B, K); H and W any multiples of the patch, square or not.

    Two arguments are for training: `drop_tokens` is the share of each image's patches that is left out, others each
    time; `recompute` keeps only each block's input and computes the rest again in the backward pass.
    """

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.config = config
        self.stem = Stem(config.stem, config.channels) if config.stem else None
        self.patches = NormedPatches(config) if config.patch_norms else Patches(config)
        self.embedding = Embedding(config)
        self.rotary = Rotary(config) if config.positions == "rotary" else None
        self.encoder = Encoder(config)
        self.head = Head(config)

    def forward(self, images: Tensor, *, drop_tokens: float = 0.0, recompute: bool = False) -> Tensor:
        z = self.embedded(images, drop_tokens=drop_tokens, recompute=recompute)  # Equation 1
        z = self.encoder(z, self._needed(), recompute, self.places(images))  # Equations 2 and 3
        return self.head(z)  # Equation 4

    def features(self, images: Tensor) -> Tensor:
        """What the last linear layer sees, (B, C, H, W) → (B, D')."""
        return self.head.features(self.encoded(images, self._needed()))

    def tokens(self, images: Tensor) -> Tensor:
        """Encoder output after its final LayerNorm, (B, C, H, W) → (B, T, D): class token, registers, patches.

        Where the LayerNorm comes after the pooling (`norm="pooled"`) the tokens are those before it.
        """
        return self.encoded(images)

    def encoded(self, images: Tensor, first: int | None = None) -> Tensor:
        """The first tokens alone of `tokens`, or all, (B, C, H, W) → (B, first, D)."""
        return self.encoder(self.embedded(images), first, places=self.places(images))

    def embedded(self, images: Tensor, *, drop_tokens: float = 0.0, recompute: bool = False) -> Tensor:
        """What the encoder sees, z0 of Equation 1, (B, C, H, W) → (B, T, D)."""
        check_images(images, self.config.channels)
        if drop_tokens and self.config.places_patches:
            told = f'drop_tokens leaves out patches by which "{self.config.positions}" positions count: leave it at 0'
            raise ConfigError(told)
        grid = patch_grid((images.shape[2], images.shape[3]), self.config.pixels_per_token)
        x = images if self.stem is None else self.stem(images, recompute=recompute)  # (B, C, H, W)
        return self.embedding(self.patches(x), grid, drop_tokens)

    def places(self, images: Tensor) -> Places | None:
        """What blocks are told of where tokens stand; None where the embedding has added all there is."""
        if not self.config.places_patches:
            return None
        grid = patch_grid((images.shape[2], images.shape[3]), self.config.pixels_per_token)
        if self.rotary is not None:
            return Places(grid, turns=self.rotary(grid).to(images.device))
        stem = self.embedding.positions
        if self.config.again and not self.config.anew and stem is not None:
            shared = over_tokens(stem(grid).to(images.device), stem.class_row, self.config.prefix)
            return Places(grid, shared=shared)
        return Places(grid)

    def _needed(self) -> int | None:
        # In training nothing is computed that the head does not read. In evaluation all is: someone may be looking.
        return self.config.first_read if self.training else None
