"""The threads that read what clients sent, and the memory of what that becomes."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

from vitascope.memory import total_memory
from vitascope.web.errors import Refusal

T = TypeVar("T")

_THREADS = 2
_MOST_MEMORY = 2 * 2**30


class Readers:
    """Decode images, read JSON and write attention, within `limit` bytes given in the order in which they are asked."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._threads = ThreadPoolExecutor(_THREADS, "reader")
        self._taken = 0
        self._turn = threading.Lock()
        self._changed = threading.Condition()

    async def __call__(self, size: int, function: Callable[..., T], *args: Any) -> T:
        """`function` in a thread, as soon as `size` bytes are free for it; kept until it ends, whoever still waits.

        What takes next to nothing, 0, does not wait for its turn.
        """

        def within() -> T:
            with self.take(size):
                return function(*args)

        called = within if size else functools.partial(function, *args)
        return await asyncio.get_running_loop().run_in_executor(self._threads, called)

    def shutdown(self) -> None:
        """Begins nothing more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    @contextmanager
    def take(self, size: int) -> Iterator[None]:
        """Waits for as much; raises Refusal (413) where there is never so much."""
        if size > self.limit:
            needed = f"up to {size / 2**20:,.0f} MiB of memory, of which this server gives {self.limit / 2**20:,.0f}"
            raise Refusal(413, f"this needs {needed}; send a smaller one, or large photographs as JPEG")
        with self._turn, self._changed:
            self._changed.wait_for(lambda: self._taken + size <= self.limit)
            self._taken += size
        try:
            yield
        finally:
            with self._changed:
                self._taken -= size
                self._changed.notify_all()


def memory_share() -> int:
    """Bytes for decoding: a quarter of this machine's memory, or its container's, and 2 GiB at most."""
    return int(min(total_memory(), 4 * _MOST_MEMORY)) // 4
