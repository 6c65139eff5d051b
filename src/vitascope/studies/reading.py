"""A study in words: tables of its numbers, where models cross, and the verdicts, as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from vitascope.studies.analysis import FINETUNED, Row, Table
from vitascope.studies.settings import Compute, Study, passes


def study_text(study: Study, result: dict[str, Any], rows: list[Row]) -> str:
    """The README of a study's folder."""
    axis = "steps" if isinstance(study, Compute) else "size"
    parts = [
        f"# Study {study.kind}: {', '.join(study.sources)} to {study.target}",
        " ".join(filter(None, (_how(study, result), _seen(study, rows)))),
        _models(result),
    ]
    shown = (FINETUNED, *(f"{shots}-shot" for shots in study.shots), "pre-training")
    parts += [_table(Table(rows, measure, axis), measure, axis) for measure in shown]
    drawn = any("diverged" not in row for row in rows)
    parts += [_crossovers(result), _verdicts(result), f"![{study.kind}]({study.kind}.png)" if drawn else ""]
    return "\n\n".join(part for part in parts if part) + "\n"


def _how(study: Study, result: dict[str, Any]) -> str:
    runs, where = result["runs"], result["environment"]
    said = [
        f"{runs['done']} runs are done, {runs['left']} are left"
        + (
            f", {len(runs['dropped'])} were dropped for time: {', '.join(runs['dropped'])}." if runs["dropped"] else "."
        ),
        f"Every model and size has the same settings (settings.json): batch {study.batch}, AdamW {study.lr:g}, the "
        f"step that is best on {study.validation_images:,} images kept out of training; then {study.finetune_steps:,} "
        f"steps of SGD {study.finetune_lr:g} on the target, and ridge regression on the frozen features.",
        f"Written by `{' '.join(where['command'])}` on {where['processor']}, torch {where['torch']}, "
        f"commit {where.get('commit', 'unknown')}.",
    ]
    if result["diverged"]:
        said.append(f"Diverged, and therefore without numbers: {', '.join(result['diverged'])}.")
    return " ".join(said)


def _seen(study: Study, rows: list[Row]) -> str:
    """How much of its images a pre-training has time for: without it sizes cannot be told from lengths."""
    if not rows:
        return ""
    often = [passes(study, row["size"], row["steps"]) for row in rows]
    least, most = (f"{n:,.0f}" if n >= 10 else f"{n:.2g}" for n in (min(often), max(often)))
    said = f"On average an image is seen {least} times where that is least, {most} where it is most."
    return said if min(often) >= 1 else f"{said} Below once, a set is not seen whole, so more images cannot help."


def _models(result: dict[str, Any]) -> str:
    lines = ["| model | kind | parameters | GFLOP an image | training, images/s |", "|---|---|---|---|---|"]
    for name, m in result["models"].items():
        cost = f"{m['parameters'] / 1e6:.2f} M | {m['flops'] / 1e9:.3f} | {m['images_per_second']:.0f}"
        lines.append(f"| {name} | {m['kind']} | {cost} |")
    return "\n".join(lines)


def _table(table: Table, measure: str, axis: str) -> str:
    places = sorted({place for by in table.values.values() for place in by})
    if not places:
        return ""
    what = {"pre-training": "Validation accuracy of pre-training", FINETUNED: "Test accuracy after fine-tuning"}
    of = {"size": "images pre-trained on", "steps": "steps of pre-training"}[axis]
    title = what.get(measure, f"Linear {measure} test accuracy")
    lines = [f"**{title}**, by {of}; mean and 95 % interval from the scatter of all seeds"]
    lines += ["", f"| | {' | '.join(f'{p:,}' for p in places)} |", "|---|" + "---|" * len(places)]
    for model, values in table.values.items():
        cells = [f"{table.interval(model, p).percent()} ({len(values[p])})" if p in values else "" for p in places]
        lines.append(f"| {model} | {' | '.join(cells)} |")
    return "\n".join([*lines, "", "In brackets: seeds."])


def _crossovers(result: dict[str, Any]) -> str:
    lines = [_crossing(entry) for entry in result["crossovers"]]
    return "\n".join(["**Where ViTs pass the ResNet of the nearest cost**", "", *lines]) if lines else ""


def _crossing(entry: dict[str, Any]) -> str:
    who = f"- {entry['measure']}, {entry['model']} and {entry['other']}: "
    at_last = {1: f"{entry['model']} is ahead", -1: f"{entry['other']} is ahead", 0: "neither is ahead beyond chance"}
    end = f"at the largest size {at_last[entry['ahead']]}"
    if entry["size"] is None:
        return f"{who}the first does not pass the second within the sizes; {end}."
    low = "the smallest size" if entry["low"] is None else f"{entry['low']:,.0f}"
    high = "beyond the largest" if entry["high"] is None else f"{entry['high']:,.0f}"
    return f"{who}at about {entry['size']:,.0f} images (interval: {low} to {high}); {end}."


def _verdicts(result: dict[str, Any]) -> str:
    if not result["verdicts"]:
        return ""
    lines = ["**The paper's statements, here**", ""]
    for verdict in result["verdicts"]:
        lines.append(f"- {verdict['statement']}: **{verdict['outcome']}**.")
        lines += [f"  - {claim['text']} ({claim['outcome']})" for claim in verdict["claims"]]
    return "\n".join(lines)


def table(head: Sequence[str], body: Iterable[Sequence[object]]) -> str:
    """As Markdown."""
    return "\n".join(f"| {' | '.join(map(str, row))} |" for row in (head, ["---"] * len(head), *body))
