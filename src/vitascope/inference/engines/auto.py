"""Engine "auto": eager at first, and the fastest once a job is long enough to pay for changing.

Converting a model takes seconds, which a short job never earns back. So prediction begins eagerly at once. When a
minute of eager work is done or known to come, what is installed is measured against it on the images at hand, and the
result is remembered in the cache folder; with a result remembered, the change is made as soon as it saves more than it
costs. Results then differ by rounding alone. The compiled engine takes a minute to make and is never chosen unasked.
"""

from __future__ import annotations

import hashlib
import logging
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

CANDIDATES = ("openvino", "onnx")
"""Engines that "auto" may change to, where they are installed."""
WORTH_MEASURING = 60.0
"""Seconds of eager work in a job before others are measured, once for a model and machine, which takes 10 to 30."""
_MARGIN = 0.05  # share of the time that a change must save, so that chance does not decide
_MEMORY, _ROUNDS = "engines.json", 3

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
    """Changes engines once within a job, on the CPU."""

    def __init__(self, checkpoint: Checkpoint, precision: str, batch: int) -> None:
        self.precision = resolve_precision(precision, torch.device("cpu"))
        self.name = "eager"
        """Of the engine that computes now."""
        self._checkpoint, self._batch = checkpoint, batch
        self._engine = self._build("eager")
        self._images, self._seconds, self._coming = 0, 0.0, 0
        self._key, self._times = "", Times()
        self._settled = False
        self._settling = threading.Lock()

    def expect(self, images: int) -> None:
        """Tells that a job of so many images begins; without, only those that were seen count."""
        self._coming = self._images + images

    def __call__(self, images: Tensor) -> Tensor:
        """See `Engine`."""
        # Another thread that comes while one measures goes on as before.
        if not self._settled and self._settling.acquire(blocking=False):
            try:
                self._settled = self._settle(images)
            finally:
                self._settling.release()
        start = time.perf_counter()
        result = self._engine(images)
        self._seconds += time.perf_counter() - start
        self._images += len(images)
        return result

    def _settle(self, images: Tensor) -> bool:
        """Changes to the fastest engine where the job pays for it; whether that is decided for good."""
        key = f"{self._situation}, batch below {2 ** len(images).bit_length()}"
        if key != self._key:  # a first call may be a single image, to warm up
            self._key, self._times = key, _sound(recall(cache_folder() / _MEMORY, key))
        ahead, made = max(self._images, self._coming), {"eager": self._engine}
        if not self._times:
            if not self._images or self._seconds / self._images * ahead < WORTH_MEASURING:
                return False
            self._times = self._measure(images, made)
            remember(cache_folder() / _MEMORY, key, self._times)
        eager, _ = self._times["eager"]
        name = min(self._times, key=lambda name: self._times[name][0])
        seconds, cost = self._times[name]
        if seconds > (1 - _MARGIN) * eager:
            return True
        if name not in made and (eager - seconds) * ahead <= cost:
            return False
        try:
            self._engine, self.name = made.get(name) or self._build(name), name
        except ConfigError as error:  # it worked when it was measured
            log.warning("%s", error)
        return True

    def _measure(self, images: Tensor, engines: dict[str, Engine]) -> Times:
        """Adds the candidates to `engines` and times all in turns."""
        cost = {"eager": 0.0}
        for name in CANDIDATES:
            start = time.perf_counter()
            try:
                engines[name] = self._build(name)
            except ConfigError as error:
                log.debug("not a candidate: %s", error)
                continue
            cost[name] = time.perf_counter() - start
        seconds = dict.fromkeys(engines, float("inf"))
        for _ in range(_ROUNDS):
            for name, engine in engines.items():
                start = time.perf_counter()
                engine(images)
                seconds[name] = min(seconds[name], (time.perf_counter() - start) / len(images))
        log.info("measured, milliseconds an image: %s", {name: round(1000 * s, 2) for name, s in seconds.items()})
        return {name: (seconds[name], cost[name]) for name in engines}

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
    return times if "eager" in times and times.keys() <= {"eager", *CANDIDATES} else {}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
