"""What an ablation leaves: as every study, with the paper's values beside ours."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from vitascope.studies.ablation.figure import draw_ablation
from vitascope.studies.ablation.settings import Ablation
from vitascope.studies.ablation.variant import Found
from vitascope.studies.analysis import FINETUNED, Row, Table
from vitascope.studies.evidence import Claim, Evidence
from vitascope.studies.reading import listed, onto, table, told_notes, told_verdict
from vitascope.studies.report import Form, write_result
from vitascope.studies.study import Plan
from vitascope.studies.verdicts import Verdict, verdict


def write_ablation(study: Ablation, plan: Plan) -> dict[str, Any]:
    """Writes everything that can be said of the cells done so far into the study's folder; returns study.json."""
    form = Form(judge=partial(ablation_verdicts, study), draw=partial(draw_ablation, study), tell=ablation_text)
    return write_result(study, plan, form)


def ablation_verdicts(study: Ablation, evidence: Evidence) -> list[Verdict]:
    """Of each of its statements."""
    found = Found(evidence=evidence, variants=study.variants, measure=study.measure)
    nothing = [Claim(text="nothing was run")]
    return [
        verdict(statement, claims(found) if evidence.rows else nothing)
        for statement, claims in study.ablation.statements.items()
    ]


def ablation_text(study: Ablation, result: dict[str, Any], rows: Sequence[Row]) -> str:
    """The README of its folder."""
    measures = list(dict.fromkeys((study.measure, FINETUNED, *(f"{n}-shot" for n in study.shots), "pre-training")))
    # What learns from the target has other classes, so that its accuracy there is beside no other's.
    of_source = [row for row in rows if row["source"] == study.source]
    tables = [Table(of_source if measure == "pre-training" else rows, measure, study.axis) for measure in measures]
    beside = any(variant.paper is not None for variant in study.variants)
    body = []
    for variant in study.variants:
        name = variant.contender.name
        if name not in result["models"]:
            continue
        cost = result["models"][name]
        cells = [
            f"{of.mean(name, study.steps).percent()} ({len(of.values[name][study.steps])})" if name in of.values else ""
            for of in tables
        ]
        paper = [] if not beside else ["" if variant.paper is None else f"{100 * variant.paper:.1f} %"]
        body.append((name, f"{cost['parameters'] / 1e6:.3f} M", f"{cost['flops'] / 1e6:.1f}", *cells, *paper))
    head = ("", "parameters", "MFLOP an image", *measures, *(["the paper's"] if beside else []))
    parts = [
        f"# Ablation {study.name} ({study.ablation.where}): {study.source} to {', '.join(study.targets)}",
        _how(study, result),
        table(head, body),
        f"Test accuracies on {onto(study)}, of pre-training on the source's images kept out; mean and 95 % interval "
        f"from the scatter of all variants of a kind, in brackets seeds. Judged is {study.measure} accuracy"
        + (", as in the paper, whose values are of its own models and data." if beside else "."),
        listed("The paper's statements, here", map(told_verdict, result["verdicts"])),
        f"![{study.name}]({study.kind}.png)" if any("diverged" not in row for row in rows) else "",
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def _how(study: Ablation, result: dict[str, Any]) -> str:
    runs, where = result["runs"], result["environment"]
    diverged = f" Diverged: {', '.join(result['diverged'])}." if result["diverged"] else ""
    return (
        f"{runs['done']} runs are done, {runs['left'] + len(runs['dropped'])} are left. Every variant is pre-trained "
        f"at {study.image_size} px for {study.steps:,} steps of {study.batch}, the step kept that is best on "
        f"{study.validation_images:,} images kept out, then fine-tuned for {study.finetune_steps:,} steps on "
        f"{onto(study)}, or its frozen features taken for ridge regression; seed by seed on the same images in the "
        f"same order. Settings are in settings.json. "
        f"Written by `{' '.join(where['command'])}` on {where['processor']}, "
        f"torch {where['torch']}, commit {where.get('commit', 'unknown')}.{diverged}{told_notes(result)}"
    )
