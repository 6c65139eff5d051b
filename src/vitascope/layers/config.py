"""What defines a Vision Transformer: one frozen dataclass that every layer is made from.

Free of torch, so that a command line can read it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from vitascope.errors import ConfigError
from vitascope.fields import Probability, Range, Side, Units, check_fields

Size = tuple[int, int]

MOST_WEIGHTS = 1 << 33
"""Of one model: ten times a ViT-H. More is taken for a slip, before memory or time are."""
Channels = Annotated[int, Range(1, 1024)]
Classes = Annotated[int, Range(0, 1 << 24)]
Start = Annotated[float, Range(-(10**6), 10**6)]
Pooling = Literal["token", "mean", "token+mean", "token+distillation", "attention"]
Width = Annotated[int, Range(1, 1 << 20)]


@dataclass(frozen=True, kw_only=True)
class StemConfig:
    """The ResNet in front of a hybrid (Section 3.1, "Hybrid Architecture"; `models_resnet.py`)."""

    units: Units = ()
    """Bottleneck units per stage; empty: the root alone (7×7 convolution and pooling), as in R+ViT-Ti/16."""
    width_factor: Annotated[float, Range(0.5, 64)] = 1.0
    """Multiplies the 64 channels of the root and everything after it."""
    small_images: bool = False
    """A 3×3 root of stride 1 without pooling, as a BiT-ResNet may have."""
    norm_eps: Probability = 1e-6
    """Added to the variance in every GroupNorm; 1e-5 in timm."""
    kernel_rule: Literal["std", "variance"] = "std"
    """Kernels are divided by their deviation + `kernel_eps` (the official code) or by √(variance + `kernel_eps`)
    (timm)."""
    kernel_eps: Probability = 1e-5
    """Of that division; 1e-8 in timm."""

    def __post_init__(self) -> None:
        check_fields(self)
        check_groups("64 × width_factor", 64 * self.width_factor)

    @property
    def root_channels(self) -> int:
        """Channels after the root."""
        return int(64 * self.width_factor)

    @property
    def channels(self) -> int:
        """Channels of the feature map that the Transformer sees."""
        return self.root_channels * (4 * 2 ** (len(self.units) - 1) if self.units else 1)

    @property
    def stride(self) -> int:
        """Image pixels per step of the feature map: 4 after the root, or 1; doubled by each stage but the first."""
        return (1 if self.small_images else 4) * 2 ** max(len(self.units) - 1, 0)


@dataclass(frozen=True, kw_only=True)
class ViTConfig:
    """Every choice of a Vision Transformer; defaults are the paper's published model with its linear head."""

    image_size: tuple[Side, Side] = (224, 224)
    """Height and width in pixels that the stored positions are for; other sizes work at call time."""
    channels: Channels = 3
    """Channels of the image."""
    patch: Side = 16
    """Patch side P; pixels, or cells of the stem's feature map in a hybrid."""
    width: Width = 768
    """D, the size of a token."""
    depth: Annotated[int, Range(1, 1024)] = 12
    """L, the number of blocks."""
    heads: Width = 12
    """Attention heads."""
    hidden: Width = 3072
    """M, the hidden size of the MLPs."""
    gated_mlp: bool = False
    """The blocks' MLPs are SwiGLU, of three matrices, without GELU (DINOv3's S+, H+ and 7B)."""
    head_width: Width | None = None
    """d, the channels of a head; None: D/heads, as in the paper."""
    qkv_bias: bool = True
    """Biases on queries, keys and values, as in all of the paper's models; some later ones have none."""
    classes: Classes = 1000
    """K; 0 for no head, when the model returns its features."""
    stem: StemConfig | None = None
    """The convolutional stem of a hybrid; None for a pure ViT."""
    patch_norms: bool = False
    """LayerNorms over the pixels of each patch before E, and over its token after it (vit-pytorch)."""
    class_token: bool = True
    """Prepend a learned class token."""
    registers: Annotated[int, Range(0, 1 << 16)] = 0
    """Extra learned tokens without positions (Darcet et al., 2024); the first may be DeiT's distillation token."""
    pooling: Pooling = "token"
    """What the head sees: the class token (Equation 4), the mean of the patches, the token and the mean side by side,
    the class and the distillation token (Touvron et al., 2021) side by side, whose two heads' mean is one layer, or
    what a learned query gathers from the patches by attention (SigLIP)."""
    positions: Literal[
        "learned", "learned-layers", "learned-shared", "learned2d", "learned2d-layers", "learned2d-shared", "relative",
        "sincos", "rotary", "none",
    ] = "learned"  # fmt: skip
    """Learned 1-D positions (the paper), fixed 2-D sine-cosine, rotary on queries and keys (DINOv3), or none. Of Table
    8 also 2-D ones of two tables, of X and of Y; either added to the input of every block, anew for each (-layers) or
    the same (-shared); and 1-D relative ones in every block."""
    class_row: bool = True
    """The position table has a row for the class token, as the paper's has; ignored without a class token."""
    norm_before: bool = False
    """A LayerNorm of all tokens before the first block, and patches projected without a bias (CLIP)."""
    norm: Literal["tokens", "pooled"] = "tokens"
    """The final LayerNorm is applied to all tokens (the paper) or after pooling (timm's `fc_norm`)."""
    representation_size: Width | None = None
    """Width of the hidden layer of the pre-training head (Section 3.1); None: one linear layer."""
    representation_activation: Literal["gelu", "tanh", "none"] = "gelu"
    """Its nonlinearity: GELU in new models, tanh in the official code and its files, "none" for a projection without
    bias (CLIP)."""
    gelu: Literal["tanh", "erf", "quick"] = "tanh"
    """GELU by its tanh approximation (flax, hence all Google files), exactly (timm, Hugging Face, torchvision), or the
    quick one of OpenAI's CLIP, x σ(1.702 x)."""
    norm_eps: Probability = 1e-6
    """Added to the variance in every LayerNorm."""
    layer_scale: Start | None = None
    """Initial factor per channel on both residual branches (DeiT III, DINOv2); None: no such layer."""
    dropout: Probability = 0.0
    """After the positions, the attention's output and both layers of the MLPs (`models_vit.py`)."""
    stochastic_depth: Probability = 0.0
    """Probability of dropping the last block's branches in training; grows linearly from 0 at the first."""
    head_bias: Start = 0.0
    """Initial bias of the last layer; −10 with a sigmoid loss over many classes (`head_bias_init`)."""

    def __post_init__(self) -> None:
        check_fields(self)
        if self.head_width is None and self.width % self.heads:
            raise ConfigError(
                f"width {self.width} is not divisible by heads {self.heads}: choose another heads or width"
            )
        if self.positions == "sincos" and (self.width % 4 or self.width < 8):
            raise ConfigError(f"width {self.width} with sine-cosine positions must be a multiple of 4, at least 8")
        if self.positions.startswith("learned2d") and self.width % 2:
            raise ConfigError(f"width {self.width} with two tables of positions must be even, half for each")
        if self.positions == "rotary" and self.inner // self.heads % 4:
            raise ConfigError(f"heads of {self.inner // self.heads} with rotary positions must be a multiple of 4 wide")
        if self.reads_class_token and not self.class_token:
            raise ConfigError(f'pooling "{self.pooling}" needs class_token=True; use pooling="mean"')
        if self.pooling == "token+distillation" and not self.registers:
            raise ConfigError('pooling "token+distillation" needs registers=1, the distillation token')
        step = self.pixels_per_token
        if any(side % step for side in self.image_size):
            h, w = self.image_size
            raise ConfigError(
                f"image_size {h}×{w} is not divisible by {step} pixels per token: change image_size or patch"
            )
        ends = self.width * (self.patch**2 * (self.stem.channels if self.stem else self.channels) + self.tokens)
        stem = (self.stem.units, self.stem.root_channels) if self.stem else ()
        further = self.tokens * (2 * self.inner if self.positions == "relative" else self.width * self.anew)
        check_weights(self.depth * (self.kernels + further) + ends + self.classes * self.features, *stem)

    @property
    def inner(self) -> int:
        """h · d, the size of all heads side by side; the width, unless `head_width` says otherwise."""
        return self.heads * (self.head_width or self.width // self.heads)

    @property
    def kernels(self) -> int:
        """Weights of the matrices of one block."""
        return self.width * (4 * self.inner + (3 if self.gated_mlp else 2) * self.hidden)

    @property
    def pixels_per_token(self) -> int:
        """Image pixels from one patch to the next; for a hybrid the stem's stride times the patch."""
        return self.patch * (self.stem.stride if self.stem else 1)

    @property
    def grid(self) -> Size:
        """Rows and columns of patches that the stored positions are for."""
        return self.image_size[0] // self.pixels_per_token, self.image_size[1] // self.pixels_per_token

    @property
    def tokens(self) -> int:
        """T at the stored grid: class token, registers and patches."""
        return self.prefix + self.grid[0] * self.grid[1]

    @property
    def prefix(self) -> int:
        """Tokens before the patches."""
        return int(self.class_token) + self.registers

    @property
    def has_class_row(self) -> bool:
        """Whether the position table really starts with a row for the class token."""
        return self.class_token and self.class_row and self.has_table

    @property
    def has_table(self) -> bool:
        """Whether positions are added to the patches, from a table."""
        return self.positions == "sincos" or self.positions.startswith("learned")

    @property
    def learns_table(self) -> bool:
        """Whether that is one learned table."""
        return self.has_table and self.positions != "sincos" and not self.positions.startswith("learned2d")

    @property
    def anew(self) -> bool:
        """Whether every block after the first adds positions of its own to its input."""
        return self.positions.endswith("-layers")

    @property
    def again(self) -> bool:
        """Whether every block after the first adds positions to its input, its own or the embedding's."""
        return self.anew or self.positions.endswith("-shared")

    @property
    def places_patches(self) -> bool:
        """Whether blocks must know where each token stands, so that none can be left out or moved."""
        return self.again or self.positions in ("rotary", "relative")

    @property
    def first_read(self) -> int | None:
        """How many tokens the head reads, from the first; None where it reads the patches."""
        return {"token": 1, "token+distillation": 2}.get(self.pooling)

    @property
    def reads_class_token(self) -> bool:
        """Whether the head reads the class token, rather than the mean of the patches alone."""
        return "token" in self.pooling

    @property
    def pooled(self) -> int:
        """Size of what pooling hands to the head."""
        return self.width * (2 if "+" in self.pooling else 1)

    @property
    def features(self) -> int:
        """D', the size of what the last linear layer sees."""
        return self.representation_size or self.pooled


def check_groups(name: str, channels: float) -> None:
    """Raises `ConfigError` for channels that GroupNorm cannot part."""
    if channels % 32:
        raise ConfigError(f"{name} is {channels:g}, expected a multiple of 32, the number of groups in GroupNorm")


def check_weights(others: int, units: Units = (), root_channels: int = 0) -> None:
    """Raises `ConfigError` for a model of more than `MOST_WEIGHTS`: a ResNet of these units, and `others`."""
    count = others + sum(17 * number * (root_channels << stage) ** 2 for stage, number in enumerate(units))
    if count > MOST_WEIGHTS:
        raise ConfigError(f"a model of {count:.2g} weights, expected at most {MOST_WEIGHTS:.2g}: check its sizes")
