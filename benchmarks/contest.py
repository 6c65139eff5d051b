"""Ways of doing the same thing, timed in turns: A B C, B C A, …; ratios are taken round by round, then their median.

A machine's speed may change threefold from minute to minute, so that a time by itself says little. What ran in the same
round met the same machine. The rate of a matrix product is timed in every round too: the share of it that a way
reaches tells how much is left to gain, on this machine and on any other.
"""

from __future__ import annotations

import json
import os
import platform
import re
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from vitascope.precision import processor
from vitascope.version import source_commit
from vitascope.whole import written_whole

FOLDER = Path(os.environ.get("VITASCOPE_BENCHMARKS") or Path(__file__).parent.parent / "results" / "benchmarks")
"""Where results are kept; the variable sends those of a trial elsewhere."""
_PRODUCT = 1536  # side of the matrices: large enough for the full rate, small enough for a fraction of a second
_PACKAGES = ("torch", "timm", "transformers", "torchvision", "vit-pytorch", "openvino", "onnxruntime", "pillow")


@dataclass(frozen=True, kw_only=True)
class Way:
    """One contestant."""

    name: str
    """In tables; those of ours begin with "vitascope"."""
    run: Callable[[], object]
    """Does the work once."""
    images: int = 1
    """Images it handles in one call."""
    flops: float = 0.0
    """Floating-point operations of one call; 0 where there is no point in a share."""

    @property
    def ours(self) -> bool:
        """Whether it is ours."""
        return self.name.startswith("vitascope")


def contest(
    ways: Sequence[Way], rounds: int, warmup: int = 2, sync: Callable[[], object] = int, pause: float = 0.0
) -> dict[str, list[float]]:
    """Seconds of every way in every round; each begins another round, so that none is always the first.

    `sync` waits until the device has done what it was told; a GPU is only told when a way returns. A `pause` in seconds
    before each lets the threads of the one before fall asleep: ONNX Runtime's go on spinning for a while, and took half
    of the processor from whatever came next.
    """
    for way in ways:
        for _ in range(warmup):
            way.run()
    sync()
    seconds: dict[str, list[float]] = {way.name: [] for way in ways}
    for number in range(rounds):
        turn = number % len(ways)
        for way in (*ways[turn:], *ways[:turn]):
            time.sleep(pause)
            start = time.perf_counter()
            way.run()
            sync()
            seconds[way.name].append(time.perf_counter() - start)
    return seconds


def product(dtype: torch.dtype, device: torch.device | None = None, side: int = _PRODUCT) -> Way:
    """A square matrix product, the yardstick of what the processor can do."""
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    return Way(name="matrix product", run=lambda: a @ b, flops=2.0 * side**3)


def summary(ways: Sequence[Way], seconds: dict[str, list[float]], rates: Sequence[float] = ()) -> dict[str, Any]:
    """Of each way its times and rate, with `rates` (operations a second by round) the share of them it reaches."""
    found: dict[str, Any] = {}
    for way in ways:
        times = seconds[way.name]
        found[way.name] = {
            "milliseconds": spread([1000 * t for t in times]),
            "images_per_second": spread([way.images / t for t in times]),
        }
        if way.flops and rates:
            shares = [way.flops / t / rate for t, rate in zip(times, rates, strict=True)]
            found[way.name]["share_of_product"] = spread(shares)
    return found


def ratios(ways: Sequence[Way], seconds: dict[str, list[float]]) -> dict[str, Any]:
    """How many times as fast the fastest of ours is as each peer, by images a second."""
    rate = {way.name: [way.images / t for t in seconds[way.name]] for way in ways}
    ours = max((way.name for way in ways if way.ours), key=lambda name: statistics.median(rate[name]))
    return {
        f"{ours} over {way.name}": spread([a / b for a, b in zip(rate[ours], rate[way.name], strict=True)])
        for way in ways
        if not way.ours
    }


def gate(name: str, got: torch.Tensor, expected: torch.Tensor, tolerance: float) -> float:
    """The largest difference of two models' logits; ends the benchmark where they are not the same model."""
    apart = float((got.float() - expected.float()).abs().max())
    if got.shape != expected.shape or not apart <= tolerance:
        sys.exit(f"{name} does not compute the same: logits differ by {apart:.3g}, at most {tolerance:g} was expected")
    return apart


def keep(row: str, result: dict[str, Any], machine: str | None = None) -> Path:
    """Writes a row's result for this processor, results/benchmarks/PROCESSOR/ROW.json; others' stay as they are.

    `machine` is the processor that was measured, where that is not the CPU.
    """
    machine = machine or processor()
    packages = {}
    for name in _PACKAGES:
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            continue
    head = {
        "processor": machine,
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "packages": packages,
        **source_commit(),
        # Of folders on this machine only the names.
        "command": ["python", *(Path(word).name if word.startswith("/") else word for word in sys.argv)],
    }
    path = FOLDER / slug(machine) / f"{row}.json"
    with written_whole(path) as temporary:
        temporary.write_text(json.dumps({"row": row, **head, **result}, indent=1, ensure_ascii=False) + "\n")
    return path


def slug(text: str) -> str:
    """ "AMD EPYC (avx2)" → "amd-epyc-avx2", a name for a folder."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median and quartiles, four figures."""
    low, middle, high = statistics.quantiles(values, n=4) if len(values) > 1 else [values[0]] * 3
    return {name: float(f"{value:.4g}") for name, value in (("median", middle), ("low", low), ("high", high))}
