"""`vitascope demo`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from vitascope.cli.console import Console, RunObserver
from vitascope.fields import FolderName, Range, check_fields
from vitascope.wording import duration


@dataclass(frozen=True, kw_only=True)
class Demo:
    """Where, and from which seed."""

    out: FolderName = "runs/demo"
    """The demo's folder; an earlier demo in it is replaced."""
    seed: Annotated[int, Range(0)] = 0
    """Fixes fractals, initial values, order and augmentation."""

    def __post_init__(self) -> None:
        check_fields(self)


def run(asked: Demo, console: Console) -> dict[str, Any]:
    """Runs it, and shows its accuracies and what to do next."""
    from vitascope.recipes.demo import TITLES, accuracies, run_demo
    from vitascope.recipes.demo_page import next_commands, write_demo_page

    begun = 0

    def stage(title: str) -> RunObserver:
        nonlocal begun
        begun += 1
        console.say(f"[{begun}/{len(TITLES) + 1}] {title}")
        return console.observer(title, evaluations=False)

    result = run_demo(asked.out, asked.seed, stage)
    page, summary = write_demo_page(result), result.summary
    n, always = summary["test_images"], summary["baseline"]
    console.table(
        f"handwritten digits, top-1 on {n} test images; always {always['class']!r} {100 * always['top1']:.1f} %",
        ["labelled images", "pre-trained on fractals", "from scratch"],
        accuracies(summary),
    )
    console.say(f"all of it took {duration(summary['seconds'])}; open {page} in a browser")
    console.say("\nnext, with photographs of your own in one folder per class:")
    for why, command in next_commands(result.out):
        console.say(f"  {command}\n      {why}")
    return {"report": str(page), **summary}
