"""Engine "auto": eager at first, and the fastest once a job is long enough to pay for changing.

Converting a model takes seconds, which a short job never earns back. So prediction begins eagerly at once. When a
minute of eager work is done or known to come, what is installed is measured against it on the images at hand, and the
result is remembered in the cache folder; with a result remembered, the change is made as soon as it saves more than it
costs. Results then differ by rounding alone. The compiled engine takes a minute to make and is never chosen unasked.
"""

from __future__ import annotations

import hashlib
import json
import logging
import threading
import time
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch
from torch import Tensor

from vitascope.cache import cache_folder
from vitascope.checkpoints.checkpoint import Checkpoint
from vitascope.device import resolve_device
from vitascope.errors import ConfigError
from vitascope.inference.engines.eager import Engine
from vitascope.inference.engines.names import ENGINES
from vitascope.inference.engines.table import CPU_ONLY, build
from vitascope.models.config import config_to_dict
from vitascope.precision import processor, resolve_precision
from vitascope.whole import recall, remember

log = logging.getLogger(__name__)

CANDIDATES = ("openvino", "onnx")
"""Engines that "auto" may change to, where they are installed."""
WORTH_MEASURING = 60.0
"""Seconds of eager work in a job before others are measured, once for a model and machine, which takes 10 to 30."""
_MARGIN = 0.05  # share of the time that a change must save, so that chance does not decide
_MEMORY, _ROUNDS = "engines.json", 3


def make_engine(
    name: str, checkpoint: Checkpoint, device: torch.device | str | None, precision: str, batch: int
) -> Engine:
    """The engine `name` of `ENGINES`, on `device`, or None for the best that it can use.

    Raises `ConfigError` for another name, and where the engine or the device does not work here.
    """
    if name not in ENGINES:
        raise ConfigError(f"engine is {name!r}, expected one of {', '.join(ENGINES)}")
    device = resolve_device("cpu" if device is None and name in CPU_ONLY else device)
    if name == "auto" and device.type == "cpu":
        return Auto(checkpoint, precision, batch)
    return build("eager" if name == "auto" else name, checkpoint, device, precision, batch)


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What was found for one model, batch and machine."""

    seconds: dict[str, float]
    """By engine, of one image."""
    cost: dict[str, float]
    """By engine, seconds to make it."""

    @property
    def best(self) -> str:
        """The engine to take."""
        name = min(self.seconds, key=lambda name: self.seconds[name])
        return name if self.seconds[name] <= (1 - _MARGIN) * self.seconds["eager"] else "eager"

    def pays(self, images: int) -> bool:
        """Whether changing to the best saves more on so many images than it costs."""
        return (self.seconds["eager"] - self.seconds[self.best]) * images > self.cost[self.best]


class Auto:
    """Changes engines within a job, on the CPU."""

    def __init__(self, checkpoint: Checkpoint, precision: str, batch: int) -> None:
        self.precision = resolve_precision(precision, torch.device("cpu"))
        self.name = "eager"
        """Of the engine that computes now."""
        self._checkpoint, self._batch = checkpoint, batch
        self._engine = self._build("eager")
        self._images, self._seconds, self._coming = 0, 0.0, 0
        self._key = ""
        self._measured: Measured | None = None
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
                self._consider(images)
            finally:
                self._settling.release()
        start = time.perf_counter()
        result = self._engine(images)
        self._seconds += time.perf_counter() - start
        self._images += len(images)
        return result

    def _consider(self, images: Tensor) -> None:
        key = f"{self._situation}, batch below {2 ** len(images).bit_length()}"
        if key != self._key:  # a first call may be a single image, to warm up
            self._key, self._measured = key, _sound(recall(cache_folder() / _MEMORY, key))
        ahead = max(self._images, self._coming)
        if self._measured is None:
            if self._images and self._seconds / self._images * ahead >= WORTH_MEASURING:
                self._measure(images)
                self._settled = True
        elif self._measured.best == "eager":
            self._settled = True
        elif self._measured.pays(ahead):
            try:
                self._engine, self.name = self._build(self._measured.best), self._measured.best
            except ConfigError as error:  # it worked when it was measured
                log.warning("%s", error)
            self._settled = True

    def _measure(self, images: Tensor) -> None:
        """Times the engines in turns, remembers the result and takes the best."""
        engines: dict[str, Engine] = {"eager": self._engine}
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
        self._measured = Measured(seconds=seconds, cost=cost)
        remember(cache_folder() / _MEMORY, self._key, asdict(self._measured))
        self.name = self._measured.best
        self._engine = engines[self.name]

    def _build(self, name: str) -> Engine:
        return build(name, self._checkpoint, torch.device("cpu"), self.precision, self._batch)

    @cached_property
    def _situation(self) -> str:
        config = json.dumps(config_to_dict(self._checkpoint.config), sort_keys=True)
        versions = ", ".join(f"{name} {_version(name)}" for name in ("torch", "openvino", "onnxruntime"))
        return (
            f"{processor()}, {torch.get_num_threads()} threads, {versions}, {self.precision}, "
            f"model {hashlib.sha256(config.encode()).hexdigest()[:12]} at {self._checkpoint.preprocess.size}"
        )


def _sound(found: Any) -> Measured | None:
    """What the cache folder held, unless it is damaged or tells of engines that are no more."""
    try:
        measured = Measured(**found)
        measured.pays(0)
    except (TypeError, KeyError, AttributeError, ValueError):
        return None
    return measured if set(measured.seconds) <= {"eager", *CANDIDATES} else None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
