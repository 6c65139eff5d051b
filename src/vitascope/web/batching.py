"""Concurrent requests share forward passes: a bounded queue, and one task that gathers from it.

Shapes: n images, C channels, H, W the model's size, K outputs per image.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vitascope.web.errors import busy
from vitascope.web.settings import ServeSettings

Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class _Job:
    images: Float32  # (n, C, H, W)
    answer: asyncio.Future[Float32]  # (n, K)


class Batcher:
    """Hands images of several requests to `compute` together, in the order in which they came.

    `compute` takes float32 (n, C, H, W), n at most `settings.batch`, gives float32 (n, K) row by row, and runs on
    `executor`. A request whose images exceed one batch is split. One that was given up is not computed.
    """

    def __init__(self, compute: Callable[[Float32], Float32], executor: Executor, settings: ServeSettings) -> None:
        self._compute = compute
        self._executor = executor
        self._settings = settings
        self._jobs: deque[_Job] = deque()
        self._arrived = asyncio.Event()
        self.inside = 0

    @contextmanager
    def place(self, images: int) -> Iterator[None]:
        """Room for so many images, from before they are decoded until they are answered; raises Refusal (503)."""
        if self.inside + images > self._settings.queue:
            raise busy("the queue is full")
        self.inside += images
        try:
            yield
        finally:
            self.inside -= images

    async def __call__(self, images: Float32) -> Float32:
        """(n, C, H, W) → (n, K); raises what `compute` raised."""
        parts = [images[i : i + self._settings.batch] for i in range(0, len(images), self._settings.batch)]
        loop = asyncio.get_running_loop()
        jobs = [_Job(images=part, answer=loop.create_future()) for part in parts]
        self._jobs.extend(jobs)
        self._arrived.set()
        try:
            return np.concatenate(await asyncio.gather(*(job.answer for job in jobs)))
        finally:
            for job in jobs:  # given up, by a time limit or a failure of a sister
                job.answer.cancel()

    async def run(self) -> None:
        """Gathers for ever; to be cancelled."""
        while True:
            await self._arrived.wait()
            if self._settings.batch_wait and sum(len(job.images) for job in self._jobs) < self._settings.batch:
                await asyncio.sleep(self._settings.batch_wait)
            jobs = self._take()
            if jobs:
                await self._answer(jobs)

    def _take(self) -> list[_Job]:
        """The next jobs that fit into one batch."""
        taken: list[_Job] = []
        room = self._settings.batch
        while self._jobs and len(self._jobs[0].images) <= room:
            job = self._jobs.popleft()
            if not job.answer.done():
                taken.append(job)
                room -= len(job.images)
        if not self._jobs:
            self._arrived.clear()
        return taken

    async def _answer(self, jobs: list[_Job]) -> None:
        loop = asyncio.get_running_loop()
        try:
            images = np.concatenate([job.images for job in jobs])
            results = await loop.run_in_executor(self._executor, self._compute, images)
        except Exception as error:  # theirs to report; the next batch is computed all the same
            for job in jobs:
                if not job.answer.done():
                    job.answer.set_exception(error)
            return
        first = 0
        for job in jobs:
            if not job.answer.done():
                job.answer.set_result(results[first : first + len(job.images)])
            first += len(job.images)
