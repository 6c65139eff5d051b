"""Concurrent requests share forward passes: a bounded queue, and one task that gathers from it.

Shapes: n images, C channels, H, W the model's size, K outputs per image.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt

from vitascope.web.errors import Refusal
from vitascope.web.settings import ServeSettings

Float32 = npt.NDArray[np.float32]
Job = tuple[Float32, asyncio.Future[Float32]]
"""One image (C, H, W), and its row to come (K)."""


class Batcher:
    """Hands images of several requests to `compute` together, in the order in which they came.

    `compute` takes float32 (n, C, H, W), n at most `settings.batch`, gives float32 (n, K) row by row, and runs on
    `executor`. An image that was given up is not computed.
    """

    def __init__(self, compute: Callable[[Float32], Float32], executor: Executor, settings: ServeSettings) -> None:
        self._compute = compute
        self._executor = executor
        self._settings = settings
        self._jobs: asyncio.Queue[Job] = asyncio.Queue()
        self.inside = 0

    @contextmanager
    def place(self, images: int) -> Iterator[None]:
        """Room for so many images, from before they are decoded until they are answered; raises Refusal (503)."""
        if self.inside + images > self._settings.queue:
            raise Refusal(503, "the queue is full; try again in a second")
        self.inside += images
        try:
            yield
        finally:
            self.inside -= images

    async def __call__(self, images: Float32) -> Float32:
        """(n, C, H, W) → (n, K); raises what `compute` raised."""
        loop = asyncio.get_running_loop()
        rows: list[asyncio.Future[Float32]] = [loop.create_future() for _ in images]
        for job in zip(images, rows, strict=True):
            self._jobs.put_nowait(job)
        try:
            return np.stack(await asyncio.gather(*rows))
        finally:
            for row in rows:  # given up, by a time limit or a failure of a sister
                row.cancel()

    async def run(self) -> None:
        """Gathers for ever; to be cancelled."""
        batch, wait = self._settings.batch, self._settings.batch_wait
        while True:
            jobs = [await self._jobs.get()]
            if wait and self._jobs.qsize() < batch - 1:
                await asyncio.sleep(wait)
            while len(jobs) < batch and not self._jobs.empty():
                jobs.append(self._jobs.get_nowait())
            jobs = [job for job in jobs if not job[1].done()]
            if jobs:
                await self._answer(jobs)

    async def _answer(self, jobs: list[Job]) -> None:
        loop = asyncio.get_running_loop()
        images, rows = zip(*jobs, strict=True)
        try:
            results = await loop.run_in_executor(self._executor, self._compute, np.stack(images))
        except Exception as error:  # theirs to report; the next batch is computed all the same
            for row in rows:
                if not row.done():
                    row.set_exception(error)
            return
        for row, result in zip(rows, results, strict=True):
            if not row.done():
                row.set_result(result)
