"""A model in evaluation mode, whatever its owner does with it meanwhile."""

from __future__ import annotations

import copy
from typing import TypeVar

from torch import nn

M = TypeVar("M", bound=nn.Module)


def evaluated(model: M) -> M:
    """A copy in evaluation mode that shares every weight, so that the caller's may go on being trained."""
    shared = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    return copy.deepcopy(model, shared).eval()
