"""A study's rows as evidence: which comparisons they allow, with intervals, and what would decide the others."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from vitascope.evaluation.interval import Interval
from vitascope.studies.analysis import OVERFIT, Row, Table, Term
from vitascope.studies.settings import Study, passes

Outcome = Literal["holds", "does not hold", "not reached at these sizes", "not decidable here"]
"""Not reached: it does not hold at the largest size, but is nearer there than at the smallest."""
Pair = tuple[str, str]
Terms = tuple[Term, ...]
Judge = Callable[[Interval], Outcome]

ALIKE = 0.02
"""Accuracies within two points of each other, interval included, are called alike."""
ALIKE_TOLD = f"alike, within {100 * ALIKE:.0f} points"
_OPEN: Outcome = "not decidable here"
_BY_SIGN: tuple[Outcome, ...] = (_OPEN, "holds", "does not hold")


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One comparison that a statement consists of."""

    text: str
    """With its numbers."""
    outcome: Outcome = "not decidable here"
    """By the interval of the difference."""
    more_seeds: int | None = None
    """How many more of every model would decide it about as often as not, if difference and scatter are what they seem;
    None: unknown, or decided."""
    more_hours: float | None = None
    """What they take on this machine, one after the other."""


def above(difference: Interval) -> Outcome:
    """Whether the first is beyond the second."""
    return _BY_SIGN[difference.sign]


def below(difference: Interval) -> Outcome:
    """Whether the first is short of the second."""
    return _BY_SIGN[-difference.sign]


