"""What the paper says of data size (Section 4.3), each statement held against a study's differences."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from vitascope.studies.analysis import FINETUNED, OVERFIT, Difference, Row, Table, nearest_cost

Outcome = Literal["holds", "does not hold", "not decidable here"]

ALIKE = 0.02
"""Accuracies within two points of each other, interval included, are called alike."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One comparison that a statement consists of."""

    text: str
    """With its numbers."""
    outcome: Outcome
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

    def as_json(self) -> dict[str, Any]:
        """All of it as JSON values."""
        claims = [{"text": claim.text, "outcome": claim.outcome} for claim in self.claims]
        return {"statement": self.statement, "outcome": self.outcome, "claims": claims}


@dataclass(frozen=True, kw_only=True)
class Sides:
    """Who stands where: names by kind, the cheapest first."""

    vits: tuple[str, ...]
    """Pure ViTs."""
    resnets: tuple[str, ...]
    """Baselines."""
    flops: dict[str, float]
    """Operations an image, by name."""

    def rival(self, vit: str) -> str:
        """The ResNet that costs most nearly what a ViT does."""
        return nearest_cost(vit, self.resnets, self.flops)


def sides(rows: list[Row], flops: dict[str, float]) -> Sides:
    """From the kinds in the rows."""
    kinds = {row["model"]: row["kind"] for row in rows}
    order = sorted(kinds, key=lambda name: flops[name])
    return Sides(
        vits=tuple(name for name in order if kinds[name] == "ViT"),
        resnets=tuple(name for name in order if kinds[name] == "ResNet"),
        flops=flops,
    )


SMALL = "Small sets, fine-tuned: larger ViTs below the smaller one, ViTs below ResNets (Fig. 3)"
MEDIUM = "Medium sets, fine-tuned: ViTs and ResNets alike (Fig. 3)"
LARGE = "Large sets, fine-tuned: the largest ViT above the smaller ones and the ResNets (Fig. 3)"
SMALL_FEW = "Small sets, few-shot: ViTs overfit more than ResNets and are worse (Fig. 4)"
LARGE_FEW = "Large sets, few-shot: the largest ViT above the ResNets (Fig. 4)"


def data_verdicts(rows: list[Row], flops: dict[str, float], shots: int, batch: int) -> list[Verdict]:
    """Of Figure 3 (fine-tuned) and Figure 4 (`shots`-shot), from the smallest, a middle and the largest size.

    Sizes that training had no time to see whole once, at `batch` images a step, say nothing about the size.
    """
    who = sides(rows, flops)
    seen = {row["size"] for row in rows if row["steps"] * batch >= row["size"]}
    small, middle, large = _ends(sorted(seen))
    lacking = "no ViT was run" if not who.vits else "no ResNet was run" if not who.resnets else ""
    if lacking or large is None:
        reason = lacking or "fewer than two sizes were seen whole"
        return [undecidable(text, reason) for text in (SMALL, MEDIUM, LARGE, SMALL_FEW, LARGE_FEW)]
    tuned, few, overfit = (Table(rows, m, "size") for m in (FINETUNED, f"{shots}-shot", OVERFIT))
    smallest, largest = who.vits[0], who.vits[-1]
    rivals = [(vit, who.rival(vit)) for vit in who.vits]
    pairs = [(vit, smallest) for vit in who.vits[1:]] + rivals
    over = [(largest, name) for name in (*who.vits[:-1], *who.resnets)]
    alone = [Claim(text="larger ViTs: only one was run", outcome="not decidable here")] if not who.vits[1:] else []
    return [
        verdict(SMALL, [*alone, *(compare(tuned, pair, small, below) for pair in pairs)]),
        undecidable(MEDIUM, "only two sizes were seen whole")
        if middle is None
        else verdict(MEDIUM, [compare(tuned, pair, middle, alike) for pair in pairs]),
        verdict(LARGE, [*alone, *(compare(tuned, pair, large, above) for pair in over)]),
        verdict(
            SMALL_FEW,
            [compare(overfit, pair, small, above) for pair in rivals]
            + [compare(few, pair, small, below) for pair in rivals],
        ),
        verdict(LARGE_FEW, [compare(few, (largest, name), large, above) for name in who.resnets]),
    ]


def _ends(sizes: list[int]) -> tuple[int, int | None, int | None]:
    """The smallest, a middle and the largest; None for what is not there."""
    middle = sizes[len(sizes) // 2] if len(sizes) > 2 else None
    return (sizes[0], middle, sizes[-1]) if len(sizes) > 1 else (0, None, None)


def above(found: Difference) -> Outcome:
    """Whether the first is beyond the second."""
    return ("not decidable here", "holds", "does not hold")[found.sign]


def below(found: Difference) -> Outcome:
    """Whether the first is short of the second."""
    return ("not decidable here", "does not hold", "holds")[found.sign]


def alike(found: Difference) -> Outcome:
    """Whether both are within ALIKE of each other."""
    if found.half is None:
        return "not decidable here"
    if abs(found.value) + found.half <= ALIKE:
        return "holds"
    return "does not hold" if abs(found.value) - found.half > ALIKE else "not decidable here"


def compare(table: Table, pair: tuple[str, str], place: int, judge: Callable[[Difference], Outcome]) -> Claim:
    """The claim that `judge` looks for in the difference of two models at one place."""
    unit = {"size": "images", "steps": "steps"}[table.axis]
    named = f"{table.measure}, {place:,} {unit}: {pair[0]} against {pair[1]}"
    if place not in table.places(*pair):
        return Claim(text=f"{named}: not run, or diverged", outcome="not decidable here")
    found = table.difference(*pair, place)
    said = found.points() if table.measure != OVERFIT else f"{found.value:+.3f} nats{_half(found)}"
    return Claim(text=f"{named}: {said}", outcome=judge(found))


def undecidable(statement: str, reason: str) -> Verdict:
    """A statement about which the runs say nothing at all."""
    return verdict(statement, [Claim(text=reason, outcome="not decidable here")])


def _half(found: Difference) -> str:
    return "" if found.half is None else f" ± {found.half:.3f}"


def verdict(statement: str, claims: list[Claim]) -> Verdict:
    """A statement by its claims."""
    outcomes = {claim.outcome for claim in claims}
    outcome: Outcome = "not decidable here"
    if "does not hold" in outcomes:
        outcome = "does not hold"
    elif outcomes == {"holds"}:
        outcome = "holds"
    return Verdict(statement=statement, outcome=outcome, claims=tuple(claims))
