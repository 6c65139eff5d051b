"""Activation checkpointing (Chen et al., 2016): of a block only its input is kept, the rest is computed again."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor, is_grad_enabled, nn
from torch.utils.checkpoint import checkpoint


def in_turn(blocks: Iterable[nn.Module], x: Tensor, *more: Any, recompute: bool) -> Tensor:
    """`x` through all of `blocks`, each of which is given `more` besides.

    With `recompute`, each is computed again in the backward pass instead of keeping what it computed. Dropout draws the
    same both times, so that gradients are the same. What needs no gradient keeps nothing anyway.
    """
    for block in blocks:
        again = (
            recompute and is_grad_enabled() and (x.requires_grad or any(p.requires_grad for p in block.parameters()))
        )
        x = checkpoint(block, x, *more, use_reentrant=False) if again else block(x, *more)
    return x
