"""Which part of a model learns when it is fine-tuned: all of it, the head, its last blocks, or factors of low rank.

Free of torch, so that a command line can read it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from vitascope.errors import ConfigError
from vitascope.models.catalogue import empty_model
from vitascope.models.config import ModelConfig, ViTConfig
from vitascope.wording import count

BLOCK = re.compile(r"(?:encoder\.blocks|stages)\.(\d+)\.")
"""A block of the encoder, or a stage of a ResNet."""
FACTORED = ("attention.qkv", "attention.out", "mlp.gate", "mlp.fc1", "mlp.fc2")
"""A block's kernels that get factors; only some have a gate."""
DOWN, UP = "down", "up"
"""A and B of a kernel's factors, by the names of their modules."""


def layer_of(name: str, depth: int) -> int:
    """0 for everything before the blocks, i + 1 for block (or ResNet stage) i, depth + 1 for norm, head and decoder."""
    if block := BLOCK.match(name):
        return int(block[1]) + 1
    return depth + 1 if name.startswith(("encoder.", "head.", "norm.", "decoder.")) else 0


def depth_of(config: ModelConfig) -> int:
    """Blocks of a Transformer, stages of a ResNet."""
    return config.depth if isinstance(config, ViTConfig) else len(config.units)


@dataclass(frozen=True)
class Learned:
    """What learns; everything else stays as it is, to the bit."""

    part: Literal["all", "head", "last", "lora"] = "all"
    number: int = 0
    """Of "last" the blocks, or stages of a ResNet, that learn with final norm and head; of "lora" the rank."""

    def check(self, config: ModelConfig) -> None:
        """Raises `ConfigError` where a model of this config has no such part."""
        vit = isinstance(config, ViTConfig)
        if self.part == "last" and self.number > (depth := depth_of(config)):
            there = count(depth, "block" if vit else "stage")
            raise ConfigError(f"train is last:{self.number}, but the model has {there}; give last:1 to last:{depth}")
        if self.part == "lora" and not isinstance(config, ViTConfig):
            raise ConfigError(
                f"train is lora:{self.number}, but the model is a ResNet, which has no attention to add factors to; "
                "give --train last:1 or head"
            )
        if self.part == "lora" and isinstance(config, ViTConfig):
            least = min(config.width, config.inner, config.hidden)
            if self.number >= least:
                raise ConfigError(f"train is lora:{self.number}, expected a rank below {least}, that of its kernels")

    def first_layer(self, depth: int) -> int:
        """The first layer, by `layer_of`, that gradients come to; those before compute as in evaluation."""
        return {"all": 0, "lora": 1, "last": depth + 1 - self.number, "head": depth + 1}[self.part]

    def holds(self, name: str, depth: int) -> bool:
        """Whether the parameter of this name learns."""
        if self.part == "lora":
            return name.startswith("head.linear.") or name.rpartition(".")[0].endswith((f".{DOWN}", f".{UP}"))
        return (
            name.startswith("head.linear.") if self.part == "head" else layer_of(name, depth) >= self.first_layer(depth)
        )

    def blocks(self, depth: int) -> int:
        """How many blocks gradients pass through."""
        return depth + 1 - max(self.first_layer(depth), 1)

    def parameters(self, config: ModelConfig) -> int:
        """How many values learn."""
        held = {
            name: p.numel() for name, p in empty_model(config).named_parameters() if self.holds(name, depth_of(config))
        }
        return sum(held.values()) + self.factors(config)

    def factors(self, config: ModelConfig) -> int:
        """How many values all factors have."""
        if self.part != "lora" or not isinstance(config, ViTConfig):
            return 0
        mlp = (3 if config.gated_mlp else 2) * (config.width + config.hidden)
        return config.depth * self.number * (2 * config.width + 4 * config.inner + mlp)

    def passes(self, config: ModelConfig) -> float:
        """What a training step costs, in forward passes: one more for gradients of kernels, one for those of inputs."""
        depth = depth_of(config)
        return {"all": 3.0, "lora": 2.0, "last": 1 + 2 * self.number / depth, "head": 1.0}[self.part]


ALL = Learned()


def learned(text: str) -> Learned:
    """ "all", "head", "last:2" or "lora:8" → `Learned`; raises `ConfigError` for anything else."""
    match = re.fullmatch(r"(all|head)|(last|lora):([1-9]\d{0,3})", str(text))
    if match is None:
        raise ConfigError(
            f"train is {str(text)[:40]!r}, expected all, head, last:N or lora:R, such as last:2 or lora:8"
        )
    if match[1]:
        return Learned("head") if match[1] == "head" else ALL
    return Learned("last" if match[2] == "last" else "lora", int(match[3]))
