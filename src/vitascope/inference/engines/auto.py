"""Engine "auto": eager at first, and the fastest once a job is long enough to pay for changing.

Converting a model takes seconds, which a short job never earns back. So prediction begins eagerly at once. When enough
eager work is done or known to come, what is installed is tried on the job's own images, and the times are remembered in
the cache folder; with times remembered, the change is made as soon as it saves more than it costs. Results then differ
by rounding alone. The compiled engine takes a minute to make and is never chosen unasked.
"""

from __future__ import annotations

import hashlib
import logging
import math
import threading
import time
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch
from torch import Tensor

from vitascope.cache import cache_folder
from vitascope.checkpoints.checkpoint import Checkpoint
from vitascope.device import resolve_device
from vitascope.errors import ConfigError
from vitascope.inference.engines.names import ENGINES
from vitascope.inference.engines.pytorch import Engine
from vitascope.inference.engines.table import CPU_ONLY, build
from vitascope.inference.exported import Exported
from vitascope.precision import processor, resolve_precision
from vitascope.whole import recall, remember

log = logging.getLogger(__name__)

WORTH_TRYING = {"openvino": 15.0, "onnx": 60.0}
"""Engines that "auto" may change to, where installed, by the seconds of work in a job from which each is tried,
once for a model and machine: making it takes about 3, and 10 to 30."""
_MARGIN = 0.05  # share of the time that a change must save, so that chance does not decide
_MEMORY = "engines.json"
_FEW, _MANY = 4, 128  # a job of that many images is timed by its first few, the next few, and what follows

Times = dict[str, tuple[float, float]]
"""By engine: seconds of one image, and seconds to make it."""


def make_engine(
    name: str, checkpoint: Checkpoint | Exported, device: torch.device | str | None, precision: str, batch: int
) -> Engine:
    """The engine `name` of `ENGINES`, on `device`, or None for the best that it can use.

    Raises `ConfigError` for another name, and where the engine or the device does not work here.
    """
    if name not in ENGINES:
        raise ConfigError(f"engine is {name!r}, expected one of {', '.join(ENGINES)}")
    if isinstance(checkpoint, Exported):
        return checkpoint.engine(name, device, precision)
    device = resolve_device("cpu" if device is None and name in CPU_ONLY else device)
    if name == "auto" and device.type == "cpu":
        return Auto(checkpoint, precision, batch)
    return build("eager" if name == "auto" else name, checkpoint, device, precision, batch)


