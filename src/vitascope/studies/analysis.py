"""From a study's rows to differences that can be told from chance, and to where one model passes another."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from vitascope.evaluation.interval import Interval, student_t

Row = dict[str, Any]
"""What `cells.run_cell` found."""

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


class Table:
    """One measure of all runs: model → place on the x axis → values by seed.

    Runs with one seed have no scatter of their own. That of all models and places with several is pooled, as in an
    analysis of variance, which takes them to be alike.
    """

    def __init__(self, rows: Iterable[Row], measure: str, axis: str) -> None:
        self.measure, self.axis = measure, axis
        self.values: dict[str, dict[int, list[float]]] = {}
        for row in rows:
            values = measures(row)
            if measure in values:
                self.values.setdefault(row["model"], {}).setdefault(row[axis], []).append(values[measure])
        groups = [np.array(v) for by in self.values.values() for v in by.values() if len(v) > 1]
        self.freedom = sum(len(g) - 1 for g in groups)
        squares = sum(float(((g - g.mean()) ** 2).sum()) for g in groups)
        self.scatter = math.sqrt(squares / self.freedom) if self.freedom else None

    def places(self, *models: str) -> list[int]:
        """Where all of `models` have been run, ascending."""
        return sorted(set.intersection(*(set(self.values.get(model, {})) for model in models)))

    def mean(self, model: str, place: int) -> Interval:
        """Of a model somewhere."""
        return self.sum((1, model, place))

    def difference(self, model: str, other: str, place: int) -> Interval:
        """`model` less `other`."""
        return self.sum((1, model, place), (-1, other, place))

    def sum(self, *terms: tuple[int, str, int]) -> Interval:
        """Of means times weights, with its 95 % interval from the pooled scatter; KeyError where one was not run."""
        groups = [(weight, self.values[model][place]) for weight, model, place in terms]
        variance = sum(weight**2 / len(values) for weight, values in groups)
        half = None if self.scatter is None else student_t(self.freedom) * self.scatter * math.sqrt(variance)
        mean = sum(weight * float(np.mean(values)) for weight, values in groups)
        return Interval(mean=mean, half=half, count=sum(len(values) for _, values in groups))


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
    differences = [table.difference(model, other, place) for place in places]
    means = [one.mean for one in differences]
    spread = [math.inf if one.half is None else one.half for one in differences]  # one seed: it may be anywhere
    high, low = ([mean - sign * half for mean, half in zip(means, spread, strict=True)] for sign in (1, -1))
    size, low_end, high_end = (max(rises(places, values, 0.0), default=None) for values in (means, low, high))
    return Crossover(size=size, low=low_end, high=high_end, ahead=differences[-1].sign)


def rises(places: Sequence[float], values: Sequence[float], level: float) -> list[float]:
    """Where values rise through a level, each time between two places on a logarithmic axis."""
    return [
        math.exp(math.log(a) + (math.log(b) - math.log(a)) * (level - left) / (right - left))
        for (a, left), (b, right) in pairwise(zip(places, values, strict=True))
        if left < level <= right
    ]
