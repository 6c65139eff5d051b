"""From a study's rows to differences that can be told from chance, and to where one model passes another."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from vitascope.evaluation.interval import Interval, student_t

Row = dict[str, Any]

FINETUNED, OVERFIT = "fine-tuned", "overfit"


def measures(row: Row) -> dict[str, float]:
    """What is told of a run: shares in [0, 1], and by how much the validation loss rises from its least to the end."""
    if "diverged" in row:
        return {}
    first = row["pretraining"]
    few = {f"{entry['shots']}-shot": entry["mean"] for entry in row["fewshot"]}
    return {
        FINETUNED: row["finetuning"]["top1"],
        **few,
        "pre-training": first["top1"],
        OVERFIT: first["last_loss"] - first["least_loss"],
    }


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One model's mean less another's, at the same place."""

    value: float
    """In the measure's unit."""
    half: float | None
    """Half the width of its 95 % interval; None where no model was run with two seeds, so that nobody knows."""

    @property
    def sign(self) -> int:
        """1 or −1 where the interval leaves 0 out, else 0."""
        return 0 if self.half is None or abs(self.value) <= self.half else (1 if self.value > 0 else -1)

    def points(self) -> str:
        """ "+3.1 ± 0.8 points"."""
        return f"{100 * self.value:+.1f}{'' if self.half is None else f' ± {100 * self.half:.1f}'} points"

    def as_json(self) -> dict[str, float | None]:
        """All of it as JSON values."""
        return asdict(self)


class Table:
    """One measure of all runs: model → place on the x axis → values by seed.

    Runs with one seed have no scatter of their own. That of all models and places with several is pooled, as in an
    analysis of variance, which takes them to be alike.
    """

    def __init__(self, rows: Iterable[Row], measure: str, axis: str) -> None:
        self.measure, self.axis = measure, axis
        self.values: dict[str, dict[int, list[float]]] = {}
        for row in rows:
            found = measures(row)
            if measure in found:
                self.values.setdefault(row["model"], {}).setdefault(row[axis], []).append(found[measure])
        groups = [np.array(v) for by in self.values.values() for v in by.values() if len(v) > 1]
        self.freedom = sum(len(g) - 1 for g in groups)
        squares = sum(float(((g - g.mean()) ** 2).sum()) for g in groups)
        self.scatter = math.sqrt(squares / self.freedom) if self.freedom else None

    def mean(self, model: str, place: int) -> float:
        """Over the seeds."""
        return float(np.mean(self.values[model][place]))

    def places(self, *models: str) -> list[int]:
        """Where all of `models` have been run, ascending."""
        return sorted(set.intersection(*(set(self.values.get(model, {})) for model in models)))

    def interval(self, model: str, place: int) -> Interval:
        """The mean of a model somewhere, with its 95 % interval from the pooled scatter."""
        values = self.values[model][place]
        return Interval(mean=float(np.mean(values)), half=self._half(1 / len(values)), count=len(values))

    def difference(self, model: str, other: str, place: int) -> Difference:
        """`model` less `other`; raises KeyError where one was not run."""
        counts = [len(self.values[name][place]) for name in (model, other)]
        value = self.mean(model, place) - self.mean(other, place)
        return Difference(value=value, half=self._half(1 / counts[0] + 1 / counts[1]))

    def growth(self, model: str, place: int, later: int) -> Difference:
        """A model at `later` less the same at `place`."""
        counts = [len(self.values[model][where]) for where in (place, later)]
        value = self.mean(model, later) - self.mean(model, place)
        return Difference(value=value, half=self._half(1 / counts[0] + 1 / counts[1]))

    def _half(self, variance: float) -> float | None:
        return None if self.scatter is None else student_t(self.freedom) * self.scatter * math.sqrt(variance)


@dataclass(frozen=True, kw_only=True)
class Crossover:
    """Where one model passes another as the number of images grows."""

    size: float | None
    """Images at which both are as good, by a straight line over the logarithm; None where neither passes."""
    low: float | None
    """From here on the first may be ahead: its interval reaches 0. None: from the smallest size on, or never."""
    high: float | None
    """From here on it is ahead beyond chance; None: nowhere within the sizes, as always where chance is unknown."""
    ahead: int
    """At the largest size: 1 the first model, −1 the second, 0 cannot be told."""


def crossover(table: Table, model: str, other: str) -> Crossover | None:
    """Where `model` passes `other`, the last time; None with fewer than two common places."""
    places = table.places(model, other)
    if len(places) < 2:
        return None
    found = [table.difference(model, other, place) for place in places]
    middle = [d.value for d in found]
    spread = [math.inf if d.half is None else d.half for d in found]  # one seed: it may be anywhere
    return Crossover(
        size=rising_zero(places, middle),
        low=rising_zero(places, [m + s for m, s in zip(middle, spread, strict=True)]),
        high=rising_zero(places, [m - s for m, s in zip(middle, spread, strict=True)]),
        ahead=found[-1].sign,
    )


def rising_zero(places: list[int], values: list[float]) -> float | None:
    """Where values rise through 0 for the last time, between two places on a logarithmic axis; None if they do not."""
    result = None
    for (a, left), (b, right) in pairwise(zip(places, values, strict=True)):
        if left < 0 <= right:
            result = math.exp(math.log(a) + (math.log(b) - math.log(a)) * -left / (right - left))
    return result


def nearest_cost(model: str, others: Iterable[str], flops: dict[str, float]) -> str:
    """Which of `others` costs most nearly what `model` does, by the ratio of operations an image."""
    return min(others, key=lambda name: abs(math.log(flops[name] / flops[model])))
