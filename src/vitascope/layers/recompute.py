"""Activation checkpointing (Chen et al., 2016): of a block only its input is kept, the rest is computed again."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor, is_grad_enabled, nn
from torch.utils.checkpoint import checkpoint


class Chain(nn.Module):
    """A module that runs blocks one after the other; the base of the encoder and of ResNets."""

    recompute: bool = False
    """In training, compute each block again in the backward pass instead of keeping what it computed."""

    def in_turn(self, blocks: Iterable[nn.Module], x: Tensor, *more: Any) -> Tensor:
        """`x` through all of `blocks`. Dropout draws the same both times, so that gradients are the same."""
        again = self.recompute and is_grad_enabled()
        for block in blocks:
            x = checkpoint(block, x, *more, use_reentrant=False) if again else block(x, *more)
        return x


def checkpoint_activations(model: nn.Module, on: bool = True) -> None:
    """Turns activation checkpointing of a model on or off."""
    for module in model.modules():
        if isinstance(module, Chain):
            module.recompute = on
