"""What was found in a data set, as `check` and `train` show it: the verdict, then what was found by its kinds."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from vitascope.cli.console import Console
from vitascope.wording import some

if TYPE_CHECKING:
    from vitascope.data.check import Group, Report

_NAMED = 3
"""Files that are named of each kind."""


def show_checked(report: Report, console: Console, *, everything: bool = False) -> None:
    """The verdict, then problems and notes by their kinds, or with `everything` each of them."""
    title = f"{report.data}: {report.verdict}"
    if report.groups:
        console.table(title, *_rows(report, everything))
        if not everything:
            console.say(f"each of them: vitascope check {shlex.quote(report.data)} --all")
    else:
        console.title(title)


def _rows(report: Report, everything: bool) -> tuple[list[str], list[list[str]]]:
    if everything:
        found = [(group, finding) for group in report.groups for finding in group.findings]
        return ["", "kind", "where", "what"], [[g.severity, g.kind, f.where, f.what] for g, f in found]
    return ["", "kind", "how many", "such as"], [
        [group.severity, group.kind, f"{len(group.findings):,}", _such_as(group, report.data)]
        for group in report.groups
    ]


def _such_as(group: Group, data: str) -> str:
    """What is said of the only one; else where the first few are."""
    first = group.findings[0]
    where = [os.path.relpath(f.where, data) if Path(f.where).is_relative_to(data) else f.where for f in group.findings]
    if len(group.findings) == 1:
        return first.what if where[0] in (".", data) else f"{where[0]}: {first.what}"
    return some(where, _NAMED)
