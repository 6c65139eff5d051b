"""The layers of a model as maps of cells, (B, D, h, w), wherever they stand: convolutions, blocks and their branches.

A layer can be watched in a pass of its model (`watch`) and run by itself on a map (`Layer.alone`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vitascope.errors import ConfigError
from vitascope.layers.config import Size
from vitascope.layers.embedding import Embedding
from vitascope.layers.encoder import Block
from vitascope.models.bit import BiT
from vitascope.models.vit import ViT
from vitascope.views.capture import evaluating

Kind = Literal["convolution", "patches", "tokens", "attention", "mlp"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Layer:
    """One module between two maps."""

    name: str
    """For people: "unit 2.1", "block 3 attention"."""
    kind: Kind
    """"tokens" is the sum that runs through the blocks; "attention" and "mlp" are a block's branches before it."""
    module: nn.Module
    """What computes it."""
    stride: int
    """Pixels of the image from one cell of its output to the next."""
    reduces: int = 1
    """Cells of its input from one cell of its output to the next."""
    padded: int = 0
    """Outermost cells of its output, on every side, that its own padding changes."""
    takes: int | None = None
    """Tokens before the patches in its input (B, T, D); None where that is a map."""
    gives: int | None = None
    """Likewise in its output."""
    depth: float = 0.0
    """0 for the first layer of the model to 1 for the last; a branch has its block's."""

    def alone(self, before: Tensor, first: Tensor | None = None) -> Tensor:
        """The module by itself: a map (B, C, h, w), and for tokens those `first` of them, → its map (B, D, h', w')."""
        grid = (before.shape[2], before.shape[3])
        if first is None:
            return _as_map(self.module(before), self.gives, grid)
        x = torch.cat([first, before.flatten(2).transpose(1, 2)], dim=1)
        return _as_map(self.module(x, grid) if isinstance(self.module, Embedding) else self.module(x), self.gives, grid)


@dataclass(frozen=True, kw_only=True, eq=False)
class Watched:
    """A layer in one pass."""

    layer: Layer
    """Which."""
    before: Tensor
    """Its input as a map, (B, C, h, w)."""
    first: Tensor | None
    """The tokens before the patches in its input; None where that is a map."""
    after: Tensor
    """Its output as a map, (B, D, h', w')."""


def layers_of(model: nn.Module) -> tuple[Layer, ...]:
    """From the image to the head; raises `ConfigError` for what is no ViT, hybrid or BiT."""
    if isinstance(model, BiT):
        root, stride = (1, 1) if model.config.small_images else (2, 4)
        chain = _residual(model.root, root, model.stages, stride, "")
    elif isinstance(model, ViT):
        stem = model.stem
        chain = [] if stem is None else _residual(stem.root, 2, stem.stages, 4, "stem ")
        chain += _transformer(model)
    else:
        raise ConfigError(f"a {type(model).__name__} has no maps by layer; give a ViT, a hybrid or a BiT")
    # A branch stands before the block that it belongs to, and has its depth.
    steps = [layer.kind not in ("attention", "mlp") for layer in chain]
    last = max(sum(steps) - 1, 1)
    return tuple(replace(layer, depth=(sum(steps[:place])) / last) for place, layer in enumerate(chain))


def _residual(root: nn.Module, reduces: int, stages: nn.ModuleList, stride: int, prefix: str) -> list[Layer]:
    """A root and bottleneck units; `stride` is that of the first stage, with the root's pooling."""
    # 7×7 with a stride of 2, or 3×3 without one: its padding reaches as many cells as its stride.
    step = {"stride": reduces, "reduces": reduces, "padded": reduces}
    chain = [Layer(name=f"{prefix}root", kind="convolution", module=root, **step)]
    for stage, units in enumerate(stages):
        for number, unit in enumerate(cast(nn.Sequential, units)):
            chain.append(
                Layer(
                    name=f"{prefix}unit {stage + 1}.{number + 1}",
                    kind="convolution",
                    module=unit,
                    stride=stride * 2**stage,
                    reduces=2 if stage > 0 and number == 0 else 1,
                    padded=1,
                )
            )
    return chain


def _transformer(model: ViT) -> list[Layer]:
    config, stride, prefix = model.config, model.config.pixels_per_token, model.config.prefix
    projection, embedding = model.patches.projection, model.embedding
    chain = [
        Layer(name="patches", kind="patches", module=projection, stride=stride, reduces=config.patch),
        Layer(name="embedding", kind="tokens", module=embedding, stride=stride, takes=0, gives=prefix),
    ]
    for number, module in enumerate(model.encoder.blocks, start=1):
        block = cast(Block, module)
        parts: tuple[tuple[str, Kind, nn.Module], ...] = (
            (f"block {number} attention", "attention", block.attention),
            (f"block {number} MLP", "mlp", block.mlp),
            (f"block {number}", "tokens", block),
        )
        chain += [
            Layer(name=name, kind=kind, module=part, stride=stride, takes=prefix, gives=prefix)
            for name, kind, part in parts
        ]
    return chain


def watch(model: nn.Module, layers: Sequence[Layer], images: Tensor) -> tuple[Tensor, list[Watched]]:
    """Runs (B, C, H, W) images through the model: its features, (B, D'), and what each layer took and gave.

    The model is left as it was. Gradients flow where the caller lets them.
    """
    seen: dict[Layer, Watched] = {}
    with ExitStack() as stack:
        stack.enter_context(evaluating(model))
        for layer in layers:
            stack.callback(layer.module.register_forward_hook(_listener(layer, images, seen)).remove)
        features = getattr(model, "features", model)(images)
    return features, [seen[layer] for layer in layers]


def _listener(layer: Layer, images: Tensor, seen: dict[Layer, Watched]) -> Any:
    grid = (images.shape[2] // layer.stride, images.shape[3] // layer.stride)

    def listen(module: nn.Module, given: tuple[Any, ...], after: Tensor) -> None:
        x, takes = given[0], layer.takes
        seen[layer] = Watched(
            layer=layer,
            before=_as_map(x, takes, grid),
            first=None if takes is None else x[:, :takes],
            after=_as_map(after, layer.gives, grid),
        )

    return listen


def _as_map(x: Tensor, prefix: int | None, grid: Size) -> Tensor:
    return x if prefix is None else x[:, prefix:].transpose(1, 2).reshape(len(x), -1, *grid)


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
        y = ((groups - mean) * scale).flatten(1, 2)
        return y * module.weight[:, None, None] + module.bias[:, None, None]

    hooks = [module.register_forward_hook(again) for module in model.modules() if isinstance(module, nn.GroupNorm)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def predictions(model: ViT | BiT, features: Tensor) -> Tensor | None:
    """The class of each of (B, D') features, int64 (B,); None without a head, or with one that is all zeros yet."""
    linear = model.head.linear
    return (
        None if linear is None or not linear.weight.any() else F.linear(features, linear.weight, linear.bias).argmax(1)
    )
