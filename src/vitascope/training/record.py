"""metrics.jsonl: one JSON object per line, and nothing in it that differs between two runs of the same settings."""

from __future__ import annotations

import json
import logging
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from vitascope.errors import ConfigError
from vitascope.training.stopwatch import Lap

log = logging.getLogger(__name__)

METRICS, SPEED = "metrics.jsonl", "speed.jsonl"


class Record:
    """Appends lines for a run; clock times go to speed.jsonl, so that metrics.jsonl can be compared bit for bit."""

    def __init__(self, folder: Path, resume_bytes: int = 0, tensorboard: bool = False) -> None:
        self._board = tensorboard_writer()(str(folder / "tensorboard")) if tensorboard else None
        self._file = (folder / METRICS).open("ab")
        end = self._file.seek(0, 2)
        if end < resume_bytes:
            log.warning("%s has lost lines since the checkpoint was written", folder / METRICS)
        self._file.truncate(min(end, resume_bytes))  # lines of steps that will be done again
        self._file.seek(0, 2)
        self._speed = (folder / SPEED).open("a")

    def __enter__(self) -> Record:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: object, trace: TracebackType | None) -> None:
        self._file.close()
        self._speed.close()
        if self._board is not None:
            self._board.close()

    @property
    def bytes(self) -> int:
        """Length of metrics.jsonl so far."""
        return self._file.tell()

    def metrics(self, step: int, values: dict[str, Any]) -> None:
        """One line of figures that depend on the settings alone."""
        self._file.write(json.dumps({"step": step, **values}).encode() + b"\n")
        self._file.flush()
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
        self._speed.write(json.dumps(line) + "\n")
        self._speed.flush()


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """All lines of a run's metrics.jsonl; a last line cut short by a kill is left out."""
    path = folder / METRICS
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]


def time_spent(folder: Path) -> dict[str, float]:
    """What all starts of a run took together, from its speed.jsonl; empty where there is nothing.

    `seconds` of wall time, evaluations and saving included; of it `training_seconds` in training steps; and
    `images_per_second` in those.
    """
    total = {"images": 0.0, "seconds": 0.0, "training_seconds": 0.0}
    path = folder / SPEED
    for line in path.read_text().splitlines() if path.exists() else ():
        with suppress(ValueError, KeyError, TypeError):  # a line cut short by a kill, or of an older version
            values = json.loads(line)
            found = {name: float(values[name]) for name in total}
            total = {name: total[name] + found[name] for name in total}
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
    try:
        from torch.utils.tensorboard import SummaryWriter
    except Exception as error:  # absent, or present and broken
        raise ConfigError(f"--tensorboard needs TensorBoard ({error}); pip install 'vitascope[tensorboard]'") from error
    return SummaryWriter
