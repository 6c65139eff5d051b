"""The Vision Transformer of Section 3, and with a convolutional stem the hybrid."""

from __future__ import annotations

from torch import Tensor, nn

from vitascope.errors import ConfigError
from vitascope.layers.embedding import Embedding
from vitascope.layers.encoder import Encoder
from vitascope.layers.head import Head, pool
from vitascope.layers.patches import Patches, patch_grid
from vitascope.models.config import ViTConfig
from vitascope.models.stem import Stem


class ViT(nn.Module):
    """Images (B, C, H, W) → logits (B, K); H and W any multiples of the patch, square or not."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        c = config
        self.config = c
        self.stem = Stem(c.stem, c.channels) if c.stem else None
        self.patches = Patches(c.stem.channels if c.stem else c.channels, c.patch, c.width)
        self.embedding = Embedding(
            c.width,
            c.grid,
            class_token=c.class_token,
            registers=c.registers,
            positions=c.positions,
            class_row=c.has_class_row,
            dropout=c.dropout,
        )
        self.encoder = Encoder(
            c.depth,
            c.width,
            c.heads,
            c.hidden,
            gelu=c.gelu,
            norm_eps=c.norm_eps,
            layer_scale=c.layer_scale,
            dropout=c.dropout,
            stochastic_depth=c.stochastic_depth,
            final_norm=c.norm == "tokens",
        )
        self.head = Head(
            c.pooled,
            c.classes,
            norm_eps=c.norm_eps if c.norm == "pooled" else None,
            representation_size=c.representation_size,
            representation_activation=c.representation_activation,
            gelu=c.gelu,
        )

    def tokens(self, images: Tensor) -> Tensor:
        """Encoder output after its final LayerNorm, (B, C, H, W) → (B, T, D): class token, registers, patches.

        Where the LayerNorm comes after the pooling (`norm="pooled"`) the tokens are those before it.
        """
        return self.encoder(self.embedded(images))  # Equations 2 and 3

    def embedded(self, images: Tensor) -> Tensor:
        """What the encoder sees, z0 of Equation 1, (B, C, H, W) → (B, T, D)."""
        grid = self._grid(images)
        x = images if self.stem is None else self.stem(images)  # (B, C, H, W)
        x = self.patches(x)  # (B, N, D)
        return self.embedding(x, grid)  # (B, T, D)

    def features(self, images: Tensor) -> Tensor:
        """What the last linear layer sees, (B, C, H, W) → (B, D')."""
        # In training nothing is computed that the head does not read. In evaluation all is: someone may be looking.
        first = 1 if self.training and self.config.pooling == "token" else None
        tokens = self.encoder(self.embedded(images), first)
        return self.head.features(pool(tokens, self.config.prefix, self.config.pooling))  # Equation 4

    def forward(self, images: Tensor) -> Tensor:
        x = self.features(images)  # (B, D')
        return x if self.head.linear is None else self.head.linear(x)

    def _grid(self, images: Tensor) -> tuple[int, int]:
        if images.ndim != 4 or images.shape[1] != self.config.channels:
            raise ConfigError(
                f"images of shape {tuple(images.shape)}, expected (batch, {self.config.channels}, height, width)"
            )
        return patch_grid((images.shape[2], images.shape[3]), self.config.pixels_per_token)
