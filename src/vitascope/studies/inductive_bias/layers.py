"""The layers of a model as maps of cells, (B, D, h, w): convolutions, blocks and their branches."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, NamedTuple, cast

import torch
from torch import Tensor, nn

from vitascope.layers.embedding import Embedding
from vitascope.layers.encoder import Block
from vitascope.models.bit import BiT
from vitascope.models.vit import ViT

BRANCHES = ("attention", "mlp")


@dataclass(frozen=True, kw_only=True, eq=False)
class Layer:
    """One module between two maps."""

    name: str
    """For people: "unit 2.1", "block 3 attention"."""
    kind: Literal["convolution", "patches", "tokens", "attention", "mlp"]
    """"tokens" is the sum that runs through the blocks; "attention" and "mlp" are a block's branches before it."""
    module: nn.Module
    """What computes it."""
    stride: int
    """Pixels of the image from one cell of its output to the next."""
    reduces: int = 1
    """Cells of its input from one cell of its output to the next."""
    padded: int = 0
    """Outermost cells of its output, on every side, that its own padding changes."""
    depth: float = 0.0
    """0 for the first layer of the model to 1 for the last; a branch has its block's."""


class Watched(NamedTuple):
    """A layer in one pass, with its input and output as maps, (B, C, h, w) and (B, D, h', w').

    `first` are the tokens before the patches in its input, None where that is a map.
    """

    layer: Layer
    before: Tensor
    first: Tensor | None
    after: Tensor

    def alone(self, before: Tensor) -> Tensor:
        """What the layer by itself makes of another map (B, C, h, w), after the same first tokens: (B, D, h', w')."""
        module, grid = self.layer.module, before.shape[-2:]
        if self.first is None:
            return _as_map(module(before), grid)
        x = torch.cat([self.first, before.flatten(2).transpose(1, 2)], dim=1)
        return _as_map(module(x, grid) if isinstance(module, Embedding) else module(x), grid)


def layers_of(model: ViT | BiT) -> tuple[Layer, ...]:
    """From the image to the head."""
    if isinstance(model, BiT):
        chain = _residual(model)
    else:
        chain = ([] if model.stem is None else _residual(model.stem, "stem ")) + _transformer(model)
    # A branch stands before the block that it belongs to, and has its depth.
    steps = [layer.kind not in BRANCHES for layer in chain]
    last = max(sum(steps) - 1, 1)
    return tuple(replace(layer, depth=sum(steps[:place]) / last) for place, layer in enumerate(chain))


def _residual(part: Any, prefix: str = "") -> list[Layer]:
    """A root, 7×7 with a stride of 2 and a pooling, or 3×3 without either; then bottleneck units."""
    stride = part.root.stride[0]  # as many cells as its padding reaches
    chain = [
        Layer(name=f"{prefix}root", kind="convolution", module=part.root, stride=stride, reduces=stride, padded=stride)
    ]
    stride *= stride
    for stage, units in enumerate(part.stages, start=1):
        for number, unit in enumerate(units, start=1):
            name, reduces = f"{prefix}unit {stage}.{number}", 2 if stage > 1 and number == 1 else 1
            stride *= reduces
            chain.append(Layer(name=name, kind="convolution", module=unit, stride=stride, reduces=reduces, padded=1))
    return chain


def _transformer(model: ViT) -> list[Layer]:
    layer = partial(Layer, stride=model.config.pixels_per_token)
    chain = [
        layer(name="patches", kind="patches", module=model.patches.projection, reduces=model.config.patch),
        layer(name="embedding", kind="tokens", module=model.embedding),
    ]
    for number, block in enumerate(cast("list[Block]", model.encoder.blocks), start=1):
        chain += [
            layer(name=f"block {number} attention", kind="attention", module=block.attention),
            layer(name=f"block {number} MLP", kind="mlp", module=block.mlp),
            layer(name=f"block {number}", kind="tokens", module=block),
        ]
    return chain


def watch(model: nn.Module, layers: Sequence[Layer], images: Tensor) -> tuple[Tensor, list[Watched]]:
    """Runs (B, C, H, W) images through the model: its features, (B, D'), and what each layer took and gave.

    Gradients flow where the caller lets them.
    """
    seen: dict[Layer, Watched] = {}

    def listen(layer: Layer, module: nn.Module, given: tuple[Any, ...], after: Tensor) -> None:
        x, grid = given[0], torch.Size(side // layer.stride for side in images.shape[-2:])
        first = None if x.ndim == 4 else x[:, : x.shape[1] - math.prod(grid)]
        seen[layer] = Watched(layer, _as_map(x, grid), first, _as_map(after, grid))

    with ExitStack() as stack:
        for layer in layers:
            stack.callback(layer.module.register_forward_hook(partial(listen, layer)).remove)
        features = getattr(model, "features", model)(images)
    return features, [seen[layer] for layer in layers]


def _as_map(x: Tensor, grid: torch.Size) -> Tensor:
    """A map as it is; of tokens (B, T, D) the last, which are the patches."""
    return x if x.ndim == 4 else x[:, x.shape[1] - math.prod(grid) :].transpose(1, 2).reshape(len(x), -1, *grid)


@contextmanager
def fixed_statistics(model: nn.Module) -> Iterator[None]:
    """GroupNorm with the means and variances of its first pass here, as constants.

    They are computed over the whole map and so tie every cell to every other; without them what remains is the
    convolutions' own reach.
    """
    kept: dict[nn.Module, tuple[Tensor, Tensor]] = {}

    def again(module: nn.GroupNorm, given: tuple[Tensor], _: Tensor) -> Tensor:
        x = given[0]
        groups = x.reshape(len(x), module.num_groups, -1, *x.shape[2:])  # (B, G, C/G, h, w)
        if module not in kept:
            variance, mean = torch.var_mean(groups.detach(), dim=(2, 3, 4), correction=0, keepdim=True)
            kept[module] = mean, torch.rsqrt(variance + module.eps)
        mean, scale = kept[module]
        return ((groups - mean) * scale).flatten(1, 2) * module.weight[:, None, None] + module.bias[:, None, None]

    with ExitStack() as stack:
        for module in model.modules():
            if isinstance(module, nn.GroupNorm):
                stack.callback(module.register_forward_hook(again).remove)
        yield
