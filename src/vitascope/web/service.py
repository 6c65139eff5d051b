"""One model being served: loading it beside the open socket, its queue and its threads, its looks."""

from __future__ import annotations

import asyncio
import hashlib
import threading
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import numpy.typing as npt

from vitascope.data.images import decoding_bytes
from vitascope.errors import ImageError
from vitascope.version import __version__
from vitascope.web.batching import Batcher
from vitascope.web.errors import Refusal
from vitascope.web.intake import Intake
from vitascope.web.metrics import Metrics
from vitascope.web.readers import Readers, memory_share
from vitascope.web.sessions import Sessions
from vitascope.web.settings import ServeSettings

if TYPE_CHECKING:
    from vitascope.data.images import UInt8
    from vitascope.views.look import Look
    from vitascope.web.engine import Engine
    from vitascope.web.plain import PlainLook
    from vitascope.web.teacher import Teacher

Float32 = npt.NDArray[np.float32]
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class HeldLook:
    """A look, what it is asked for by, and what its image was called first."""

    id: str
    """`look_id` of its image."""
    name: str
    """For people."""
    look: Look | PlainLook
    """The insides, or of a closed model the answer."""


class Looks:
    """Held so that a layer can be asked for later: at most `limit` bytes, the longest unused is forgotten first.

    The newest is held in any case, or no layer of it could be shown.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held: dict[str, HeldLook] = {}

    def __len__(self) -> int:
        return len(self._held)

    @property
    def nbytes(self) -> int:
        """Memory of all that are held."""
        return sum(held.look.nbytes for held in self._held.values())

    def get(self, id: str) -> HeldLook | None:
        """The look of that id, now the last to be forgotten."""
        held = self._held.pop(id, None)
        if held is not None:
            self._held[id] = held
        return held

    def add(self, held: HeldLook) -> None:
        """Holds it, and forgets others until all fit."""
        self._held.pop(held.id, None)
        self._held[held.id] = held
        while self.nbytes > self._limit and len(self._held) > 1:
            del self._held[next(iter(self._held))]


class Service:
    """Everything that the routes share; `load` makes the engine, in a thread, while the socket is open already."""

    def __init__(self, load: Callable[[], Engine], settings: ServeSettings) -> None:
        self.settings = settings
        self.intake = Intake(settings)
        self.readers = Readers(memory_share())
        self.looks = Looks(settings.looks_bytes)
        self.loaded: Future[Engine] = Future()
        """The model, or why there is none."""
        self._load = load
        self._model_thread = ThreadPoolExecutor(1, "model")
        self.metrics = Metrics(settings.batch)
        self.batcher = Batcher(self._timed(lambda images: self.engine.forward(images)), self._model_thread, settings)
        features = self._timed(lambda images: self.engine.features(images))
        self._feature_batcher = Batcher(features, self._model_thread, settings)
        self.sessions = Sessions(settings)
        self._making: dict[str, asyncio.Task[HeldLook]] = {}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Begins to load; ends when the server does."""

        def load() -> None:
            try:
                self.loaded.set_result(self._load())
            except Exception as error:
                self.loaded.set_exception(error)

        # A daemon, so that a signal need not wait for a checkpoint that loads for minutes.
        threading.Thread(target=load, name="load", daemon=True).start()
        always = [self.batcher.run()]
        if self.settings.teach:
            always += [self._feature_batcher.run(), self.sessions.watch()]
        tasks = [asyncio.create_task(each) for each in always]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            self._model_thread.shutdown(wait=False, cancel_futures=True)
            self.readers.shutdown()

    @property
    def ready(self) -> bool:
        """Whether the model can be used."""
        return self.loaded.done() and self.loaded.exception() is None

    @property
    def engine(self) -> Engine:
        """The model; raises Refusal (503) until it is loaded."""
        if self.ready:
            return self.loaded.result()
        if self.loaded.done():
            raise Refusal(503, "the model could not be loaded; the server's log says why")
        raise Refusal(503, "the model is being loaded; try again in a second")

    def figures(self) -> str:
        """For Prometheus."""
        platform = self.engine.platform if self.ready else ""
        info = {"version": __version__, "model": self.settings.name, "platform": platform}
        now = {
            "vitascope_ready": ("Whether the model is loaded.", self.ready),
            "vitascope_queue_images": ("Images that are being worked on or wait.", self.batcher.inside),
            "vitascope_queue_images_limit": ("Beyond which more are answered with 503.", self.settings.queue),
            "vitascope_body_bytes": ("Bodies that are being received or answered.", self.intake.held),
            "vitascope_body_bytes_limit": ("Beyond which more are answered with 503.", self.settings.intake_bytes),
            "vitascope_look_bytes": ("Insides of images that are held.", self.looks.nbytes),
        }
        return self.metrics.text(info, now)

    def _timed(self, compute: Callable[[Float32], Float32]) -> Callable[[Float32], Float32]:
        def timed(images: Float32) -> Float32:
            began, failed = time.perf_counter(), True
            try:
                results = compute(images)
                failed = False
                return results
            finally:
                self.metrics.forward(len(images), time.perf_counter() - began, failed=failed)

        return timed

    @property
    def teacher(self) -> Teacher:
        """Its part for those who teach it; raises Refusal (503) until it is loaded."""
        teacher = self.engine.teacher
        assert teacher is not None, "routes for teaching without --teach"
        return teacher

    async def features(self, pixels: list[UInt8]) -> Float32:
        """uint8 (h, w, C) of the model's size, n of them → (n, D'), together with other requests'; raises Refusal."""
        if not pixels:
            return np.zeros((0, self.teacher.width), dtype=np.float32)
        with self.batcher.place(len(pixels)):  # one count for all that waits
            async with self.in_time():
                return await self._feature_batcher(np.stack([self.engine.normalised(image) for image in pixels]))

    async def outputs(self, images: Float32 | list[bytes]) -> Float32:
        """(n, C, h, w), or n files → (n, K), together with other requests'.

        Raises Refusal (503 full or late, 422 overflow), and ImageError, which says the number of one among several.
        """
        with self.batcher.place(len(images)):
            async with self.in_time():
                outputs = await self.batcher(await self._prepared(images) if isinstance(images, list) else images)
        if not np.isfinite(outputs).all():
            raise Refusal(422, "the model's output is not finite for this input; give values of the usual range")
        return outputs

    async def look(self, content: bytes, name: str) -> HeldLook:
        """The insides of an image, held or made; two that ask for the same get the same."""
        engine = self.engine
        id = look_id(content, engine.size, engine.fingerprint)

        async def make() -> HeldLook:
            with self.batcher.place(1):  # here, so that it counts for as long as it takes, whoever still waits
                pixels = await self.decoded(engine.decode, content)
                look = await asyncio.get_running_loop().run_in_executor(self._model_thread, engine.look, pixels)
            held = HeldLook(id=id, name=name, look=look)
            self.looks.add(held)
            return held

        held = self.looks.get(id)
        if held is not None:
            return held
        if id not in self._making:
            self._making[id] = asyncio.create_task(make())
            self._making[id].add_done_callback(lambda _: self._making.pop(id))
        async with self.in_time():
            return await asyncio.shield(self._making[id])

    async def _prepared(self, contents: list[bytes]) -> Float32:
        images = []
        for number, content in enumerate(contents, start=1):
            try:
                images.append(await self.decoded(self.engine.prepare, content))
            except ImageError as error:
                which = f"image {number} of {len(contents)}: " if len(contents) > 1 else ""
                raise ImageError(f"{which}{error}") from None
        return np.stack(images)

    async def decoded(self, decode: Callable[[bytes], T], content: bytes) -> T:
        """`decode` of a file's bytes, in a thread and within the memory for that; raises Refusal, ImageError."""
        size = await self.readers(0, decoding_bytes, content, self.settings.max_pixels)
        return await self.readers(size, decode, content)

    @asynccontextmanager
    async def in_time(self) -> AsyncIterator[None]:
        """Raises Refusal (503) where what is within is not done in `answer_timeout`."""
        seconds = self.settings.answer_timeout
        try:
            async with asyncio.timeout(seconds):
                yield
        except TimeoutError:
            raise Refusal(
                503, f"not answered within {seconds:g} seconds; try again later", {"retry-after": "5"}
            ) from None


def look_id(content: bytes, size: tuple[int, int], model: str) -> str:
    """16 hexadecimal digits that tell an image's bytes, the size the model sees them at, and the model."""
    head = f"{model}\n{size[0]} {size[1]}\n"
    return hashlib.sha256(head.encode() + content).hexdigest()[:16]
