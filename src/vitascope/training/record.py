"""metrics.jsonl: one JSON object per line, and nothing in it that differs between two runs of the same settings."""

from __future__ import annotations

import json
import logging
import os
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from vitascope import json_text
from vitascope.optional import needed
from vitascope.training.pace import Lap
from vitascope.whole import written_whole

log = logging.getLogger(__name__)

METRICS, SPEED = "metrics.jsonl", "speed.jsonl"


class Record:
    """Appends lines for a run; clock times go to speed.jsonl, so that metrics.jsonl can be compared bit for bit."""

    def __init__(self, folder: Path, step: int = 0, evaluated: int = 0, lines: int = 0, tensorboard: bool = False):
        """Goes on after `step`, whose evaluation was made if `evaluated` is the same, and which had so many `lines`.

        Lines of later steps, which will be done again, are cut off; so are those that cannot be read, which is said.
        """
        self._board = tensorboard_writer()(str(folder / "tensorboard")) if tensorboard else None
        path, present = folder / METRICS, _readable_lines(folder / METRICS)
        kept = [line for line, values in present if values["step"] <= (evaluated if "validation" in values else step)]
        if len(kept) < lines:
            log.warning("%s has lost %d of %d lines, cut or damaged", path, lines - len(kept), lines)
        if not path.exists() or path.read_bytes() != b"".join(kept):
            with written_whole(path) as temporary:
                temporary.write_bytes(b"".join(kept))
        self._file, self._lines = path.open("ab"), len(kept)
        self._speed = (folder / SPEED).open("ab")
        if self._speed.tell() and not (folder / SPEED).read_bytes().endswith(b"\n"):
            self._speed.write(b"\n")  # a line cut short must not take the next with it

    def __enter__(self) -> Record:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: object, trace: TracebackType | None) -> None:
        self._file.close()
        self._speed.close()
        if self._board is not None:
            self._board.close()

    def forced(self) -> int:
        """Waits until all lines are on the disk; how many those of metrics.jsonl are."""
        for file in (self._file, self._speed):
            file.flush()
            os.fsync(file.fileno())
        return self._lines

    def metrics(self, step: int, values: dict[str, Any]) -> None:
        """One line of figures that depend on the settings alone."""
        self._file.write(json.dumps({"step": step, **values}).encode() + b"\n")
        self._file.flush()
        self._lines += 1
        if self._board is not None:
            for name, value in values.items():
                for key, number in value.items() if isinstance(value, dict) else [(None, value)]:
                    self._board.add_scalar(f"{name}/{key}" if key else name, number, step)

    def speed(self, step: int, lap: Lap) -> None:
        """One line about the machine: what was done since the last, also by steps that a resume does again."""
        line = {
            "step": step,
            "time": round(time.time(), 1),
            "images": lap.images,
            "seconds": round(lap.wall, 3),
            "training_seconds": round(lap.training, 3),
            "images_per_second": round(lap.rate, 1),
        }
        self._speed.write(json.dumps(line).encode() + b"\n")
        self._speed.flush()


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """All lines of a run's metrics.jsonl; what a kill cut short or a disk damaged is left out."""
    return [values for _, values in _readable_lines(folder / METRICS)]


def _readable_lines(path: Path) -> list[tuple[bytes, dict[str, Any]]]:
    """The whole lines of a record that are what was written, each as it stands and as values."""
    result = []
    for line in path.read_bytes().splitlines(keepends=True) if path.exists() else ():
        with suppress(ValueError):
            values = json_text.parse(line)
            if line.endswith(b"\n") and isinstance(values, dict) and isinstance(values.get("step"), int):
                result.append((line, values))
    return result


def time_spent(folder: Path) -> dict[str, float]:
    """What all starts of a run took together, from its speed.jsonl; empty where there is nothing.

    `seconds` of wall time, evaluations and saving included; of it `training_seconds` in training steps; and
    `images_per_second` in those.
    """
    total = {"images": 0.0, "seconds": 0.0, "training_seconds": 0.0}
    for _, values in _readable_lines(folder / SPEED):
        with suppress(ValueError, KeyError, TypeError):  # a line of an older version
            line = {name: float(values[name]) for name in total}
            total = {name: total[name] + line[name] for name in total}
    if not total["images"]:
        return {}
    rate = total["images"] / max(total["training_seconds"], 1e-9)
    return {
        "seconds": round(total["seconds"], 1),
        "training_seconds": round(total["training_seconds"], 1),
        "images_per_second": round(rate, 1),
    }


def tensorboard_writer() -> Any:
    """The class that writes TensorBoard's files; raises `ConfigError` where it is not installed."""
    return needed("--tensorboard needs TensorBoard", "tensorboard", "torch.utils.tensorboard").SummaryWriter
