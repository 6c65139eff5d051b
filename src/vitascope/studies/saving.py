"""How much less computation one side needs for the same accuracy (Figure 5)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from vitascope.studies.analysis import Table, rises

_LEVELS = 9
"""Accuracies, evenly spread over what both sides reach, at which their computation is compared."""

Curve = list[tuple[float, float]]
"""(operations, accuracy), ascending."""


def curves(table: Table, names: Sequence[str], operations: Callable[[str, int], float], shift: int = 0) -> list[Curve]:
    """Accuracy against the `operations` of a model's steps, moved by `shift` times half of its interval."""
    all_curves = []
    for name in names:
        means = {steps: table.mean(name, steps) for steps in table.places(name)}
        moved = {steps: one.mean + shift * (one.half or 0.0) for steps, one in means.items()}
        all_curves.append([(operations(name, steps), value) for steps, value in moved.items()])
    return [curve for curve in all_curves if curve]


def saving(ours: list[Curve], theirs: list[Curve]) -> float | None:
    """Their least computation over ours, the geometric mean over accuracies that both reach; None without any."""
    if not ours or not theirs:  # all runs of a side diverged
        return None
    reached = [[accuracy for curve in side for _, accuracy in curve] for side in (ours, theirs)]
    low, high = max(map(min, reached)), min(map(max, reached))
    if low >= high:
        return None
    levels = np.linspace(low, high, _LEVELS)
    ratio = math.exp(np.mean([math.log(least_compute(theirs, a) / least_compute(ours, a)) for a in levels]))
    return round(ratio, 9)  # twice is twice, whatever the last bit of a logarithm


def least_compute(curves: list[Curve], accuracy: float) -> float:
    """The least operations at which any curve reaches an accuracy, interpolated over their logarithm; inf if none."""
    reached = [math.inf]
    for curve in curves:
        operations, accuracies = zip(*curve, strict=True)
        reached += operations[:1] if accuracies[0] >= accuracy else rises(operations, accuracies, accuracy)
    return min(reached)
