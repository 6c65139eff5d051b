"""The paper's statements on data size (Section 4.3) and computation (Section 4.4), held against a study's rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from vitascope.evaluation.interval import Interval
from vitascope.studies.analysis import FINETUNED, OVERFIT, Row, Table
from vitascope.studies.saving import curves, saving
from vitascope.studies.settings import Study, passes

Outcome = Literal["holds", "does not hold", "not decidable here"]
Pair = tuple[str, str]
Judge = Callable[[Interval], Outcome]

ALIKE = 0.02
"""Accuracies within two points of each other, interval included, are called alike."""
_BY_SIGN: tuple[Outcome, ...] = ("not decidable here", "holds", "does not hold")


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One comparison that a statement consists of."""

    text: str
    """With its numbers."""
    outcome: Outcome = "not decidable here"
    """By the interval of the difference."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """A statement of the paper and what this study says of it."""

    statement: str
    """In short."""
    outcome: Outcome
    """holds: every claim does; does not hold: at least one is contradicted."""
    claims: tuple[Claim, ...]
    """What it was judged by."""


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What statements are held against, and figures drawn from."""

    study: Study
    """What was run."""
    rows: Sequence[Row]
    """Of all runs that are done."""
    flops: dict[str, float]
    """Operations an image, by model."""

    def models(self, kind: str) -> list[str]:
        """Of a kind, the cheapest first."""
        names = dict.fromkeys(row["model"] for row in self.rows if row["kind"] == kind)
        return sorted(names, key=lambda name: self.flops[name])

    def table(self, measure: str) -> Table:
        """Of one measure."""
        return Table(self.rows, measure, self.study.axis)

    def nearest(self, kind: str, other: str) -> list[Pair]:
        """Each model of a kind beside that of another which costs most nearly as much, by the ratio of operations."""

        def apart(pair: Pair) -> float:
            return abs(math.log(self.flops[pair[0]] / self.flops[pair[1]]))

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
        return [_claim(table, f"{head}: {a} against {b}", judge, (1, a, at), (-1, b, at)) for a, b in pairs]

    @property
    def missing(self) -> str:
        """Without what nothing can be said."""
        if not self.models("ViT"):
            return "no ViT was run"
        if self.study.axis == "size" and not self.models("ResNet"):
            return "no ResNet was run"
        return "" if len(self.places) > 1 else f"fewer than two {_NAMES[self.study.axis]}"


_NAMES = {"size": "sizes were seen whole", "steps": "lengths were run"}


def verdicts(evidence: Evidence) -> list[Verdict]:
    """All statements that a study of this axis is about."""
    if reason := evidence.missing:
        return [verdict(statement, [Claim(text=reason)]) for statement in STATEMENTS[evidence.study.axis]]
    return [verdict(statement, claims(evidence)) for statement, claims in STATEMENTS[evidence.study.axis].items()]


def verdict(statement: str, claims: Sequence[Claim]) -> Verdict:
    """A statement by its claims."""
    outcomes = {claim.outcome for claim in claims}
    outcome: Outcome = "holds" if outcomes == {"holds"} else "not decidable here"
    return Verdict(
        statement=statement,
        outcome="does not hold" if "does not hold" in outcomes else outcome,
        claims=tuple(claims),
    )


def above(difference: Interval) -> Outcome:
    """Whether the first is beyond the second."""
    return _BY_SIGN[difference.sign]


def below(difference: Interval) -> Outcome:
    """Whether the first is short of the second."""
    return _BY_SIGN[-difference.sign]


def alike(difference: Interval) -> Outcome:
    """Whether both are within ALIKE of each other."""
    if difference.half is None:
        return "not decidable here"
    if abs(difference.mean) + difference.half <= ALIKE:
        return "holds"
    return "does not hold" if abs(difference.mean) - difference.half > ALIKE else "not decidable here"


