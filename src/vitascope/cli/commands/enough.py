"""`vitascope enough DATA`."""

from __future__ import annotations

from typing import Any

from vitascope.checkpoints.output import check_output
from vitascope.cli.console import Console
from vitascope.recipes.asked import Enough

_ROWS = 20


def run(asked: Enough, console: Console) -> dict[str, Any]:
    """Foretells, and shows accuracies by number of images and which class gains most."""
    if asked.figure:
        check_output(asked.figure, None, remedy="choose another --figure file")
    from pathlib import Path

    from vitascope.evaluation.forecast import LEAST_OF_EACH
    from vitascope.evaluation.interval import accuracy_text
    from vitascope.recipes.enough import enough
    from vitascope.reports.answer_figures import forecast_figure
    from vitascope.wording import count, duration, printable, some

    told = enough(asked, console.counter("computing features"))
    rows = [["now, each image by the others", told["images"], accuracy_text(told)]]
    for name, row in zip(("twice as many", "four times as many"), told["forecast"], strict=False):
        low, high = (f"{100 * side:.0f}" for side in row["interval"])
        rows.append([name, row["images"], f"{100 * row['top1']:.0f} % ({low}–{high})"])
    height, width = told["image_size"]
    size = f"{height}" if height == width else f"{height}×{width}"
    console.table(f"{asked.data}, seen by {asked.start} at {size} pixels", ["images", "number", "right answers"], rows)
    gains = told["gains"]
    by_class = sorted(told["per_class"].items(), key=lambda item: (-gains.get(item[0], 1.0), item[1]["top1"]))
    points = {name: f"{100 * gains[name]:+.1f}" if name in gains else "too few to say" for name, _ in by_class}
    shown = [
        [name, found["images"], f"{100 * found['top1']:.0f} %", *([points[name]] if gains else [])]
        for name, found in by_class[:_ROWS]
    ]
    columns = ["class", "images", "right now", *(["twice its images: points"] if gains else [])]
    title = "classes" if len(by_class) <= _ROWS else f"{_ROWS} of {len(by_class)} classes, those that gain most"
    console.table(title, columns, shown)
    if told["trained_on"]:
        console.say(f"{asked.start} was trained on {told['trained_on']:,} of them, so nothing is foretold: try another")
    elif not told["forecast"]:
        console.say(
            f"of so few nothing is foretold: there are {told['images']:,} images, expected at least {told['least']:,} "
            f"for {count(len(told['per_class']), 'class')}, no copies of one another"
        )
    elif too_few := [f"{name} ({found['images']})" for name, found in by_class if name not in gains]:
        console.say(f"begin with the classes of fewer than {LEAST_OF_EACH} images: {some(too_few)}")
    elif max(gains.values()) >= 0.005:
        best, gain = printable(by_class[0][0]), 100 * gains[by_class[0][0]]
        console.say(f"most would help twice the images of {best!r}: about {gain:+.0f} points for that class")
    else:
        console.say("no class would gain half a point from twice its images")
    if told["unreadable"]:
        console.say(f"{count(told['unreadable'], 'image')} cannot be read and left out: `vitascope check` lists them")
    more = "a better start or fine-tuning may be right more often"
    console.say(f"in {duration(told['seconds'])}, for a linear head on this start: {more}")
    if asked.figure and told["forecast"]:
        Path(asked.figure).parent.mkdir(parents=True, exist_ok=True)
        forecast_figure(told, told["forecast"]).savefig(asked.figure, format="png")
    return told
