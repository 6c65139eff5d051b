"""What an evaluation leaves where it is asked to: a page, a table of all answers, pictures of the mistakes."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from vitascope.checkpoints.checkpoint import Checkpoint
from vitascope.data.copies import digests
from vitascope.data.source import Source
from vitascope.evaluation.answers import Answers
from vitascope.inference.exported import Exported
from vitascope.recipes.asked import Evaluate
from vitascope.reports.answer_files import write_answers, write_mistakes
from vitascope.reports.reported import TOLD, Judged, RunReport, Suspect, made_on, model_text, use_commands
from vitascope.reports.write import write_report_page
from vitascope.teaching.known import read_taught
from vitascope.training.record import METRICS
from vitascope.wording import count


def leave(
    asked: Evaluate,
    checkpoint: Checkpoint | Exported,
    source: Source,
    answers: Answers,
    result: Mapping[str, Any],
    warning: str,
) -> None:
    """Writes the files that `asked` names, of the `answers` to what of `source` was counted, with the figures of
    `result`; `warning` says what flatters them. Raises `CheckpointError` where one cannot be written."""
    told = TOLD[result["split"]] if result["part"] == "all" else f"those {_PARTS[result['part']]}"
    unknown = "" if result["training_known"] else _UNKNOWN
    judged = Judged(
        split=result["split"],
        told=told,
        figures=result,
        answers=answers,
        name_of=source.describe,
        picture=source.__getitem__,
        caution=f"{warning[0].upper()}{warning[1:]}." if warning else unknown,
        unseen=not result["trained_on"],
    )
    report = RunReport(
        data=asked.data,
        checkpoint=checkpoint,
        judged=[judged],
        results=result,
        curves=_run_of(asked.checkpoint),
        suspects=_suspects(asked.checkpoint, source) if asked.csv or asked.report else (),
        made=[
            ("model", f"{model_text(checkpoint)}, from {asked.checkpoint}"),
            ("data", f"{asked.data} ({result['split']}): {count(result['images'], 'image')}; {_left_out(result)}"),
            *made_on(),
        ],
        next=use_commands(shlex.quote(asked.checkpoint), exported=isinstance(checkpoint, Exported)),
    )
    if asked.csv:
        write_answers(Path(asked.csv), report.judged, checkpoint.labels, report.wrong)
    if asked.errors:
        write_mistakes(Path(asked.errors), judged, checkpoint.labels)
    if asked.report:
        write_report_page(Path(asked.report), report)


_PARTS = {
    "held out": "images of the data that the model did not learn from, but was watched on",
    "not trained on": "images of the data that the model did not learn from",
    "validation of the run": "images that the run held out from learning",
}
_UNKNOWN = "What the model learned from is not all recorded, so it may have seen some of these images."


def _run_of(checkpoint: str) -> Path | None:
    """The folder of the run that the checkpoint is, or is the model of."""
    place = Path(checkpoint)
    return next((folder for folder in (place, place.parent) if (folder / METRICS).is_file()), None)


def _left_out(result: Mapping[str, Any]) -> str:
    trained, unreadable = result["left_out"], result["skipped"]
    told = f"{trained:,} that the model learned from are left out" if trained else "none is left out"
    return told + (f", {unreadable:,} cannot be read" if unreadable else "")


def _suspects(checkpoint: str, source: Source) -> list[Suspect]:
    """Those that the run at `checkpoint`, if it was taught, suspects among the images of `source`, by their content."""
    taught, marks = read_taught(checkpoint), None
    if taught is None or not taught[1].get("suspects") or (marks := digests(source)) is None:
        return []
    known, results = taught
    mark_of = dict(zip(known.names, known.marks.tolist(), strict=True))
    place_of = {mark: place for place, mark in enumerate(marks.tolist()) if mark}
    return [
        Suspect(
            file=source.describe(place),
            label=told["label"],
            instead=told["looks_like"],
            wrong=told["wrong"],
            picture=partial(source.__getitem__, place),
        )
        for told in results["suspects"]
        if (place := place_of.get(mark_of.get(told["file"], 0))) is not None
    ]
