"""Iterated function systems: sampling them, and points on their attractors.

A system is 2–7 affine maps (x, y) → (a x + b y + e, c x + d y + f). Maps are kept as arrays (n, MAX_MAPS, 6) in the
order a b c d e f; a map that a system lacks has probability 0. Sampling follows Anderson & Farrell, "Improving Fractal
Pre-training" (WACV 2022, §3.2: singular values under a bound on Σ(σ₁ + 2σ₂)) and FractalDB's acceptance by fill rate
(Kataoka et al., ACCV 2020, §3.2).

Points come without a random walk. The attractor is the union of its copies under *words* (compositions of maps);
`word_table` cuts it into K copies of about equal measure, and every pair of words gives one point, so K words make K²
evenly spread points at the price of K compositions and one matrix product.
"""

from __future__ import annotations

import numpy as np

from vitascope.data.sources.uniforms import uniforms

MAX_MAPS = 7
IDENTITY = MAX_MAPS  # the number that stands for "no further map" in a word
BASES = 8  # a word may occur this often, each time with other innermost points
_SPREAD = np.array([0, 4, 2, 6, 1, 5, 3, 7])  # order of those, so that two or three of them are spread well too
MAX_DEPTH = 24  # longest word; reached only by systems with one dominant map
MAX_SHARE = 0.85  # largest probability of one map: beyond it words would have to be longer than MAX_DEPTH
CONTRACTION = 0.97  # largest singular value after perturbation
_SIGMA_TRIES = 64  # draws of singular values per candidate, of which the first within bounds counts
_FILL_SIZE = 64  # pixels, side of the picture in which the fill rate is measured


def probabilities(maps: np.ndarray, used: np.ndarray) -> np.ndarray:
    """Chance of each map, proportional to the area |ad − bc| it covers: (n, M, 6), bool (n, M) → (n, M), rows sum to 1.

    A map gets at least a tenth of the largest one's, or parts that are mere lines would never be drawn.
    """
    area = np.abs(maps[..., 0] * maps[..., 3] - maps[..., 1] * maps[..., 2])
    area = np.where(used, np.maximum(area, 0.1 * np.max(area * used, axis=1, keepdims=True)), 0.0)
    shares: np.ndarray = area / area.sum(axis=1, keepdims=True)
    return shares


def largest_singular_value(maps: np.ndarray) -> np.ndarray:
    """Of each map's linear part: (…, 6) → (…)."""
    a, b, c, d = (maps[..., k] for k in range(4))
    half = (a * a + b * b + c * c + d * d) / 2
    root = np.sqrt(((a * a + b * b) - (c * c + d * d)) ** 2 / 4 + (a * c + b * d) ** 2)
    value: np.ndarray = np.sqrt(half + root)
    return value


def contract(maps: np.ndarray) -> np.ndarray:
    """Shrink linear parts whose largest singular value exceeds CONTRACTION, so that an attractor exists."""
    shrink = np.minimum(1.0, CONTRACTION / np.maximum(largest_singular_value(maps), 1e-12))
    return maps * np.stack([shrink] * 4 + [np.ones_like(shrink)] * 2, axis=-1)


