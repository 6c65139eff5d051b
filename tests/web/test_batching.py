"""The queue: gathers what waits, keeps order, is bounded, and survives failures and clients that leave."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import numpy as np
import pytest

from vitascope.web.batching import Batcher
from vitascope.web.errors import Refusal
from vitascope.web.settings import ServeSettings


def images(n: int, first: int = 0) -> np.ndarray:
    """(n, 1, 1, 1), each its own number."""
    return np.arange(first, first + n, dtype=np.float32).reshape(n, 1, 1, 1)


class Model:
    """Doubles; remembers the batches, and waits for `go` before each."""

    def __init__(self) -> None:
        self.go = threading.Semaphore(0)
        self.batches: list[list[int]] = []
        self.broken = False

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        assert self.go.acquire(timeout=10)
        self.batches.append(batch.ravel().astype(int).tolist())
        if self.broken:
            raise RuntimeError("broken")
        return 2 * batch.reshape(len(batch), 1)


Body = Callable[[Batcher, Model], Coroutine[Any, Any, None]]


def run(body: Body, **settings: Any) -> None:
    async def main() -> None:
        model = Model()
        with ThreadPoolExecutor(1) as executor:
            chosen = ServeSettings(**{"batch": 4, "batch_wait": 0.0, "max_images": 8, "queue": 16, **settings})
            batcher = Batcher(model, executor, chosen)
            task = asyncio.create_task(batcher.run())
            try:
                await asyncio.wait_for(body(batcher, model), 10)
            finally:
                model.go.release(100)
                task.cancel()

    asyncio.run(main())


async def asked(batcher: Batcher, n: int, first: int) -> asyncio.Task[np.ndarray]:
    task = asyncio.create_task(batcher(images(n, first)))
    await asyncio.sleep(0.01)
    return task


def test_what_waits_shares_a_pass_in_the_order_it_came() -> None:
    async def body(batcher: Batcher, model: Model) -> None:
        tasks = [await asked(batcher, n, first) for n, first in ((1, 0), (2, 1), (1, 3), (2, 4), (3, 6))]
        model.go.release(9)
        results = await asyncio.gather(*tasks)
        assert model.batches == [[0], [1, 2, 3, 4], [5, 6, 7, 8]]
        assert [r.ravel().tolist() for r in results] == [[0], [2, 4], [6], [8, 10], [12, 14, 16]]

    run(body)


def test_a_first_image_waits_a_moment_for_others() -> None:
    async def body(batcher: Batcher, model: Model) -> None:
        model.go.release(9)
        await asyncio.gather(*[await asked(batcher, 1, i) for i in range(3)])
        assert model.batches == [[0, 1, 2]]

    run(body, batch_wait=0.2)


def test_more_than_a_batch_is_split() -> None:
    async def body(batcher: Batcher, model: Model) -> None:
        model.go.release(9)
        assert (await batcher(images(7))).ravel().tolist() == [0, 2, 4, 6, 8, 10, 12]
        assert model.batches == [[0, 1, 2, 3], [4, 5, 6]]

    run(body)


def test_what_was_given_up_is_not_computed() -> None:
    async def body(batcher: Batcher, model: Model) -> None:
        first, second, third = [await asked(batcher, 1, i) for i in range(3)]
        second.cancel()
        model.go.release(9)
        await asyncio.gather(first, third)
        assert model.batches == [[0], [2]]
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await batcher(images(1, 7))
        await batcher(images(1, 8))
        assert model.batches[-1] == [8]

    run(body)


def test_a_failure_is_told_to_its_batch_and_the_next_is_computed() -> None:
    async def body(batcher: Batcher, model: Model) -> None:
        model.broken = True
        model.go.release(2)
        for _ in range(2):
            with pytest.raises(RuntimeError, match="broken"):
                await batcher(images(1))
        tasks = [await asked(batcher, 1, 1), await asked(batcher, 6, 2)]
        model.go.release(3)
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [str(r) for r in results] == ["broken", "broken"]
        model.broken = False
        model.go.release(9)
        assert (await batcher(images(1, 5))).item() == 10

    run(body)


def test_room_is_bounded_and_given_back() -> None:
    async def body(batcher: Batcher, model: Model) -> None:
        with ExitStack() as held:
            held.enter_context(batcher.place(8))
            held.enter_context(batcher.place(8))
            with pytest.raises(Refusal, match="queue is full") as caught, batcher.place(1):
                pass
            assert (caught.value.status, caught.value.headers) == (503, {"retry-after": "1"})
            assert batcher.inside == 16
        with pytest.raises(ZeroDivisionError), batcher.place(3):
            _ = 1 / 0
        assert batcher.inside == 0

    run(body)
