"""Bytes that a model keeps for its backward pass, and the most that any pass allocates."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.profiler import ProfilerActivity, profile


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


def allocated(work: Callable[[], object]) -> int:
    """The most bytes there were at once of those that `work` allocated on the CPU."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        work()
    events = [e for e in seen.profiler.kineto_results.events() if e.name() == "[memory]"]
    held = largest = 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        held += event.nbytes()
        largest = max(largest, held)
    return largest


def train(model: nn.Module, images: Tensor, *, recompute: bool) -> None:
    """Forward and backward."""
    for parameter in model.parameters():
        parameter.grad = None
    model(images, recompute=recompute).square().sum().backward()