def candidates(
    seed: int, indices: np.ndarray, attempt: int, fewest: int, most: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw one system for each class index: maps (n, 7, 6), used bool (n, 7), sound bool (n,).

    A system is sound when singular values within the bound were found: ½(5+N) ≤ Σ(σ₁ + 2σ₂) ≤ ½(6+N).
    """
    n = len(indices)
    u = uniforms(seed, 2 * attempt, indices, 1 + 6 * MAX_MAPS)
    number = fewest + np.floor(u[:, 0] * (most - fewest + 1)).astype(np.int64)
    used = np.arange(MAX_MAPS) < number[:, None]
    s = uniforms(seed, 2 * attempt + 1, indices, _SIGMA_TRIES * 2 * MAX_MAPS).reshape(n, _SIGMA_TRIES, MAX_MAPS, 2)
    first = s[..., 0]
    second = first * s[..., 1]
    total = ((first + 2 * second) * used[:, None]).sum(axis=2)  # (n, tries)
    good = (total >= (5 + number[:, None]) / 2) & (total <= (6 + number[:, None]) / 2)
    chosen = good.argmax(axis=1)
    row = np.arange(n)
    s1, s2 = first[row, chosen], second[row, chosen]  # (n, M)
    left, right, e, f, sign1, sign2 = np.moveaxis(u[:, 1:].reshape(n, MAX_MAPS, 6), -1, 0)
    cl, sl = np.cos(2 * np.pi * left), np.sin(2 * np.pi * left)
    cr, sr = np.cos(2 * np.pi * right), np.sin(2 * np.pi * right)
    d1, d2 = np.where(sign1 < 0.5, -1.0, 1.0), np.where(sign2 < 0.5, -1.0, 1.0)
    # rotation(left) · diag(s1, s2) · rotation(right) · diag(d1, d2)
    maps = np.stack(
        [
            (cl * s1 * cr - sl * s2 * sr) * d1,
            (-cl * s1 * sr - sl * s2 * cr) * d2,
            (sl * s1 * cr + cl * s2 * sr) * d1,
            (-sl * s1 * sr + cl * s2 * cr) * d2,
            2 * e - 1,
            2 * f - 1,
        ],
        axis=-1,
    )
    return contract(maps) * used[..., None], used, good.any(axis=1)


def sample_systems(
    seed: int, indices: np.ndarray, *, fewest: int, most: int, fill: tuple[float, float], attempts: int = 200
) -> tuple[np.ndarray, np.ndarray]:
    """Function systems of the given classes: float64 maps (n, 7, 6) and probabilities (n, 7).

    System i depends on (seed, indices[i]) only: candidates are drawn until one is sound, has no map more probable than
    MAX_SHARE and covers a share of its bounding box within `fill`. A class that meets no such candidate in `attempts`
    draws (never seen with the defaults) keeps its last one.
    """
    indices = np.asarray(indices, dtype=np.int64)
    maps = np.zeros((len(indices), MAX_MAPS, 6))
    shares = np.zeros((len(indices), MAX_MAPS))
    pending = np.arange(len(indices))
    for attempt in range(attempts):
        drawn, used, sound = candidates(seed, indices[pending], attempt, fewest, most)
        p = probabilities(drawn, used)
        maps[pending], shares[pending] = drawn, p
        sound &= p.max(axis=1) <= MAX_SHARE
        rate = np.zeros(len(pending))
        rate[sound] = fill_rate(drawn[sound], p[sound])
        pending = pending[(rate < fill[0]) | (rate > fill[1])]
        if not len(pending):
            break
    return maps, shares


def word_table(shares: np.ndarray, words: int) -> np.ndarray:
    """Cut each attractor into `words` copies of about equal measure: (n, M) → int8 (n, MAX_DEPTH, words) map numbers.

    Word i is the address of (i + ½)/words under the maps' probabilities (arithmetic decoding, outermost map first),
    ended with IDENTITY once its measure is at most BASES/words: neighbours with the same address are told apart by
    their base point.
    """
    n = len(shares)
    upper = np.cumsum(shares, axis=1)
    lower = upper - shares
    last = (shares > 0).sum(axis=1) - 1  # rounding in the sum must not reach a map that is absent
    u = np.broadcast_to((np.arange(words) + 0.5) / words, (n, words))
    width = np.ones((n, words))
    table = np.full((n, MAX_DEPTH, words), IDENTITY, dtype=np.int8)
    row = np.arange(n)[:, None]
    for depth in range(MAX_DEPTH):
        active = width > BASES / words
        if not active.any():
            break
        choice = np.minimum((u[..., None] >= upper[:, None]).sum(axis=2), last[:, None])
        table[:, depth] = np.where(active, choice, IDENTITY)
        share = shares[row, choice]
        u = np.clip((u - lower[row, choice]) / share, 0.0, 1.0)
        width = np.where(active, width * share, width)
    return table


def compose(maps: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Multiply the words out: maps (n, M, 6), table (n, depth, K) → float32 (6, n, K), order a b c d e f."""
    n, _, count = table.shape
    everyone = np.zeros((6, n, MAX_MAPS + 1), dtype=np.float32)
    everyone[:, :, :MAX_MAPS] = np.moveaxis(maps, -1, 0)
    everyone[0, :, IDENTITY] = everyone[3, :, IDENTITY] = 1.0
    flat = everyone.reshape(6, -1)
    depths = (table != IDENTITY).any(axis=2).sum(axis=1)  # (n,)
    order = np.argsort(-depths, kind="stable")  # longest words first, so that each level is a slice of images
    table = table[order]
    offset = (order * (MAX_MAPS + 1))[:, None]
    out = np.empty((6, n, count), dtype=np.float32)
    done = flat.take(table[:, 0] + offset, axis=1)
    for level in range(1, depths.max(initial=1)):
        m = int((depths > level).sum())
        a, b, c, d, e, f = done[:, :m]
        a2, b2, c2, d2, e2, f2 = flat.take(table[:m, level] + offset[:m], axis=1)
        e, f = a * e2 + b * f2 + e, c * e2 + d * f2 + f
        done[4, :m], done[5, :m] = e, f
        done[:4, :m] = a * a2 + b * c2, a * b2 + b * d2, c * a2 + d * c2, c * b2 + d * d2
    out[:, order] = done
    return out


def follow(outer: np.ndarray, words: np.ndarray) -> np.ndarray:
    """One more map after each word of its image: outer (6, n), words (6, n, K) → (6, n, K)."""
    p, q, r, s, t, v = outer[..., None]
    a, b, c, d, e, f = words
    return np.stack([p * a + q * c, p * b + q * d, r * a + s * c, r * b + s * d, p * e + q * f + t, r * e + s * f + v])


def inner_points(maps: np.ndarray, words: np.ndarray) -> np.ndarray:
    """BASES sets of K points spread over each attractor: maps (n, M, 6), words (6, n, K) → float32 (n, BASES, 2, K).

    Every point is a word applied to one point of the attractor, hence lies on it. That point is a central one: tips of
    long arms, such as fixed points may be, would put an image of themselves into every piece.
    """
    a, b, c, d, e, f = np.moveaxis(maps[:, 0], -1, 0)  # (n,)
    scale = (1 - a) * (1 - d) - b * c
    x0 = (((1 - d) * e + b * f) / scale).astype(np.float32)[:, None]
    y0 = ((c * e + (1 - a) * f) / scale).astype(np.float32)[:, None]
    wa, wb, wc, wd, we, wf = words
    xs, ys = wa * x0 + wb * y0 + we, wc * x0 + wd * y0 + wf  # (n, K)
    away = (xs - xs.mean(axis=1, keepdims=True)) ** 2 + (ys - ys.mean(axis=1, keepdims=True)) ** 2
    central = away.argmin(axis=1)[:, None]
    x0, y0 = np.take_along_axis(xs, central, axis=1), np.take_along_axis(ys, central, axis=1)
    count = words.shape[2]
    # One base per pair of remainders (of the outer word, of the inner word), evenly spaced in measure.
    rank = _SPREAD[:, None] + BASES * _SPREAD  # (outer, inner)
    starts = ((2 * rank + 1) * count // (2 * BASES**2)).reshape(-1)
    xs = wa[:, starts] * x0 + wb[:, starts] * y0 + we[:, starts]  # (n, BASES²)
    ys = wc[:, starts] * x0 + wd[:, starts] * y0 + wf[:, starts]
    points = np.empty((len(maps), BASES, 2, count), dtype=np.float32)
    for base in range(BASES):
        pick = base * BASES + np.arange(count) % BASES
        x, y = xs[:, pick], ys[:, pick]
        points[:, base, 0] = wa * x + wb * y + we
        points[:, base, 1] = wc * x + wd * y + wf
    return points


def fill_rate(maps: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Share of the bounding box's 64×64 cells that hold a point: (n, M, 6), (n, M) → (n,) in [0, 1]."""
    rates = np.zeros(len(maps))
    for start in range(0, len(maps), 64):
        part = slice(start, start + 64)
        words = compose(maps[part], word_table(shares[part], 2 * _FILL_SIZE))
        points = attractor(words, inner_points(maps[part], words))
        n = len(points)
        cells = np.zeros((n, _FILL_SIZE * _FILL_SIZE), dtype=bool)
        index = np.zeros((n, points[0].size // 2), dtype=np.int64)
        for axis, stride in ((0, 1), (1, _FILL_SIZE)):
            values = points[:, :, axis].reshape(n, -1)
            low, high = values.min(axis=1, keepdims=True), values.max(axis=1, keepdims=True)
            cell = (values - low) / np.maximum(high - low, 1e-9) * np.float32(_FILL_SIZE * 0.99999)
            index += cell.astype(np.int64) * stride
        np.put_along_axis(cells, index, True, axis=1)
        rates[part] = cells.mean(axis=1)
    return rates


def attractor(words: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Every word applied to its set of points: (6, n, K), (n, BASES, 2, K) → float32 (n, BASES, 2, K/BASES, K).

    Axis 2 is x, y. Word i takes set i mod BASES; K must be a multiple of BASES.
    """
    _, n, count = words.shape
    rows = words[[0, 1, 4, 2, 3, 5]]  # x from a b e, y from c d f
    left = rows.reshape(2, 3, n, count // BASES, BASES).transpose(2, 4, 0, 3, 1)  # (n, B, 2, K/B, 3)
    left = np.ascontiguousarray(left).reshape(n, BASES, -1, 3)
    right = np.ones((n, BASES, 3, count), dtype=np.float32)
    right[:, :, :2] = points
    return np.matmul(left, right).reshape(n, BASES, 2, count // BASES, count)
