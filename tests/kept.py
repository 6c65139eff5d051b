"""Bytes that a model keeps for its backward pass."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks


def kept(model: nn.Module, forward: Callable[[], Tensor]) -> tuple[Tensor, int]:
    """What `forward` gives, and the bytes it keeps besides the model's parameters."""
    storages: dict[int, int] = {p.untyped_storage().data_ptr(): 0 for p in model.parameters()}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        storages.setdefault(storage.data_ptr(), storage.nbytes())
        return tensor

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        out = forward()
        return out, sum(storages.values())


def train(model: nn.Module, images: Tensor, *, recompute: bool) -> None:
    """Forward and backward."""
    for parameter in model.parameters():
        parameter.grad = None
    model(images, recompute=recompute).square().sum().backward()
