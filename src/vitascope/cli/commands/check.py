"""`vitascope check DATA`."""

from __future__ import annotations

from typing import Any

from vitascope.cli.console import Console, Counter
from vitascope.cli.parser import Parser
from vitascope.wording import count


def arguments(parser: Parser) -> None:
    """See `vitascope.cli.Command`."""
    parser.add("data", help="what to check (`vitascope data` lists the kinds)")
    parser.add("--strict", action="store_true", help="exit with 2 when there are problems")


def run(args: Any, parser: Parser, console: Console) -> dict[str, Any]:
    """See `vitascope.cli.Command`."""
    from vitascope.data.check import check_data

    counters: dict[str, Counter] = {}

    def progress(split: str, done: int, total: int) -> None:
        counters.setdefault(split, console.counter(f"reading {split}"))(done, total)

    report = check_data(args.data, progress=progress)
    for name, split in report.splits.items():
        counts = list(split.per_class.items())
        shown = counts if len(counts) <= 40 else counts[:40]
        console.table(f"{name}: {split.images:,} images", ["class", "images"], shown)
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
    return {**report.to_json(), "exit_code": 2 if args.strict and report.problems else 0}
