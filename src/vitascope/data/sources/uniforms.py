"""Stateless random numbers: uniforms that depend on (seed, stream, index) and on nothing else.

A generator object would have to be built for every image (about 20 µs each) and knows an order; a hash of counters
is vectorised, has no state and gives the same bits on every platform.
"""

from __future__ import annotations

import numpy as np

_WEYL = np.uint64(0x9E3779B97F4A7C15)  # 2**64 / golden ratio, the increment of SplitMix64


def _mix(x: np.ndarray) -> np.ndarray:
    """Scramble 64-bit words, uint64 (…) → (…): SplitMix64's finaliser (Steele et al., OOPSLA 2014, Fig. 16)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def uniforms(seed: int, stream: int, indices: np.ndarray, count: int) -> np.ndarray:
    """Draw `count` numbers for each index, float64 (n, count) in [0, 1).

    `stream` separates uses that share a seed. Row r depends on (seed, stream, indices[r]) only.
    """
    key = np.array([(seed * 2 + 1) & 0xFFFFFFFFFFFFFFFF], dtype=np.uint64)
    key = _mix(_mix(key + _WEYL) + np.array([stream], dtype=np.uint64) * _WEYL)
    rows = _mix(key + (np.asarray(indices).astype(np.uint64) + np.uint64(1)) * _WEYL)  # (n,)
    steps = (np.arange(count, dtype=np.uint64) + np.uint64(1)) * _WEYL
    bits = _mix(rows[:, None] + steps)  # (n, count)
    numbers: np.ndarray = (bits >> np.uint64(11)) * 2.0**-53
    return numbers
