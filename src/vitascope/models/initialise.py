"""All initial values in one place (`models_vit.py`, `models_resnet.py`, `bit_pytorch/models.py`)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import cast

import torch
from torch import Tensor, nn

from vitascope.errors import ConfigError
from vitascope.layers.attention_pooling import AttentionPooling
from vitascope.layers.convolution import StdConv2d
from vitascope.layers.encoder import Block, LayerScale
from vitascope.layers.gated_mlp import GatedMlp
from vitascope.layers.position import Positions, Positions2d
from vitascope.layers.relative import Relative
from vitascope.models.bit import BiT
from vitascope.models.masked import Masked, MaskedAutoencoder
from vitascope.models.stem import Unit as StemUnit
from vitascope.models.vit import ViT

# flax draws from a normal cut off at two standard deviations and divides by what the cut leaves of the spread.
_TRUNCATED_STD = 0.87962566103423978


@torch.no_grad()
def initialise(model: ViT | BiT, generator: torch.Generator | None = None) -> None:
    """Writes the official initial values into every parameter; `generator` None takes torch's own."""
    for module in model.modules():
        if isinstance(module, nn.LayerNorm | nn.GroupNorm):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
        elif isinstance(module, LayerScale):
            nn.init.constant_(module.gamma, module.initial)
        elif isinstance(module, StdConv2d):
            _lecun_normal(module.weight, generator)
        elif isinstance(module, nn.Linear | nn.Conv2d) and module.bias is not None:
            nn.init.zeros_(module.bias)
    for module in model.modules():  # each unit starts as its shortcut
        if isinstance(module, StemUnit):
            nn.init.zeros_(module.norm3.weight)
    if isinstance(model, ViT):
        _initialise_vit(model, generator)
    if model.head.linear is not None:
        nn.init.zeros_(model.head.linear.weight)
        nn.init.constant_(model.head.linear.bias, model.config.head_bias)


def _initialise_vit(model: ViT, generator: torch.Generator | None) -> None:
    _lecun_normal(model.patches.projection.weight, generator)
    embedding = model.embedding
    if embedding.class_token is not None:
        nn.init.zeros_(embedding.class_token)
    if embedding.registers is not None:
        nn.init.normal_(embedding.registers, std=0.02, generator=generator)
    for module in model.modules():
        if isinstance(module, Positions | Positions2d | Relative):
            for table in module.parameters():
                nn.init.normal_(table, std=0.02, generator=generator)
    _initialise_blocks(model.encoder.blocks, generator)
    if model.head.attention is not None:
        _initialise_blocks([model.head.attention], generator)
        nn.init.xavier_uniform_(model.head.attention.probe[0], generator=generator)  # (1, D), as big_vision's
    if model.head.hidden is not None:
        _lecun_normal(model.head.hidden.weight, generator)


def _initialise_blocks(blocks: Iterable[nn.Module], generator: torch.Generator | None) -> None:
    for module in blocks:
        block = cast("Block | AttentionPooling", module)
        attention, mlp = block.attention, block.mlp
        # q, k and v are D×D each to the official code, although their kernels lie in one tensor here.
        for kernel in (*attention.qkv.weight.chunk(3), attention.out.weight, mlp.fc1.weight, mlp.fc2.weight):
            nn.init.xavier_uniform_(kernel, generator=generator)
        nn.init.normal_(mlp.fc1.bias, std=1e-6, generator=generator)
        nn.init.normal_(mlp.fc2.bias, std=1e-6, generator=generator)
        if isinstance(mlp, GatedMlp):
            nn.init.xavier_uniform_(mlp.gate.weight, generator=generator)
            nn.init.normal_(mlp.gate.bias, std=1e-6, generator=generator)


@torch.no_grad()
def initialise_masked(model: Masked, generator: torch.Generator | None = None) -> None:
    """Writes initial values into what a masked model holds besides the parts of its ViT; predictions start from 0."""
    if isinstance(model, MaskedAutoencoder):
        decoder = model.decoder
        for module in decoder.modules():
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)
        nn.init.xavier_uniform_(decoder.inward.weight, generator=generator)
        _initialise_blocks(decoder.encoder.blocks, generator)
        mask, prediction = decoder.mask, decoder.prediction
    else:
        mask, prediction = model.mask, model.prediction
    nn.init.normal_(mask, std=0.02, generator=generator)
    nn.init.zeros_(prediction.weight)
    nn.init.zeros_(prediction.bias)


@torch.no_grad()
def zero_residuals(model: ViT | BiT) -> None:
    """Starts every block as the identity: zeros in the matrices that write to the residual stream.

    As in Fixup (Zhang et al., 2019). Raises `ConfigError` for ResNets, which have no blocks.
    """
    if not isinstance(model, ViT):
        raise ConfigError("zero_residuals is for a ViT's blocks, which ResNets have not: leave it at false")
    for module in model.encoder.blocks:
        block = cast(Block, module)
        nn.init.zeros_(block.attention.out.weight)
        nn.init.zeros_(block.mlp.fc2.weight)


def _lecun_normal(kernel: Tensor, generator: torch.Generator | None) -> None:
    fan_in = kernel[0].numel()
    std = math.sqrt(1.0 / fan_in) / _TRUNCATED_STD
    nn.init.trunc_normal_(kernel, std=std, a=-2 * std, b=2 * std, generator=generator)
