"""What the paper says of computation (Section 4.4, Figure 5), each statement held against a study's runs."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np

from vitascope.studies.analysis import FINETUNED, Row, Table, nearest_cost
from vitascope.studies.verdicts import Claim, Outcome, Verdict, above, alike, compare, sides, verdict

_LEVELS = 9
"""Accuracies, evenly spread over what both sides reach, at which their computation is compared."""

Curve = list[tuple[float, float]]
"""(operations, accuracy), ascending."""


def training_flops(row: Row, flops: dict[str, float], batch: int) -> float:
    """Operations of a pre-training: three forward passes' worth for each image seen."""
    return 3 * flops[row["model"]] * row["steps"] * batch


def compute_verdicts(rows: list[Row], flops: dict[str, float], batch: int) -> list[Verdict]:
    """Of Figure 5, by accuracy after fine-tuning."""
    who = sides(rows, flops)
    steps = sorted({row["steps"] for row in rows})
    if len(steps) < 2 or not who.vits or not who.resnets:
        return []
    table = Table(rows, FINETUNED, "steps")
    hybrids = sorted({row["model"] for row in rows if row["kind"] == "hybrid"}, key=lambda name: flops[name])
    short, long = steps[0], steps[-1]
    found = [
        verdict(
            "ViTs reach the accuracy of ResNets with half to a quarter of the computation (Fig. 5)",
            [_saving(_curves(table, who.vits, flops, batch), _curves(table, who.resnets, flops, batch))],
        )
    ]
    mixed = [(name, nearest_cost(name, who.vits, flops)) for name in hybrids]
    if mixed:
        found.append(
            verdict(
                f"Hybrids are ahead of ViTs with little computation ({short:,} steps), not with {long:,} (Fig. 5)",
                [compare(table, pair, short, above) for pair in mixed]
                + [compare(table, pair, long, alike) for pair in mixed],
            )
        )
    found.append(
        verdict(
            "ViTs do not saturate within the range (Fig. 5)",
            [_growth(table, name, steps[-2], long) for name in who.vits],
        )
    )
    return found


def _growth(table: Table, model: str, before: int, last: int) -> Claim:
    named = f"{table.measure}: {model}, {last:,} steps against {before:,}"
    if not {before, last} <= set(table.places(model)):
        return Claim(text=f"{named}: not run, or diverged", outcome="not decidable here")
    found = table.growth(model, before, last)
    return Claim(text=f"{named}: {found.points()}", outcome=above(found))


def _curves(table: Table, names: tuple[str, ...], flops: dict[str, float], batch: int) -> list[Curve]:
    return [
        [(3 * flops[name] * steps * batch, table.mean(name, steps)) for steps in table.places(name)]
        for name in names
        if table.places(name)
    ]


def _saving(ours: list[Curve], theirs: list[Curve]) -> Claim:
    """How many times the computation ResNets need, in the geometric mean over the accuracies that both reach."""
    if not ours or not theirs:  # all runs of a side diverged
        return Claim(text="one side has no accuracies", outcome="not decidable here")
    low = max(min(accuracy for curve in side for _, accuracy in curve) for side in (ours, theirs))
    high = min(max(accuracy for curve in side for _, accuracy in curve) for side in (ours, theirs))
    if low >= high:
        return Claim(text="no accuracy is reached by both sides", outcome="not decidable here")
    levels = np.linspace(low, high, _LEVELS)
    ratio = math.exp(np.mean([math.log(least_compute(theirs, a) / least_compute(ours, a)) for a in levels]))
    ratio = round(ratio, 9)  # twice is twice, whatever the last bit of a logarithm
    outcome: Outcome = "holds" if ratio >= 2 else "does not hold" if ratio <= 1 else "not decidable here"
    text = f"from {100 * low:.1f} to {100 * high:.1f} % ResNets need {ratio:.2g} times the computation of ViTs"
    return Claim(text=text, outcome=outcome)


def least_compute(curves: list[Curve], accuracy: float) -> float:
    """The least operations at which any curve reaches an accuracy, interpolated over their logarithm; inf if none."""
    found = [math.inf]
    for curve in curves:
        if curve[0][1] >= accuracy:
            found.append(curve[0][0])
        for (a, left), (b, right) in pairwise(curve):
            if left < accuracy <= right:
                share = (accuracy - left) / (right - left)
                found.append(math.exp(math.log(a) + (math.log(b) - math.log(a)) * share))
    return min(found)
