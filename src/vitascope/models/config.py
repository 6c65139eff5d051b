"""The architectures: ViT with its hybrids, whose config the layers share, and the ResNet baseline; to JSON and back."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Annotated, Any, TypeVar

from vitascope.errors import ConfigError
from vitascope.fields import Probability, Range, Side, Units, check_fields
from vitascope.layers.config import (
    MOST_WEIGHTS,
    Channels,
    Classes,
    Size,
    Start,
    StemConfig,
    ViTConfig,
    check_groups,
    check_weights,
)
from vitascope.wording import meant

__all__ = ["MOST_WEIGHTS", "BiTConfig", "ModelConfig", "Size", "StemConfig", "ViTConfig"]

Config = TypeVar("Config")


@dataclass(frozen=True, kw_only=True)
class BiTConfig:
    """A BiT-ResNet, the paper's baseline: pre-activation, GroupNorm, standardised kernels (`bit_pytorch/models.py`)."""

    image_size: tuple[Side, Side] = (224, 224)
    """Height and width in pixels it is trained at; it accepts any size of 32 and more."""
    channels: Channels = 3
    """Channels of the image."""
    units: Units = (3, 4, 6, 3)
    """Bottleneck units in each stage; four stages in all published models."""
    width_factor: Annotated[int, Range(1, 64)] = 1
    """Multiplies all channels (the x1…x4 of the names)."""
    base_width: Annotated[int, Range(1, 4096)] = 64
    """Channels of the root before the factor; 64 in all published models, less for small studies."""
    small_images: bool = False
    """A 3×3 root of stride 1 without pooling instead of 7×7 and pooling: the usual change for 32-pixel images."""
    kernel_eps: Probability = 1e-10
    """Kernels are divided by √(variance + `kernel_eps`); 1e-8 in timm."""
    classes: Classes = 1000
    """K; 0 for no head, when the model returns its features."""
    head_bias: Start = 0.0
    """Initial bias of the last layer."""

    def __post_init__(self) -> None:
        check_fields(self)
        if not self.units:
            raise ConfigError("units is (), expected the number of units in each stage, at least one")
        check_groups("base_width × width_factor", self.root_channels)
        check_weights(self.classes * self.features, self.units, self.root_channels)

    @property
    def root_channels(self) -> int:
        """Channels after the root."""
        return self.base_width * self.width_factor

    @property
    def features(self) -> int:
        """D', the size of what the last linear layer sees."""
        return self.root_channels * 4 * 2 ** (len(self.units) - 1)

    @property
    def pixels_per_token(self) -> int:
        """Image pixels per cell of the last feature map."""
        return (1 if self.small_images else 4) * 2 ** (len(self.units) - 1)


ModelConfig = ViTConfig | BiTConfig
ARCHITECTURES: dict[str, type[ViTConfig] | type[BiTConfig]] = {"vit": ViTConfig, "bit": BiTConfig}


def config_to_dict(config: ModelConfig) -> dict[str, Any]:
    """JSON-able form, with "architecture" first; `config_from_dict` reads it back exactly."""
    name = next(name for name, kind in ARCHITECTURES.items() if type(config) is kind)
    return {"architecture": name, **asdict(config)}


def config_from_dict(values: dict[str, Any]) -> ModelConfig:
    """The config that `config_to_dict` wrote; raises `ConfigError` naming what is unknown."""
    kind = values.get("architecture")
    if kind not in ARCHITECTURES:
        raise ConfigError(f"architecture is {kind!r}, expected one of {', '.join(ARCHITECTURES)}")
    return make_config(ARCHITECTURES[kind], {name: value for name, value in values.items() if name != "architecture"})


def make_config(kind: type[Config], values: dict[str, Any]) -> Config:
    """`kind(**values)` with every name checked, JSON's lists made tuples and a stem's fields a stem."""
    known = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    for name in values:
        if name not in known:
            raise ConfigError(f"{kind.__name__} has no field {name!r}; {meant(name, known)}")
    made: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    if isinstance(made.get("stem"), dict):
        made["stem"] = make_config(StemConfig, made["stem"])
    return kind(**made)
