"""`vitascope check DATA`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vitascope.cli.console import Console
from vitascope.wording import count


@dataclass(frozen=True, kw_only=True)
class Check:
    """What to look at."""

    data: str
    """What to check (`vitascope data` lists the kinds)."""
    strict: bool = False
    """Exit with 2 when there are problems."""


def run(asked: Check, console: Console) -> dict[str, Any]:
    """Reads every image and shows what is there and what is wrong."""
    from vitascope.data.check import check_data

    show = console.observer("checking").counted
    report = check_data(asked.data, progress=lambda split, done, total: show(f"reading {split}", done, total))
    for name, split in report.splits.items():
        counts = list(split.per_class.items())
        shown = counts if len(counts) <= 40 else counts[:40]
        columns, rows = (["class", "images"], shown) if counts else (["images"], [[split.images]])
        console.table(f"{name}: {split.images:,} images", columns, rows)
        if len(counts) > len(shown):
            console.say(f"… and {len(counts) - len(shown)} more classes")
        if split.heights and split.widths:
            console.say(
                f"{name}: widths {split.widths[0]}–{split.widths[2]} (median {split.widths[1]}), "
                f"heights {split.heights[0]}–{split.heights[2]} (median {split.heights[1]}) pixels"
            )
    for title, findings in (("problem", report.problems), ("note", report.notes)):
        if findings:
            console.table(
                count(len(findings), title), ["kind", "where", "what"], [[f.kind, f.where, f.what] for f in findings]
            )
    if not report.problems:
        console.say("no problems found")
    return {**report.to_json(), "exit_code": 2 if asked.strict and report.problems else 0}
