"""What of an image is hidden from a model in pre-training without labels, and what it has to say of it; free of torch.

The paper's masked patch prediction (Section 4.6, Appendix B.1.2), and the masked autoencoder (He et al., 2021).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from vitascope.errors import ConfigError
from vitascope.fields import Count, Range, check_fields, refuse_idle
from vitascope.layers.config import ViTConfig

LEVELS = 8
"""Of a channel's brightness in the paper's colours: 3 bits (B.1.2)."""
CELLS = 4
"""Rows and columns of a patch's reduction, of which each is a colour (B.1.2)."""
HEAD_WIDTH = 32
"""Channels of each of the decoder's attention heads, as many as in the autoencoder's own."""


@dataclass(frozen=True, kw_only=True)
class MaskedConfig:
    """Masked images. Raises ConfigError for values out of range, and for those that the others leave without effect."""

    autoencoder: bool = True
    """The encoder sees the visible patches alone, and a light decoder says what the others hold (arXiv 2111.06377):
    several times less work. false: it sees all, some of them replaced, and says it itself (B.1.2)."""
    share: Annotated[float, Range(0.01, 0.99)] | None = None
    """Share of each image's patches that has to be said; none: 0.75 for the autoencoder, 0.5 as in B.1.2 else."""
    target: Literal["normalised", "pixels", "colour", "colours"] = "normalised"
    """What: the pixels, each patch's less their mean and over their deviation; the pixels as they are; the patch's mean
    colour in 3 bits a channel; or 16 such colours, of its 4×4 reduction."""
    decoder_width: Annotated[int, Range(HEAD_WIDTH)] | None = None
    """Width of the autoencoder's decoder, a multiple of 32; none: about half the model's."""
    decoder_depth: Count = 1
    """Blocks of the autoencoder's decoder."""

    def __post_init__(self) -> None:
        check_fields(self)
        if self.decoder_width is not None and self.decoder_width % HEAD_WIDTH:
            raise ConfigError(f"decoder_width is {self.decoder_width}, expected a multiple of {HEAD_WIDTH}")
        if not self.autoencoder:
            refuse_idle(self, "there is no decoder but the autoencoder's", "decoder_width", "decoder_depth")

    @property
    def hidden_share(self) -> float:
        """Share of the patches that are predicted."""
        return self.share or (0.75 if self.autoencoder else 0.5)

    @property
    def tells_classes(self) -> bool:
        """Whether colours are told apart, rather than values approached."""
        return self.target in ("colour", "colours")

    def hidden(self, patches: int) -> int:
        """How many of so many patches are predicted: at least one, never all. Raises ConfigError for a single one."""
        if patches < 2:
            raise ConfigError("an image of one patch has none to hide beside others; choose a smaller patch")
        return min(max(round(self.hidden_share * patches), 1), patches - 1)

    def outputs(self, c: ViTConfig) -> int:
        """How many numbers are said of a patch. Raises ConfigError for one that cannot be reduced to 4×4."""
        if c.places_patches:
            told = "masked patches are for positions that are added once"
            raise ConfigError(f'{told}, before the first block, not for "{c.positions}" ones')
        if self.target == "colours" and c.patch % CELLS:
            raise ConfigError(f'target "colours" needs a patch of a multiple of {CELLS} pixels, not {c.patch}')
        if not self.tells_classes:
            return int(c.patch**2 * c.channels)
        if c.channels > 3:
            raise ConfigError(f'target "{self.target}" is for 1 to 3 channels, not {c.channels}; choose "pixels"')
        return int(LEVELS**c.channels * (CELLS**2 if self.target == "colours" else 1))

    def decoder(self, c: ViTConfig) -> ViTConfig:
        """The autoencoder's decoder for an encoder of config `c`."""
        width = self.decoder_width or max(c.width // 2 // HEAD_WIDTH, 1) * HEAD_WIDTH
        return ViTConfig(
            image_size=c.image_size,
            channels=c.channels,
            patch=c.patch,
            width=width,
            depth=self.decoder_depth,
            heads=width // HEAD_WIDTH,
            head_width=None,
            hidden=4 * width,
            patch_norms=False,
            classes=0,
            class_token=False,
            pooling="mean",
            positions="sincos",
            gelu=c.gelu,
            norm_eps=c.norm_eps,
        )