class Auto:
    """Changes engines within a job, on the CPU."""

    def __init__(self, checkpoint: Checkpoint, precision: str, batch: int) -> None:
        self.precision = resolve_precision(precision, torch.device("cpu"))
        self.name = "eager"
        """Of the engine that computes now."""
        self._checkpoint, self._batch = checkpoint, batch
        self._engine = self._build("eager")
        self._images, self._coming = 0, 0
        self._known: dict[str, Times] = {}
        self._ready: dict[str, tuple[Engine | None, float]] = {}
        self._choosing = threading.Lock()

    def expect(self, images: int) -> None:
        """Tells that a job of so many images begins; without, only those that were seen count.

        What a long one is likely to try is made here, where others may be at work beside.
        """
        self._coming = self._images + images
        if images < _MANY:
            return
        with self._choosing:
            times = self._known_of(min(images, self._batch))
            if times:
                self._change(times, images)
                return
            preprocess = self._checkpoint.preprocess
            blank, start = torch.zeros(1, preprocess.channels, *preprocess.size), time.perf_counter()
            self._engine(blank)
            seconds = (time.perf_counter() - start) * images  # a first call is slow, so this is a little too much
            for name, worth in WORTH_TRYING.items():
                if seconds >= worth and self._made(name)[0] is not None:
                    break

    def __call__(self, images: Tensor) -> Tensor:
        """See `Engine`."""
        # Another thread that comes while one chooses goes on as before.
        if self._choosing.acquire(blocking=False):
            try:
                result = self._chosen(images)
            finally:
                self._choosing.release()
        else:
            result = self._engine(images)
        self._images += len(images)
        return result

    def _chosen(self, images: Tensor) -> Tensor:
        """Logits, after what is known has chosen the engine, or by one that is tried on them."""
        size, done = len(images), list[Tensor]()
        times = self._known_of(size)
        if "eager" not in times and self._coming - self._images >= _MANY and len(images) > 2 * _FEW:
            done = [self._timed(times, part) for part in torch.split(images[: 2 * _FEW], _FEW)]
            images = images[2 * _FEW :]
        ahead = max(self._images, self._coming - self._images)
        self._change(times, ahead)
        for name, worth in WORTH_TRYING.items():
            worth = 0.0 if name in self._ready else worth
            if self.name in times and name not in times and times[self.name][0] * ahead >= worth:
                done.append(self._tried(name, times, images))
                if "eager" in times:  # what others are measured by
                    remember(cache_folder() / _MEMORY, self._key(size), times)
                break
        else:
            done.append(self._timed(times, images))
        return torch.cat(done)

    def _timed(self, times: Times, images: Tensor) -> Tensor:
        """Logits by the engine of now, and its best time of an image."""
        start = time.perf_counter()
        result = self._engine(images)
        before, cost = times.get(self.name, (math.inf, 0.0))
        times[self.name] = min(before, (time.perf_counter() - start) / len(images)), cost
        return result

    def _tried(self, name: str, times: Times, images: Tensor) -> Tensor:
        """Logits by another engine, which stays if it is faster."""
        engine, cost = self._made(name)
        times[name] = math.inf, cost
        if engine is None:
            return self._timed(times, images)
        before = self.name, self._engine
        engine(images[:1])  # the first call of an engine is slower
        self.name, self._engine = name, engine
        result = torch.cat([self._timed(times, part) for part in images.chunk(2)])
        told = ", ".join(f"{1000 * seconds:.3g} by {name}" for name, (seconds, _) in times.items())
        log.debug("milliseconds an image: %s", told)
        if times[name][0] > (1 - _MARGIN) * times[before[0]][0]:
            self.name, self._engine = before
        del self._ready[name]
        return result

    def _made(self, name: str) -> tuple[Engine | None, float]:
        """Another engine, if there can be one, and the seconds that making it took."""
        if name not in self._ready:
            start, engine = time.perf_counter(), None
            try:
                engine = self._build(name)
            except ConfigError as error:
                log.debug("not a candidate: %s", error)
            self._ready[name] = engine, time.perf_counter() - start
        return self._ready[name]

    def _known_of(self, images: int) -> Times:
        """What is known of batches of about so many."""
        key = self._key(images)
        if key not in self._known:  # a first call may be a single image, to warm up
            self._known[key] = _sound(recall(cache_folder() / _MEMORY, key))
        return self._known[key]

    def _key(self, images: int) -> str:
        return f"{self._situation}, batch below {2 ** images.bit_length()}"

    def _change(self, times: Times, ahead: int) -> None:
        """Takes the fastest that is known, where it saves more than it costs."""
        name = min(times, key=lambda name: times[name][0], default=self.name)
        seconds, cost = times.get(name, (math.inf, 0.0))
        now = times.get(self.name, (0.0, 0.0))[0]
        if name == self.name or seconds > (1 - _MARGIN) * now or (now - seconds) * ahead <= cost:
            return
        engine, _ = self._made(name)
        del self._ready[name]
        if engine is None:  # it worked when it was measured
            log.warning("%s cannot be made any more; %s goes on", name, self.name)
            times[name] = math.inf, cost
        else:
            self._engine, self.name = engine, name

    def _build(self, name: str) -> Engine:
        return build(name, self._checkpoint, torch.device("cpu"), self.precision, self._batch)

    @cached_property
    def _situation(self) -> str:
        model = hashlib.sha256(repr(self._checkpoint.model.config).encode()).hexdigest()[:12]
        versions = ", ".join(f"{name} {_version(name)}" for name in ("torch", "openvino", "onnxruntime"))
        threads, size = torch.get_num_threads(), self._checkpoint.preprocess.size
        return f"{processor()}, {threads} threads, {versions}, {self.precision}, model {model} at {size}"


def _sound(remembered: Any) -> Times:
    """What the cache folder held; nothing where it is damaged or tells of engines that are no more."""
    try:
        times = {name: (float(seconds), float(cost)) for name, (seconds, cost) in remembered.items()}
    except (TypeError, AttributeError, ValueError):
        return {}
    return times if "eager" in times and times.keys() <= {"eager", *WORTH_TRYING} else {}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
