"""What a study leaves: study.json, a tidy CSV, figures, and a README with the tables and the reading."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vitascope.checkpoints.run_files import environment, write_json
from vitascope.studies.analysis import FINETUNED, Row, Table, crossover, measured
from vitascope.studies.cells import read_row
from vitascope.studies.evidence import Evidence
from vitascope.studies.figures import draw_study
from vitascope.studies.learning import OWN_RATES
from vitascope.studies.rates import with_known_rates
from vitascope.studies.reading import study_text
from vitascope.studies.settings import Study
from vitascope.studies.study import Plan
from vitascope.studies.verdicts import Verdict, verdicts
from vitascope.views.drawing import save_figure
from vitascope.whole import written_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RESULT, TABLE, README = "study.json", "table.csv", "README.md"


def write_report(study: Study, plan: Plan) -> dict[str, Any]:
    """Writes everything that can be said of the cells done so far into the study's folder; returns study.json."""
    return write_result(study, plan, Form(judge=verdicts, draw=draw_study, tell=study_text))


@dataclass(frozen=True, kw_only=True)
class Form:
    """How a study's rows become verdicts, a figure and words."""

    judge: Callable[[Evidence], list[Verdict]]
    """Holds the paper's statements against them."""
    draw: Callable[[Evidence], Figure]
    """Draws them."""
    tell: Callable[[Any, dict[str, Any], Sequence[Row]], str]
    """README of a study, its study.json and rows."""


def write_result(study: Study, plan: Plan, form: Form) -> dict[str, Any]:
    """study.json, which is returned, the table, a figure and README, as much as the cells done so far tell."""
    folder = Path(study.out)
    rows = [row for cell in plan.cells if (row := read_row(folder, cell)) is not None]
    order = [contender.name for contender in study.contenders]
    rows.sort(key=lambda row: (order.index(row["model"]), row["size"], row["steps"], row["seed"]))
    evidence = Evidence(
        study=study,
        rows=rows,
        flops={name: cost.flops for name, cost in plan.costs.items()},
        seconds={name: 1 / cost.images_per_second for name, cost in plan.costs.items()},
    )
    result = study_result(plan, evidence, form.judge)
    write_json(folder / RESULT, result)
    _write_text(folder / TABLE, csv_table(rows, result["models"], study.axis))
    if any("diverged" not in row for row in rows):
        save_figure(form.draw(evidence), folder / study.kind)
    _write_text(folder / README, form.tell(study, result, rows))
    return result


def study_result(
    plan: Plan, evidence: Evidence, judge: Callable[[Evidence], list[Verdict]] = verdicts
) -> dict[str, Any]:
    """study.json: settings, models and costs, what was dropped, left out or is left, tables, crossovers, verdicts."""
    study, rows = evidence.study, evidence.rows
    own = with_known_rates(study)
    crossings = [
        {"measure": measure, "model": vit, "other": other, **asdict(crossing)}
        for measure in ((FINETUNED, evidence.few) if study.axis == "size" else ())
        for vit, other in evidence.nearest("ViT", "ResNet")
        if (crossing := crossover(evidence.table(measure), vit, other)) is not None
    ]
    return {
        "settings": study.kept(),
        "environment": environment(),
        "rates": {
            contender.name: {key: contender.learning.get(key, own.rate(contender.name, key)) for key in OWN_RATES}
            for contender in study.contenders
            if contender.name in {row["model"] for row in rows}
        },
        "models": {row["model"]: {"kind": row["kind"], **asdict(plan.costs[row["model"]])} for row in rows},
        "runs": {"done": len(rows), "left": len(plan.cells) - len(rows), "dropped": [c.key for c in plan.dropped]},
        "notes": list(plan.notes),
        "diverged": [f"{r['model']} {r['size']} {r['steps']} seed {r['seed']}" for r in rows if "diverged" in r],
        "table": summary_table(rows, study.axis),
        "crossovers": crossings,
        "verdicts": [asdict(verdict) for verdict in judge(evidence)],
    }


def summary_table(rows: Sequence[Row], axis: str) -> list[dict[str, Any]]:
    """One entry a model, place and measure: mean, half the 95 % interval, seeds."""
    entries = []
    for measure in dict.fromkeys(name for _, values in measured(rows, axis) for name in values):
        table = Table(rows, measure, axis)
        for model in table.values:
            for place in table.places(model):
                seeds = table.mean(model, place)
                where = {"measure": measure, "model": model, axis: place}
                entries.append({**where, "mean": seeds.mean, "half": seeds.half, "seeds": seeds.count})
    return entries


def csv_table(rows: Sequence[Row], models: dict[str, dict[str, Any]], axis: str) -> str:
    """One line a number, for whoever wants to plot it otherwise."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    of_runs, of_models = ("size", "steps", "seed"), ("parameters", "flops")
    writer.writerow(("model", "kind", *of_models, *of_runs, "measure", "value"))
    for row, values in measured(rows, axis):
        cost = models[row["model"]]
        head = [row["model"], row["kind"], *(cost[name] for name in of_models), *(row[name] for name in of_runs)]
        writer.writerows((*head, measure, f"{value:.6g}") for measure, value in values.items())
    return out.getvalue()


def _write_text(path: Path, text: str) -> None:
    with written_whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
