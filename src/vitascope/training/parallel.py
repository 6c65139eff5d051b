"""One process or several (`torchrun`): who am I, on which device, and the few sums the processes share."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from vitascope.device import resolve_device
from vitascope.errors import ConfigError, PeerError, UserError

T = TypeVar("T")


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

    def first_says(self, value: T) -> T:
        """The first process's value, plain data, for what only one may decide."""
        first: T = self.gather(value)[0]
        return first

    def wait(self) -> None:
        """Until all processes are here."""
        if self.size > 1:
            dist.barrier()

    def gather(self, value: Any) -> list[Any]:
        """Every process's value, plain data, in the order of the processes."""
        values: list[Any] = [value] * self.size
        if self.size > 1:
            dist.all_gather_object(values, value)
        return values

    def share(self, tensors: Iterable[Tensor]) -> None:
        """Writes the first process's tensors into those of all."""
        for tensor in tensors if self.size > 1 else ():
            dist.broadcast(tensor.detach(), src=0)

    @contextmanager
    def together(self) -> Iterator[None]:
        """What the user can mend in one process is raised in all, so that none waits for one that has ended.

        Nothing within may wait for other processes.
        """
        error: UserError | None = None
        try:
            yield
        except UserError as caught:
            error = caught
            if self.size == 1:
                raise
        texts = self.gather(None if error is None else str(error))
        rank = next((rank for rank, text in enumerate(texts) if text is not None), None)
        if rank is not None:
            raise _told(error if rank == self.rank else None, f"process {rank}: {texts[rank]}" if rank else texts[0])

    def agree(self, values: dict[str, Any], remedy: str) -> None:
        """`ConfigError` unless all processes have the same values, saying which differs in what; plain data.

        Of bytes, as of a hash, it says only that they differ.
        """
        first, *others = self.gather(values)
        for rank, other in enumerate(others, 1):
            wrong = [name for name, value in first.items() if other.get(name) != value]
            if wrong:
                values = {name: f": {_short(other.get(name))}, not {_short(first[name])}" for name in wrong[:3]}
                said = "; ".join(n if isinstance(first[n], bytes) else f"{n}{value}" for n, value in values.items())
                raise _told(None, f"process {rank} differs from process 0 ({said}); {remedy}")


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _told(own: UserError | None, text: str) -> UserError:
    """An error that all processes raise and the first one tells."""
    error = own or ConfigError(text)
    error.told_by_first = True
    return error


# After an error in the midst of work gloo's threads may still need Python's lock, which whoever frees the group holds
# while it waits for them: both would wait for ever. A group that ended so is kept until the process ends.
_abandoned: list[object] = []
_groups = count()
_PATIENCE = timedelta(minutes=5)
"""For the other processes to start."""


@contextmanager
def world(device: str | None = None) -> Iterator[World]:
    """The world that `torchrun` describes in the environment; NCCL between GPUs, gloo between CPUs.

    Within another it is the same one. Raises `PeerError` where another process has died, or does not come.
    """
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
    if dist.is_initialized():
        yield World(dist.get_rank(), size, chosen)
        return
    with _peers():
        dist.init_process_group("nccl" if chosen.type == "cuda" else "gloo", **_meeting(size))
        try:
            yield World(dist.get_rank(), size, chosen)
        except BaseException as error:
            if not getattr(error, "told_by_first", False):  # else all ended in the same place
                _abandoned.append(dist.group.WORLD)
            raise
        finally:
            dist.destroy_process_group()


def _meeting(size: int) -> dict[str, Any]:
    """Where the processes meet, once all are there: none waits long for one that died at the start."""
    try:
        store, rank, _ = next(rendezvous("env://", timeout=_PATIENCE))
        # After a restart the store may hold what the processes before have written.
        store = PrefixStore(f"{os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}/{next(_groups)}", store)
        store.set(f"here/{rank}", "yes")
        store.wait([f"here/{other}" for other in range(size)], _PATIENCE)
    except dist.DistError as error:
        said = f"not all of {size} processes came within {_PATIENCE.total_seconds():.0f}s; see what the others say"
        raise PeerError(said) from error
    return {"store": store, "rank": rank, "world_size": size}


@contextmanager
def _peers() -> Iterator[None]:
    """A collective that fails is another process's death, and said so."""
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, dist.DistError) and not re.search("gloo|nccl", str(error), re.IGNORECASE):
            raise
        raise PeerError(
            "another process died or cannot be reached, see what it says; once that is mended, go on with --resume"
        ) from error
