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


def data_verdicts(rows: list[Row], flops: dict[str, float], shots: int) -> list[Verdict]:
    """Of Figure 3 (fine-tuned) and Figure 4 (`shots`-shot), from the smallest, a middle and the largest size."""
    who = sides(rows, flops)
    sizes = sorted({row["size"] for row in rows})
    if len(sizes) < 2 or not who.vits or not who.resnets:
        return []
    small, large = sizes[0], sizes[-1]
    tuned, few, overfit = (Table(rows, m, "size") for m in (FINETUNED, f"{shots}-shot", OVERFIT))
    smallest, largest = who.vits[0], who.vits[-1]
    rivals = [(vit, who.rival(vit)) for vit in who.vits]
    grown = [(vit, smallest) for vit in who.vits[1:]]
    pairs = grown + rivals
    over = [(largest, name) for name in (*((smallest,) if grown else ()), *who.resnets)]
    found = [
        verdict(
            f"Fine-tuned from the smallest set ({small:,}): larger ViTs below the smaller, ViTs below ResNets (Fig. 3)",
            [compare(tuned, pair, small, below) for pair in pairs],
        ),
        verdict(
            f"Fine-tuned from the largest set ({large:,}): the largest ViT above the smaller and the ResNets (Fig. 3)",
            [compare(tuned, pair, large, above) for pair in over],
        ),
        verdict(
            f"Few-shot, smallest set ({small:,}): ViTs overfit more than ResNets and are worse (Fig. 4)",
            [compare(overfit, pair, small, above) for pair in rivals]
            + [compare(few, pair, small, below) for pair in rivals],
        ),
        verdict(
            f"Few-shot, largest set ({large:,}): the largest ViT above the ResNets (Fig. 4)",
            [compare(few, (largest, name), large, above) for name in who.resnets],
        ),
    ]
    if len(sizes) > 2:
        middle = sizes[len(sizes) // 2]
        text = f"Fine-tuned from a middle set ({middle:,}): ViTs and ResNets alike (Fig. 3)"
        found.insert(1, verdict(text, [compare(tuned, pair, middle, alike) for pair in pairs]))
    return found


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
    named = f"{table.measure}: {pair[0]} against {pair[1]}"
    if place not in table.places(*pair):
        return Claim(text=f"{named}: not run, or diverged", outcome="not decidable here")
    found = table.difference(*pair, place)
    said = found.points() if table.measure != OVERFIT else f"{found.value:+.3f} nats{_half(found)}"
    return Claim(text=f"{named}: {said}", outcome=judge(found))


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
