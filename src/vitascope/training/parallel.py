"""One process or several (`torchrun`): who am I, on which device, and the few sums the processes share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.distributed as dist

from vitascope.device import resolve_device
from vitascope.errors import ConfigError


@dataclass(frozen=True)
class World:
    """This process among all; the default is a process alone."""

    rank: int = 0
    size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def first(self) -> bool:
        """Whether this is the process that writes and reports."""
        return self.rank == 0

    def sum(self, values: np.ndarray) -> np.ndarray:
        """Sum over all processes, float64 (n,)."""
        if self.size == 1:
            return values
        tensor = torch.from_numpy(np.asarray(values, dtype=np.float64)).to(self.device)
        dist.all_reduce(tensor)
        return tensor.cpu().numpy()

    def largest(self, value: int) -> int:
        """The largest of all processes' numbers: one process's stop flag stops all."""
        if self.size == 1:
            return value
        tensor = torch.tensor([value], device=self.device)
        dist.all_reduce(tensor, op=dist.ReduceOp.MAX)
        return int(tensor.item())

    def first_says(self, value: float) -> float:
        """The first process's number, for what only one may decide."""
        if self.size == 1:
            return value
        tensor = torch.tensor([value], dtype=torch.float64, device=self.device)
        dist.broadcast(tensor, src=0)
        return float(tensor.item())

    def wait(self) -> None:
        """Until all processes are here."""
        if self.size > 1:
            dist.barrier()


# After an error in the midst of work gloo's threads may still need Python's lock, which whoever frees the group holds
# while it waits for them: both would wait for ever. A group that ended so is kept until the process ends.
_abandoned: list[object] = []


@contextmanager
def world(device: str | None = None) -> Iterator[World]:
    """The world that `torchrun` describes in the environment; NCCL between GPUs, gloo between CPUs."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    chosen = resolve_device(device)
    if size == 1:
        yield World(device=chosen)
        return
    if chosen.type == "cuda":
        chosen = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        if chosen.index >= torch.cuda.device_count():
            raise ConfigError(
                f"process {chosen.index} of this machine has no GPU of its own, there are {torch.cuda.device_count()}; "
                "start as many processes as there are GPUs, or give --device cpu"
            )
        torch.cuda.set_device(chosen)
    dist.init_process_group("nccl" if chosen.type == "cuda" else "gloo")
    try:
        yield World(dist.get_rank(), size, chosen)
    except BaseException:
        _abandoned.append(dist.group.WORLD)
        raise
    finally:
        dist.destroy_process_group()
