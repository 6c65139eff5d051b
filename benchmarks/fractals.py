"""Images per second of the fractal generator in one process, beside the plain chaos game.

python benchmarks/fractals.py [--rounds 7]

The plain version has the same systems, views, number of points and painting; its points are vectorised random walks.
NumPy does all of it on one core.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from contest import Way, contest, keep, ratios, spread, summary
from vitascope.data.sources import ifs
from vitascope.data.sources.fractal_paint import paint
from vitascope.data.sources.fractals import DRAWS, STREAM, FractalConfig, Fractals, views
from vitascope.data.sources.uniforms import uniforms

CLASSES = 200
WALKERS = 64


def chaos_game(
    maps: np.ndarray, shares: np.ndarray, walkers: int, steps: int, generator: np.random.Generator, burn_in: int = 16
) -> tuple[np.ndarray, np.ndarray]:
    """The plain way to the attractor: random walks → x, y float32 (n, steps · walkers)."""
    n = len(maps)
    flat = maps.astype(np.float32).reshape(-1, 6)
    upper = np.cumsum(shares, axis=1)[:, None]  # (n, 1, M)
    last = ((shares > 0).sum(axis=1) - 1)[:, None]
    offset = (np.arange(n) * ifs.MAX_MAPS)[:, None]
    x = np.zeros((n, walkers), dtype=np.float32)
    y = np.zeros((n, walkers), dtype=np.float32)
    xs, ys = [], []
    for step in range(burn_in + steps):
        choice = (generator.random((n, walkers))[..., None] >= upper).sum(axis=2)
        a, b, c, d, e, f = np.moveaxis(flat[np.minimum(choice, last) + offset], -1, 0)
        x, y = a * x + b * y + e, c * x + d * y + f
        if step >= burn_in:
            xs.append(x)
            ys.append(y)
    return np.concatenate(xs, axis=1), np.concatenate(ys, axis=1)


def plain(systems: np.ndarray, source: Fractals, indices: np.ndarray, block: int = 16) -> np.ndarray:
    """The same pictures the plain way, grey on black, (n,) → uint8 (n, S, S, 3); systems (classes, 7, 6)."""
    c = source.config
    generator = np.random.default_rng(0)
    images = np.empty((len(indices), c.size, c.size, 3), dtype=np.uint8)
    steps = max(96, 2 * c.size) ** 2 // WALKERS
    for start in range(0, len(indices), block):
        part = indices[start : start + block]
        u = uniforms(c.seed, STREAM, part, DRAWS)
        maps = systems[part % c.classes]
        maps = ifs.contract(maps * (1.0 + c.jitter * (2.0 * u[:, :42] - 1.0)).reshape(maps.shape))
        shares = ifs.probabilities(maps, np.any(maps != 0, axis=2))
        x, y = chaos_game(maps, shares, WALKERS, steps, generator)
        p, q, r, s, t, v = views(np.stack([x, y], axis=1)[:, None], u[:, 42:50], c)[..., None]
        side = c.size + 2
        column = np.clip(p * x + q * y + t + 1, 0, side - 1).astype(np.int64)
        row = np.clip(r * x + s * y + v + 1, 0, side - 1).astype(np.int64)
        cells = row * side + column + (np.arange(len(part)) * side * side)[:, None]
        counts = np.bincount(cells.reshape(-1), minlength=len(part) * side * side)
        counts = counts.reshape(-1, side, side)[:, 1:-1, 1:-1].astype(np.int32)
        nothing = np.zeros(counts.shape, dtype=np.float32)
        paint(counts, nothing, u[:, 50:], False, False, images[start : start + block])
    return images


def found(classes: int) -> np.ndarray:
    """The systems of so many classes, (classes, 7, 6)."""
    c = FractalConfig()
    return ifs.sample_systems(
        c.seed, np.arange(classes), fewest=c.fewest_maps, most=c.most_maps, fill=(c.min_fill, c.max_fill)
    )[0]


def ways(size: int) -> list[Way]:
    """Every kind of picture of `size` pixels a side, and the plain version of the simplest."""
    order = np.random.default_rng(size)
    grey = Fractals(FractalConfig(classes=CLASSES, size=size))
    colour = Fractals(FractalConfig(classes=CLASSES, size=size, colour=True))
    full = Fractals(FractalConfig(classes=CLASSES, size=size, colour=True, background=True))
    many, few = order.integers(0, len(grey), 1024), order.integers(0, len(grey), 128)
    for source in (grey, colour, full):
        source.read_many(np.arange(CLASSES))  # systems are found once, then remembered
    systems = found(CLASSES)
    return [
        Way(name="vitascope", run=lambda: grey.read_many(many), images=len(many)),
        Way(name="vitascope, colour", run=lambda: colour.read_many(many), images=len(many)),
        Way(name="vitascope, colour and background", run=lambda: full.read_many(many), images=len(many)),
        Way(name="vitascope, one at a time", run=lambda: [grey[int(i)] for i in few], images=len(few)),
        Way(name="plain chaos game", run=lambda: plain(systems, grey, few), images=len(few)),
    ]


def main() -> None:
    """Times everything at 64 pixels, where the ratio is taken, and at 32."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    large, small = ways(64), ways(32)
    seconds, seconds_small = contest(large, rounds), contest(small, rounds)
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        found(1000)
        times.append(time.perf_counter() - start)
    result = {
        "measure": "fractals of 64 pixels, grey, one process",
        "ways": summary(large, seconds),
        "ways_at_32_pixels": summary(small, seconds_small),
        "seconds_to_find_1000_systems": spread(times),
        "ratios": ratios(large, seconds),
    }
    print(keep("fractals", result).read_text())


if __name__ == "__main__":
    main()
