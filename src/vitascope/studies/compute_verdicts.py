"""What the paper says of computation (Section 4.4, Figure 5), each statement held against a study's runs."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np

from vitascope.studies.analysis import FINETUNED, Row, Table, nearest_cost
from vitascope.studies.verdicts import Claim, Outcome, Verdict, above, alike, compare, sides, undecidable, verdict

_LEVELS = 9
"""Accuracies, evenly spread over what both sides reach, at which their computation is compared."""

Curve = list[tuple[float, float]]
"""(operations, accuracy), ascending."""


def training_flops(row: Row, flops: dict[str, float], batch: int) -> float:
    """Operations of a pre-training: three forward passes' worth for each image seen."""
    return 3 * flops[row["model"]] * row["steps"] * batch


SAVING = "ViTs reach the accuracy of ResNets with half to a quarter of the computation (Fig. 5)"
HYBRIDS = "Hybrids are ahead of ViTs with little computation, and no longer with much (Fig. 5)"
GROWTH = "ViTs do not saturate within the range (Fig. 5)"


def compute_verdicts(rows: list[Row], flops: dict[str, float], batch: int) -> list[Verdict]:
    """Of Figure 5, by accuracy after fine-tuning."""
    who = sides(rows, flops)
    steps = sorted({row["steps"] for row in rows})
    if len(steps) < 2 or not who.vits:
        reason = "no ViT was run" if not who.vits else "fewer than two lengths were run"
        return [undecidable(text, reason) for text in (SAVING, HYBRIDS, GROWTH)]
    table = Table(rows, FINETUNED, "steps")
    hybrids = sorted({row["model"] for row in rows if row["kind"] == "hybrid"}, key=lambda name: flops[name])
    mixed = [(name, nearest_cost(name, who.vits, flops)) for name in hybrids]
    short, long = steps[0], steps[-1]
    return [
        verdict(SAVING, [_saving(table, who.vits, who.resnets, flops, batch)]),
        verdict(
            HYBRIDS,
            [compare(table, pair, short, above) for pair in mixed]
            + [compare(table, pair, long, alike) for pair in mixed],
        )
        if mixed
        else undecidable(HYBRIDS, "no hybrid was run"),
        verdict(GROWTH, [_growth(table, name, steps[-2], long) for name in who.vits]),
    ]


def _growth(table: Table, model: str, before: int, last: int) -> Claim:
    named = f"{table.measure}: {model}, {last:,} steps against {before:,}"
    if not {before, last} <= set(table.places(model)):
        return Claim(text=f"{named}: not run, or diverged", outcome="not decidable here")
    found = table.growth(model, before, last)
    return Claim(text=f"{named}: {found.points()}", outcome=above(found))


def _saving(table: Table, ours: tuple[str, ...], theirs: tuple[str, ...], flops: dict[str, float], batch: int) -> Claim:
    """How many times the computation ResNets need; its interval has every accuracy at the ends of its own."""
    middle, low, high = (
        saving(curves(table, ours, flops, batch, -shift), curves(table, theirs, flops, batch, shift))
        for shift in (0, 1, -1)
    )
    if middle is None:
        return Claim(text="no accuracy is reached by both sides", outcome="not decidable here")
    text = f"ResNets need {middle:.2g} times the computation of ViTs for the same accuracy"
    if table.scatter is None or low is None or high is None:
        return Claim(text=text, outcome="not decidable here")
    outcome: Outcome = "holds" if low >= 2 else "does not hold" if high <= 1 else "not decidable here"
    return Claim(text=f"{text} ({low:.2g} to {high:.2g})", outcome=outcome)


def curves(table: Table, names: tuple[str, ...], flops: dict[str, float], batch: int, shift: int = 0) -> list[Curve]:
    """Accuracy against computation of each model, moved by `shift` times half of its interval."""
    found = []
    for name in names:
        steps = table.places(name)
        intervals = [table.interval(name, n) for n in steps]
        moved = [one.mean + shift * (one.half or 0.0) for one in intervals]
        if steps:
            found.append([(3 * flops[name] * n * batch, value) for n, value in zip(steps, moved, strict=True)])
    return found


def saving(ours: list[Curve], theirs: list[Curve]) -> float | None:
    """Their least computation over ours, the geometric mean over accuracies that both reach; None without any."""
    if not ours or not theirs:  # all runs of a side diverged
        return None
    low = max(min(accuracy for curve in side for _, accuracy in curve) for side in (ours, theirs))
    high = min(max(accuracy for curve in side for _, accuracy in curve) for side in (ours, theirs))
    if low >= high:
        return None
    levels = np.linspace(low, high, _LEVELS)
    ratio = math.exp(np.mean([math.log(least_compute(theirs, a) / least_compute(ours, a)) for a in levels]))
    return round(ratio, 9)  # twice is twice, whatever the last bit of a logarithm


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
