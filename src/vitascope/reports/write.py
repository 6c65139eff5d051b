"""What a run leaves for people: report.html, which shows and explains all that came of it, and answers.csv."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from vitascope.checkpoints.kept_examples import write_examples
from vitascope.checkpoints.run_files import ANSWERS, REPORT
from vitascope.reports import pictures as photographs
from vitascope.reports import sections
from vitascope.reports.answer_files import write_answers
from vitascope.reports.examples import examples
from vitascope.reports.page import Section, commands, table, write_page
from vitascope.reports.reported import RunReport
from vitascope.version import __version__

_SECTIONS: tuple[Callable[[RunReport], Section], ...] = (
    sections.by_class,
    sections.mixed_up,
    photographs.mistakes,
    photographs.suspects,
    photographs.right,
    sections.copies,
    sections.forecast,
    sections.unsure,
    sections.curves,
)


def write_run_report(folder: Path, report: RunReport) -> Path:
    """Writes report.html and, where images were judged, answers.csv and examples.json into a run's folder; returns the
    page."""
    write_examples(folder, examples(report))
    if report.judged:
        write_answers(folder / ANSWERS, report.judged, report.checkpoint.labels, report.wrong)
    return write_report_page(folder / REPORT, report)


def write_report_page(path: Path, report: RunReport) -> Path:
    """Writes the page alone, to any file; returns it."""
    headline, lead = sections.verdict(report)
    with ThreadPoolExecutor(1) as beside:  # where a model looks is computed while the rest is written
        looked = beside.submit(photographs.mistakes, report)
        drawn = [None if section is photographs.mistakes else section(report) for section in _SECTIONS]
    parts = [
        sections.accuracy(report),
        *report.first,
        *(section or looked.result() for section in drawn),
        ("What was done", _pairs(report.made)),
        ("What to do next", commands(report.next) if report.next else ""),
    ]
    write_page(
        path,
        kicker=f"Vitascope · {report.data}",
        headline=headline,
        lead=lead,
        sections=[(title, body) for title, body in parts if body],
        footer=[f"Written by vitascope {__version__}, {time.strftime('%d %B %Y, %H:%M')}. This page needs no network."],
    )
    return path


def _pairs(rows: Sequence[tuple[str, str]]) -> str:
    return table(["what", "how"], rows, words=(0, 1)) if rows else ""
