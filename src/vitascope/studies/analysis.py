"""From a study's rows to differences that can be told from chance, and to where one model passes another."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from vitascope.evaluation.interval import Interval, student_t

Row = dict[str, Any]
"""What `cells.run_cell` found."""

FINETUNED, OVERFIT = "fine-tuned", "overfit"


def measured(rows: Iterable[Row], axis: str) -> list[tuple[Row, dict[str, float]]]:
    """Each row, and what is told of it: shares in [0, 1], and by how much the validation loss rises from its least.

    It has risen most where a run was longest, and patience ends each at another step; so that is told after as many
    steps as all runs of a place and seed took.
    """
    found = [row for row in rows if "diverged" not in row]
    ends: dict[tuple[int, int], int] = {}
    for row in found:
        place = row[axis], row["seed"]
        ends[place] = min(ends.get(place, taken(row)), taken(row))
    return [(row, _measures(row, ends[row[axis], row["seed"]])) for row in found]


def taken(row: Row) -> int:
    """Steps of a pre-training, which patience may have ended."""
    return int(row["pretraining"].get("steps", row["steps"]))


def _measures(row: Row, end: int) -> dict[str, float]:
    first = row["pretraining"]
    few: dict[str, float] = {}
    for entry in row["fewshot"]:  # the first λ is the one that is judged
        name = f"{entry['shots']}-shot"
        few[f"{name}, λ {entry['l2']:g}" if name in few else name] = entry["mean"]
    return {
        FINETUNED: row["finetuning"]["top1"],
        **few,
        **({"pre-training": first["top1"]} if "top1" in first else {}),
        **({OVERFIT: rise} if (rise := _rise(row, end)) is not None else {}),
    }


def _rise(row: Row, end: int) -> float | None:
    """Of the validation loss from its least to a step; None where it is not known of that step."""
    first = row["pretraining"]
    if taken(row) == end:
        return float(first["last_loss"] - first["least_loss"])
    losses = [loss for step, loss in first.get("looks", ()) if step <= end]
    return losses[-1] - min(losses) if losses else None


Term = tuple[int, str, int]
"""A weight, a model and a place: part of a sum of means."""
_MOST_SEEDS = 1000
"""More than anybody runs."""


class Table:
    """One measure of all runs: model → place on the x axis → values, in the order of their seeds.

    What is compared is compared seed by seed, because runs of one seed share images and order. How much a model
    scatters is told by all models of its kind at the same place.
    """

    def __init__(self, rows: Iterable[Row], measure: str, axis: str) -> None:
        self.measure, self.axis = measure, axis
        self._seeds: dict[tuple[str, int], dict[int, float]] = {}
        self._kinds: dict[str, str] = {}
        for row, values in sorted(measured(rows, axis), key=lambda told: int(told[0]["seed"])):
            if measure in values:
                self._seeds.setdefault((row["model"], row[axis]), {})[row["seed"]] = values[measure]
                self._kinds[row["model"]] = row["kind"]
        self.values: dict[str, dict[int, list[float]]] = {}
        for (model, place), by_seed in self._seeds.items():
            self.values.setdefault(model, {})[place] = list(by_seed.values())

    def places(self, *models: str) -> list[int]:
        """Where all of `models` have been run, ascending."""
        return sorted(set.intersection(*(set(self.values.get(model, {})) for model in models)))

    def scatter(self, model: str, place: int) -> tuple[float, int] | None:
        """Standard deviation over seeds of a model's kind at a place, and its degrees of freedom.

        Where each has one seed there, the largest at other places stands for it; None where there is none.
        """
        family = [by for name, by in self.values.items() if self._kinds[name] == self._kinds[model]]
        here = _pooled(by[place] for by in family if place in by)
        elsewhere = (_pooled(by[other] for by in family if other in by) for other in {p for by in family for p in by})
        return here or max(filter(None, elsewhere), default=None)

    def mean(self, model: str, place: int) -> Interval:
        """Of a model somewhere, with its 95 % interval; KeyError where it was not run."""
        return self._unpaired([(1, model, place)])

    def difference(self, model: str, other: str, place: int) -> Interval:
        """`model` less `other`."""
        return self.contrast((1, model, place), (-1, other, place))

    def contrast(self, *terms: Term, alike: Iterable[Sequence[Term]] = ()) -> Interval:
        """Of means times weights, seed by seed, with its 95 % interval; KeyError where one was not run.

        Scatter is that of this sum and those `alike`, which share no model with it or with one another. Without two
        seeds in common it is that of each model.
        """
        groups = self._paired(terms, alike)
        pooled = _pooled(groups)
        if pooled is None:
            return self._unpaired(terms)
        own, (scatter, freedom) = groups[0], pooled
        half = student_t(freedom) * scatter / math.sqrt(len(own))
        return Interval(mean=float(np.mean(own)), half=half, count=len(own))

    def seeds_needed(
        self, decides: Callable[[Interval], bool], *terms: Term, alike: Iterable[Sequence[Term]] = ()
    ) -> int | None:
        """Seeds with which `contrast` would be decided, if its mean and scatter are what they seem.

        None without two seeds in common, and where a thousand are not enough.
        """
        groups = self._paired(terms, alike)
        pooled = _pooled(groups)
        if pooled is None:
            return None
        mean, (scatter, _) = float(np.mean(groups[0])), pooled
        for n in range(2, _MOST_SEEDS):
            half = student_t(len(groups) * (n - 1)) * scatter / math.sqrt(n)
            if decides(Interval(mean=mean, half=half, count=n)):
                return n
        return None

    def _paired(self, terms: Sequence[Term], alike: Iterable[Sequence[Term]]) -> list[list[float]]:
        """The sum seed by seed, then those of `alike` that have two seeds; nothing where it has not itself."""
        own = self._by_seed(terms)
        others = (self._by_seed(other) for other in alike)
        return [own, *(group for group in others if len(group) > 1)] if len(own) > 1 else []

    def _by_seed(self, terms: Sequence[Term]) -> list[float]:
        groups = [self._seeds.get((model, place), {}) for _, model, place in terms]
        common = sorted(set.intersection(*map(set, groups)))
        return [sum(w * group[seed] for (w, _, _), group in zip(terms, groups, strict=True)) for seed in common]

    def _unpaired(self, terms: Sequence[Term]) -> Interval:
        groups = [(weight, self.values[model][place]) for weight, model, place in terms]
        known = [scatter for _, model, place in terms if (scatter := self.scatter(model, place)) is not None]
        half = None
        if len(known) == len(terms):
            variances = ((w * s) ** 2 / len(values) for (w, values), (s, _) in zip(groups, known, strict=True))
            half = student_t(min(freedom for _, freedom in known)) * math.sqrt(sum(variances))
        mean = sum(weight * float(np.mean(values)) for weight, values in groups)
        return Interval(mean=mean, half=half, count=min(len(values) for _, values in groups))


def _pooled(groups: Iterable[Sequence[float]]) -> tuple[float, int] | None:
    """Standard deviation about the means of groups, and degrees of freedom; None where no group has two values."""
    told = [np.array(group) for group in groups if len(group) > 1]
    freedom = sum(len(group) - 1 for group in told)
    squares = sum(float(((group - group.mean()) ** 2).sum()) for group in told)
    return (math.sqrt(squares / freedom), freedom) if freedom else None


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