def _claim(table: Table, named: str, judge: Judge, *terms: tuple[int, str, int]) -> Claim:
    try:
        difference = table.sum(*terms)
    except KeyError:
        return Claim(text=f"{named}: not run, or diverged")
    said = difference.points()
    if table.measure == OVERFIT:
        said = f"{difference.mean:+.3f} nats{'' if difference.half is None else f' ± {difference.half:.3f}'}"
    return Claim(text=f"{named}: {said}", outcome=judge(difference))


def _larger(e: Evidence) -> list[Pair]:
    smallest, *larger = e.models("ViT")
    return [(vit, smallest) for vit in larger]


def _largest(e: Evidence, others: list[str]) -> list[Pair]:
    return [(e.models("ViT")[-1], other) for other in others]


def _only_one(e: Evidence) -> list[Claim]:
    return [] if _larger(e) else [Claim(text="larger ViTs: only one was run")]


def _growth(e: Evidence, vit: str) -> Claim:
    before, last = e.places[-2:]
    named = f"{FINETUNED}: {vit}, {last:,} steps against {before:,}"
    return _claim(e.table(FINETUNED), named, above, (1, vit, last), (-1, vit, before))


def _saving(e: Evidence) -> list[Claim]:
    """Their computation over ours; its interval has every accuracy at the ends of its own."""
    table = e.table(FINETUNED)
    middle, low, high = (
        saving(*(curves(table, e.models(kind), e.operations, way * end) for kind, way in (("ViT", -1), ("ResNet", 1))))
        for end in (0, 1, -1)
    )
    if middle is None:
        return [Claim(text="no accuracy is reached by both sides")]
    text = f"ResNets need {middle:.2g} times the computation of ViTs for the same accuracy"
    if table.scatter is None or low is None or high is None:
        return [Claim(text=text)]
    outcome: Outcome = "holds" if low >= 2 else "does not hold" if high <= 1 else "not decidable here"
    return [Claim(text=f"{text} ({low:.2g} to {high:.2g})", outcome=outcome)]


Claims = Callable[[Evidence], list[Claim]]
STATEMENTS: dict[str, dict[str, Claims]] = {
    "size": {  # Figure 3 (fine-tuned) and Figure 4 (few-shot)
        "Small sets, fine-tuned: larger ViTs below the smaller one, ViTs below ResNets (Fig. 3)": lambda e: (
            _only_one(e) + e.compare(FINETUNED, _larger(e) + e.nearest("ViT", "ResNet"), 0, below)
        ),
        "Medium sets, fine-tuned: ViTs and ResNets alike (Fig. 3)": lambda e: (
            e.compare(FINETUNED, _larger(e) + e.nearest("ViT", "ResNet"), len(e.places) // 2, alike)
            if len(e.places) > 2
            else [Claim(text="only two sizes were seen whole")]
        ),
        "Large sets, fine-tuned: the largest ViT above the smaller ones and the ResNets (Fig. 3)": lambda e: (
            _only_one(e) + e.compare(FINETUNED, _largest(e, e.models("ViT")[:-1] + e.models("ResNet")), -1, above)
        ),
        "Small sets, few-shot: ViTs overfit more than ResNets and are worse (Fig. 4)": lambda e: (
            e.compare(OVERFIT, e.nearest("ViT", "ResNet"), 0, above)
            + e.compare(e.few, e.nearest("ViT", "ResNet"), 0, below)
        ),
        "Large sets, few-shot: the largest ViT above the ResNets (Fig. 4)": lambda e: e.compare(
            e.few, _largest(e, e.models("ResNet")), -1, above
        ),
    },
    "steps": {  # Figure 5
        "ViTs reach the accuracy of ResNets with half to a quarter of the computation (Fig. 5)": _saving,
        "Hybrids are ahead of ViTs with little computation, and no longer with much (Fig. 5)": lambda e: (
            e.compare(FINETUNED, e.nearest("hybrid", "ViT"), 0, above)
            + e.compare(FINETUNED, e.nearest("hybrid", "ViT"), -1, alike)
            or [Claim(text="no hybrid was run")]
        ),
        "ViTs do not saturate within the range (Fig. 5)": lambda e: [_growth(e, vit) for vit in e.models("ViT")],
    },
}
"""What judges each statement, by what a study's results are shown against."""
