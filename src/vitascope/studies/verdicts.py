"""The paper's statements on data size (Section 4.3) and computation (Section 4.4), held against a study's rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vitascope.studies.analysis import FINETUNED, OVERFIT
from vitascope.studies.evidence import ALIKE_TOLD, Claim, Evidence, Outcome, Pair, above, alike_accuracies, below
from vitascope.studies.saving import curves, saving


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """A statement of the paper and what this study says of it."""

    statement: str
    """In short."""
    outcome: Outcome
    """holds: every claim does; does not hold: at least one is contradicted; not reached: those that do not hold are."""
    claims: tuple[Claim, ...]
    """What it was judged by."""


def verdicts(evidence: Evidence) -> list[Verdict]:
    """All statements that a study of this axis is about."""
    if reason := evidence.missing:
        return [verdict(statement, [Claim(text=reason)]) for statement in STATEMENTS[evidence.study.axis]]
    return [verdict(statement, claims(evidence)) for statement, claims in STATEMENTS[evidence.study.axis].items()]


def verdict(statement: str, claims: Sequence[Claim]) -> Verdict:
    """A statement by its claims."""
    outcomes = {claim.outcome for claim in claims}
    worst: tuple[Outcome, ...] = ("does not hold", "not decidable here", "not reached at these sizes", "holds")
    outcome: Outcome = next((each for each in worst if each in outcomes), "not decidable here")
    return Verdict(statement=statement, outcome=outcome, claims=tuple(claims))


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
    return e.claim(e.table(FINETUNED), named, above, ((1, vit, last), (-1, vit, before)))


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
    both = [*e.models("ViT"), *e.models("ResNet")]
    unknown = any(table.scatter(model, place) is None for model in both for place in table.places(model))
    if unknown or low is None or high is None:
        return [Claim(text=text)]
    outcome: Outcome = "holds" if low >= 2 else "does not hold" if high <= 1 else "not decidable here"
    return [Claim(text=f"{text} ({low:.2g} to {high:.2g})", outcome=outcome)]


Claims = Callable[[Evidence], list[Claim]]
STATEMENTS: dict[str, dict[str, Claims]] = {
    "size": {  # Figure 3 (fine-tuned) and Figure 4 (few-shot)
        "Small sets, fine-tuned: larger ViTs below the smaller one, ViTs below ResNets (Fig. 3)": lambda e: (
            _only_one(e) + e.compare(FINETUNED, _larger(e) + e.nearest("ViT", "ResNet"), 0, below)
        ),
        f"Medium sets, fine-tuned: ViTs and ResNets {ALIKE_TOLD} (Fig. 3)": lambda e: (
            e.compare(FINETUNED, _larger(e) + e.nearest("ViT", "ResNet"), len(e.places) // 2, alike_accuracies)
            if len(e.places) > 2
            else [Claim(text="only two sizes were seen whole")]
        ),
        "Large sets, fine-tuned: the largest ViT above the smaller ones and the ResNets (Fig. 3)": lambda e: (
            _only_one(e) + e.reaches(FINETUNED, _largest(e, e.models("ViT")[:-1] + e.models("ResNet")))
        ),
        "Small sets, few-shot: ViTs overfit more than ResNets and are worse (Fig. 4)": lambda e: (
            e.compare(OVERFIT, e.nearest("ViT", "ResNet"), 0, above)
            + e.compare(e.few, e.nearest("ViT", "ResNet"), 0, below)
        ),
        "Large sets, few-shot: the largest ViT above the ResNets (Fig. 4)": lambda e: e.reaches(
            e.few, _largest(e, e.models("ResNet"))
        ),
        "The more images, the more ViTs gain on the ResNets of their cost (Figs. 3, 4)": lambda e: (
            e.gains(FINETUNED, e.nearest("ViT", "ResNet")) + e.gains(e.few, e.nearest("ViT", "ResNet"))
        ),
    },
    "steps": {  # Figure 5
        "ViTs reach the accuracy of ResNets with half to a quarter of the computation (Fig. 5)": _saving,
        f"Hybrids are ahead of ViTs with little computation, and {ALIKE_TOLD}, with much (Fig. 5)": lambda e: (
            e.compare(FINETUNED, e.nearest("hybrid", "ViT"), 0, above)
            + e.compare(FINETUNED, e.nearest("hybrid", "ViT"), -1, alike_accuracies)
            or [Claim(text="no hybrid was run")]
        ),
        "ViTs do not saturate within the range (Fig. 5)": lambda e: [_growth(e, vit) for vit in e.models("ViT")],
    },
}
"""What judges each statement, by what a study's results are shown against."""
