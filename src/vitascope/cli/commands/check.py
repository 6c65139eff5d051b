"""`vitascope check DATA`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vitascope.cli.checked import show_checked
from vitascope.cli.console import Console


@dataclass(frozen=True, kw_only=True)
class Check:
    """What to look at."""

    data: str
    """What to check (`vitascope data` lists the kinds)."""
    all: bool = False
    """Show every problem and note, and how many images every class has."""
    strict: bool = False
    """Exit with 2 when there are problems."""


def run(asked: Check, console: Console) -> dict[str, Any]:
    """Reads every image and shows what is there and what is wrong."""
    from vitascope.data.check import check_data

    show = console.observer("checking").counted
    report = check_data(asked.data, progress=lambda split, done, total: show(f"reading {split}", done, total))
    show_checked(report, console, everything=asked.all)
    for name, split in report.splits.items():
        counts = sorted(split.per_class.items(), key=lambda item: item[1])
        if counts and asked.all:
            console.table(f"{name}: {split.images:,} images", ["class", "images"], list(split.per_class.items()))
        size = ""
        if split.heights and split.widths:
            (least, width, most), (lowest, height, highest) = split.widths, split.heights
            size = f"; widths {least}–{most} (median {width}), heights {lowest}–{highest} (median {height}) pixels"
        spread = f", {counts[0][1]:,} ({counts[0][0]}) to {counts[-1][1]:,} ({counts[-1][0]}) a class" if counts else ""
        console.say(f"{name}: {split.images:,} images{spread}{size}")
    return {**report.to_json(), "exit_code": 2 if asked.strict and report.problems else 0}