def alike_accuracies(difference: Interval) -> Outcome:
    """Whether both are within ALIKE of each other."""
    if difference.half is None:
        return "not decidable here"
    if abs(difference.mean) + difference.half <= ALIKE:
        return "holds"
    return "does not hold" if abs(difference.mean) - difference.half > ALIKE else "not decidable here"


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What statements are held against, and figures drawn from."""

    study: Study
    """What was run."""
    rows: Sequence[Row]
    """Of all runs that are done."""
    flops: dict[str, float]
    """Operations an image, by model."""
    seconds: dict[str, float]
    """Of training, measured, for an image, by model: what is compared costs most nearly as much."""

    def models(self, kind: str) -> list[str]:
        """Of a kind, the cheapest first."""
        names = dict.fromkeys(row["model"] for row in self.rows if row["kind"] == kind)
        return sorted(names, key=lambda name: self.seconds[name])

    def table(self, measure: str) -> Table:
        """Of one measure."""
        return Table(self.rows, measure, self.study.axis)

    def nearest(self, kind: str, other: str) -> list[Pair]:
        """Each model of a kind beside that of another that takes most nearly as long, by the ratio of times."""

        def apart(pair: Pair) -> float:
            return abs(math.log(self.seconds[pair[0]] / self.seconds[pair[1]]))

        others = self.models(other)
        return [min(((name, rival) for rival in others), key=apart) for name in self.models(kind) if others]

    @property
    def places(self) -> list[int]:
        """Lengths; or sizes that training had time to see whole once, since the others say nothing about the size."""
        axis = self.study.axis
        whole = (row for row in self.rows if axis == "steps" or passes(self.study, row["size"], row["steps"]) >= 1)
        return sorted({row[axis] for row in whole})

    @property
    def few(self) -> str:
        """The few-shot measure that is judged."""
        return f"{min(self.study.shots)}-shot"

    def operations(self, model: str, steps: int) -> float:
        """Of a pre-training: three forward passes' worth for each image seen."""
        return 3 * self.flops[model] * steps * self.study.batch

    def compare(self, measure: str, pairs: Iterable[Pair], place: int, judge: Judge) -> list[Claim]:
        """The claims that `judge` looks for in the differences of models at one of `places`, by its number there."""
        at, table = self.places[place], self.table(measure)
        head = f"{measure}, {at:,} {'images' if self.study.axis == 'size' else 'steps'}"
        return [
            self.claim_of((a, b), table, f"{head}: {a} against {b}", judge, lambda a, b: ((1, a, at), (-1, b, at)))
            for a, b in pairs
        ]

    def gains(self, measure: str, pairs: Iterable[Pair]) -> list[Claim]:
        """Whether the first of each pair gains on the second from the smallest of `places` to the largest."""
        low, high, table = self.places[0], self.places[-1], self.table(measure)

        def terms(a: str, b: str) -> Terms:
            return (1, a, high), (-1, b, high), (-1, a, low), (1, b, low)

        head = f"{measure}, {high:,} images against {low:,}"
        return [self.claim_of((a, b), table, f"{head}: {a} on {b}", above, terms) for a, b in pairs]

    def reaches(self, measure: str, pairs: Sequence[Pair]) -> list[Claim]:
        """`compare` at the largest place by `above`; what only comes nearer there is not contradicted."""
        claims = self.compare(measure, pairs, -1, above)
        nearer = [gain.outcome == "holds" for gain in self.gains(measure, pairs)]
        return [
            replace(claim, outcome="not reached at these sizes", more_seeds=None, more_hours=None)
            if claim.outcome == "does not hold" and near
            else claim
            for claim, near in zip(claims, nearer, strict=True)
        ]

    def alike(self, pair: Pair) -> list[Pair]:
        """Further pairs of the same kinds that share no model with it or one another: they tell its scatter too."""
        kinds = {row["model"]: row["kind"] for row in self.rows}
        sides = [[name for name, kind in kinds.items() if kind == kinds.get(one) and name not in pair] for one in pair]
        if sides[0] == sides[1]:
            sides = [sides[0][::2], sides[0][1::2]]
        return list(zip(*sides, strict=False))

    def claim_of(self, pair: Pair, table: Table, named: str, judge: Judge, terms: Callable[[str, str], Terms]) -> Claim:
        """`claim` of a pair by its `terms`; scatter is that of all pairs `alike`."""
        return self.claim(table, named, judge, terms(*pair), [terms(*other) for other in self.alike(pair)])

    def claim(self, table: Table, named: str, judge: Judge, terms: Terms, alike: Sequence[Terms] = ()) -> Claim:
        """What `judge` says of a sum of means, with its numbers; `alike` tell its scatter too."""
        try:
            found = table.contrast(*terms, alike=alike)
        except KeyError:
            return Claim(text=f"{named}: not run, or diverged")
        said = found.points()
        if table.measure == OVERFIT:
            said = f"{found.mean:+.3f} nats{'' if found.half is None else f' ± {found.half:.3f}'}"
        outcome, more = judge(found), None
        if outcome == _OPEN:
            needed = table.seeds_needed(lambda one: judge(one) != _OPEN, *terms, alike=alike)
            more = None if needed is None else max(needed - found.count, 1)
        hours = self._hours([term for each in (terms, *alike) for term in each], more)
        return Claim(text=f"{named}: {said}", outcome=outcome, more_seeds=more, more_hours=hours)

    def _hours(self, terms: Sequence[Term], seeds: int | None) -> float | None:
        """Of so many more runs of each model and place in `terms`, by what those that are done took."""
        took = {
            (model, place): [
                sum(taken or 0.0 for taken in row["seconds"].values())
                for row in self.rows
                if (row["model"], row[self.study.axis]) == (model, place) and row.get("seconds")
            ]
            for _, model, place in terms
        }
        if seeds is None or not all(took.values()):
            return None
        return seeds * sum(sum(each) / len(each) for each in took.values()) / 3600

    @property
    def missing(self) -> str:
        """Without what nothing can be said."""
        if not self.models("ViT"):
            return "no ViT was run"
        if self.study.axis == "size" and not self.models("ResNet"):
            return "no ResNet was run"
        return "" if len(self.places) > 1 else f"fewer than two {_NAMES[self.study.axis]}"


_NAMES = {"size": "sizes were seen whole", "steps": "lengths were run"}
