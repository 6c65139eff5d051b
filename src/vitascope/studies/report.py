"""What a study leaves: study.json, a tidy CSV, figures, and a README with the tables and the reading."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vitascope.recipes.run_folder import environment, write_json
from vitascope.studies.analysis import FINETUNED, Row, Table, crossover, measures
from vitascope.studies.cells import read_row
from vitascope.studies.compute_verdicts import compute_verdicts
from vitascope.studies.figures import draw_compute, draw_data_scaling
from vitascope.studies.reading import study_text
from vitascope.studies.settings import Compute, Study
from vitascope.studies.study import Plan
from vitascope.studies.verdicts import data_verdicts, sides
from vitascope.views.drawing import save_figure
from vitascope.whole import written_whole

RESULT, TABLE, README = "study.json", "table.csv", "README.md"
_COLUMNS = ("model", "kind", "parameters", "flops", "size", "steps", "seed", "measure", "value")


def write_report(study: Study, plan: Plan) -> dict[str, Any]:
    """Writes everything that can be said of the cells done so far into the study's folder; returns study.json."""
    folder = Path(study.out)
    rows = [row for cell in plan.cells if (row := read_row(folder, cell)) is not None]
    order = [contender.name for contender in study.contenders]
    rows.sort(key=lambda row: (order.index(row["model"]), row["size"], row["steps"], row["seed"]))
    result = study_result(study, plan, rows)
    write_json(folder / RESULT, result)
    _write_text(folder / TABLE, csv_table(rows, result["models"]))
    if any("diverged" not in row for row in rows):
        flops = {name: values["flops"] for name, values in result["models"].items()}
        shots = min(study.shots)
        drawing = (
            draw_compute(rows, flops, shots, study.batch)
            if isinstance(study, Compute)
            else draw_data_scaling(rows, flops, shots)
        )
        save_figure(drawing, folder / study.kind)
    _write_text(folder / README, study_text(study, result, rows))
    return result


def study_result(study: Study, plan: Plan, rows: list[Row]) -> dict[str, Any]:
    """study.json: settings, models with their costs, what was dropped or is left, tables, crossovers, verdicts."""
    costs = {name: cost.as_json() for name, cost in plan.costs.items()}
    flops = {name: cost.flops for name, cost in plan.costs.items()}
    axis = "steps" if isinstance(study, Compute) else "size"
    shots = min(study.shots)
    few = f"{shots}-shot"
    who = sides(rows, flops)
    crossings = [
        {"measure": measure, "model": vit, "other": who.rival(vit), **asdict(found)}
        for measure in ((FINETUNED, few) if axis == "size" and who.resnets else ())
        for vit in who.vits
        if (found := crossover(Table(rows, measure, axis), vit, who.rival(vit))) is not None
    ]
    verdicts = (
        compute_verdicts(rows, flops, study.batch)
        if isinstance(study, Compute)
        else data_verdicts(rows, flops, shots, study.batch)
    )
    return {
        "settings": study.kept(),
        "environment": environment(),
        "models": {row["model"]: {"kind": row["kind"], **costs[row["model"]]} for row in rows},
        "runs": {"done": len(rows), "left": len(plan.cells) - len(rows), "dropped": [c.key for c in plan.dropped]},
        "diverged": [f"{r['model']} {r['size']} {r['steps']} seed {r['seed']}" for r in rows if "diverged" in r],
        "table": summary_table(rows, axis),
        "crossovers": crossings,
        "verdicts": [verdict.as_json() for verdict in verdicts],
    }


def summary_table(rows: list[Row], axis: str) -> list[dict[str, Any]]:
    """One entry a model, place and measure: mean, half the 95 % interval, seeds."""
    names = list(dict.fromkeys(name for row in rows for name in measures(row)))
    entries = []
    for measure in names:
        table = Table(rows, measure, axis)
        for model in table.values:
            for place in table.places(model):
                found = table.interval(model, place)
                entries.append(
                    {"measure": measure, "model": model, axis: place, "mean": found.mean, "half": found.half}
                    | {"seeds": found.count}
                )
    return entries


def csv_table(rows: list[Row], models: dict[str, dict[str, Any]]) -> str:
    """One line a number, for whoever wants to plot it otherwise."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for row in rows:
        cost = models[row["model"]]
        head = (row["model"], row["kind"], cost["parameters"], cost["flops"], row["size"], row["steps"], row["seed"])
        writer.writerows((*head, measure, f"{value:.6g}") for measure, value in measures(row).items())
    return out.getvalue()


def _write_text(path: Path, text: str) -> None:
    with written_whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
