"""Images per second and core of the fractal generator, beside the plain chaos game; prints one JSON object.

OMP_NUM_THREADS=1 python benchmarks/fractals.py [--out results/fractals/rates.json]

Each round times the generator and the plain version one after the other; medians and their ratio are printed. The
plain version has the same systems, views, number of points and painting; its points are vectorised random walks.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from vitascope.data.sources import ifs
from vitascope.data.sources.fractals import STREAM, FractalConfig, Fractals, paint, perturb, views
from vitascope.data.sources.uniforms import uniforms
from vitascope.version import source_commit
from vitascope.whole import written_whole

CLASSES = 200
ROUNDS = 5
WALKERS = 64


def plain(source: Fractals, indices: np.ndarray, block: int = 16) -> np.ndarray:
    """The same pictures the plain way, grey on black, (n,) → uint8 (n, S, S, 3)."""
    c = source.config
    generator = np.random.default_rng(0)
    images = np.empty((len(indices), c.size, c.size, 3), dtype=np.uint8)
    for start in range(0, len(indices), block):
        part = indices[start : start + block]
        u = uniforms(c.seed, STREAM, part, 192)
        maps = perturb(source.systems(part % c.classes), u[:, :42], c.jitter)
        shares = ifs.probabilities(maps, np.any(maps != 0, axis=2))
        x, y = ifs.chaos_game(maps, shares, WALKERS, source.points // WALKERS, generator)
        p, q, r, s, t, v = views(np.stack([x, y], axis=1)[:, None], u[:, 42:50], c)[..., None]
        side = c.size + 2
        column = np.clip(p * x + q * y + t + 1, 0, side - 1).astype(np.int64)
        row = np.clip(r * x + s * y + v + 1, 0, side - 1).astype(np.int64)
        cells = row * side + column + (np.arange(len(part)) * side * side)[:, None]
        counts = np.bincount(cells.reshape(-1), minlength=len(part) * side * side)
        counts = counts.reshape(-1, side, side)[:, 1:-1, 1:-1].astype(np.int32)
        paint(counts, np.zeros(counts.shape, dtype=np.float32), u[:, 50:], c, images[start : start + block])
    return images


def rate(work: Callable[[np.ndarray], np.ndarray], indices: np.ndarray) -> float:
    """Images per second of one call."""
    start = time.perf_counter()
    work(indices)
    return len(indices) / (time.perf_counter() - start)


def processor() -> str:
    """What /proc/cpuinfo calls the processor, with family and model, for machines that hide the name."""
    fields: dict[str, str] = {}
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                key, _, value = line.partition(":")
                fields.setdefault(key.strip(), value.strip())
    except OSError:
        return "unknown"
    named = [fields.get("model name", "?"), "family", fields.get("cpu family", "?"), "model", fields.get("model", "?")]
    return " ".join(named)


def main() -> None:
    """Time everything, print the result and, with --out, keep it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="also write the result to this JSON file")
    out: Path | None = parser.parse_args().out
    result: dict[str, object] = {
        "command": " ".join(["python", *sys.argv]),
        **source_commit(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "threads": os.environ.get("OMP_NUM_THREADS", "not set"),
        "numpy": np.__version__,
        "rounds": ROUNDS,
        "unit": "images per second, one process",
    }
    for size in (32, 64):
        order = np.random.default_rng(size)
        grey = Fractals(FractalConfig(classes=CLASSES, size=size))
        colour = Fractals(FractalConfig(classes=CLASSES, size=size, colour=True))
        full = Fractals(FractalConfig(classes=CLASSES, size=size, colour=True, background=True))
        works: dict[str, tuple[Callable[[np.ndarray], np.ndarray], int]] = {
            "grey": (grey.render, 1024),
            "colour": (colour.render, 1024),
            "colour and background": (full.render, 1024),
            "one at a time": (lambda indices, source=grey: [source[int(i)] for i in indices], 256),
            "plain chaos game": (lambda indices, source=grey: plain(source, indices), 128),
        }
        for work, _ in works.values():  # warm-up; finds the function systems
            work(np.arange(CLASSES))
        rounds: dict[str, list[float]] = {name: [] for name in works}
        for _ in range(ROUNDS):
            for name, (work, count) in works.items():
                rounds[name].append(rate(work, order.integers(0, len(grey), count)))
        medians = {name: round(statistics.median(values)) for name, values in rounds.items()}
        ratio = round(medians["grey"] / medians["plain chaos game"], 2)
        spread = {name: [round(min(values)), round(max(values))] for name, values in rounds.items()}
        result[f"{size} px"] = {"median": medians, "lowest and highest": spread, "grey over plain": ratio}
    start = time.perf_counter()
    Fractals(FractalConfig(classes=1000)).systems(np.arange(1000))
    result["seconds to find 1000 systems"] = round(time.perf_counter() - start, 3)
    text = json.dumps(result, indent=2, ensure_ascii=False)
    print(text)
    if out is not None:
        with written_whole(out) as temporary:
            temporary.write_text(text + "\n")


if __name__ == "__main__":
    main()
