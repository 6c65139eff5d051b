"""The report of `train`: of the model that is kept, with what was chosen, what was tried, and what comes of more."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from vitascope.data.check import Report
from vitascope.evaluation.metrics import SCORES
from vitascope.recipes.train_asked import Train
from vitascope.reports.page import Section, Share, table, text
from vitascope.reports.reported import RunReport, cautions, use_commands
from vitascope.wording import duration

TAUGHT, FINETUNED = "taught", "finetuned"
"""The ways, and the folders of their runs in RUN."""
NAMES = {TAUGHT: "the taught head", FINETUNED: "the fine-tuned model"}
"""For people."""
_HOW = {
    TAUGHT: "a linear layer, solved exactly, on what the start sees",
    FINETUNED: "all of the model moved step by step",
}
_CHOSEN = "The better of two models was chosen by these images, which flatters it a little."


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What stands before the first step."""

    rows: list[tuple[str, str]]
    """What is chosen, and why; by the option that overrides it."""
    checked: Report
    """What was found in the data."""
    unreadable: int
    """Images that are left out because they cannot be read."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Way:
    """One of the runs that were compared."""

    results: dict[str, Any]
    """What its results.json holds."""
    report: RunReport
    """What there is to report of it."""


def report_of_training(
    asked: Train, plan: Plan, kept: str, results: Mapping[str, Any], found: Mapping[str, Way]
) -> RunReport:
    """Of what is `kept` of the runs `found`; `results` are those of RUN."""
    chosen = results["validation"].get("chosen_on")
    judged = [
        replace(each, caution=cautions(_CHOSEN, each.caution)) if each.split == "validation" and chosen else each
        for each in found[kept].report.judged
    ]
    tuned = found.get(FINETUNED)
    return replace(
        found[kept].report,
        judged=judged,
        keep=asked.keep_examples,
        results={**found[TAUGHT].results, "seconds": results["seconds"]},
        foretold_by=NAMES[TAUGHT] if kept == FINETUNED else "",
        suspects=found[TAUGHT].report.suspects,
        curves=tuned.report.curves if tuned else None,
        first=[_compared(found), _checked(plan.checked)],
        made=[
            *plan.rows,
            *(row for row in found[kept].report.made if row[0] != "time"),
            ("time", f"{duration(results['seconds'])} of {asked.time_budget} until this page"),
        ],
        next=_next(asked, kept == TAUGHT and "validation" not in plan.checked.splits),
    )


def _compared(found: Mapping[str, Way]) -> Section:
    if len(found) < 2:
        return "", ""
    judged = {name: way.results["validation"] for name, way in found.items()}
    score = next(score for score in SCORES if score in judged[TAUGHT])
    rows: list[list[str | Share]] = [
        [NAMES[name], _HOW[name], Share(told[score]), f"{told['loss']:.3f}"] for name, told in judged.items()
    ]
    return "Two ways were tried", table(["way", "how", SCORES[score], "loss"], rows, words=(0, 1))


def _checked(report: Report) -> Section:
    """What was found in the data, by kinds."""
    rows = [[g.severity, g.kind, f"{len(g.findings):,}", g.findings[0].what] for g in report.groups]
    said = text(f"{report.verdict[0].upper()}{report.verdict[1:]}.", soft=True)
    return "The photographs", said + (table(["", "kind", "how many", "such as"], rows, words=(0, 1, 3)) if rows else "")


def _next(asked: Train, held_out: bool) -> list[tuple[str, str]]:
    """What to do with it; `held_out`: whether it can be taught images that were drawn to judge it."""
    run = shlex.quote(asked.out)
    more = [("teach it the images held out too", f"vitascope teach {run} {shlex.quote(asked.data)} --out better")]
    return [*use_commands(run), *(more if held_out else [])]
