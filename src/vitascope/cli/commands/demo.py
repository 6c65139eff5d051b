"""`vitascope demo`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from vitascope.cli.console import Console, RunObserver
from vitascope.fields import Range, check_fields
from vitascope.wording import duration

STAGES = 6
"""Four trainings beside pre-training, then evaluation and prediction."""


@dataclass(frozen=True, kw_only=True)
class Demo:
    """Where, and from which seed."""

    out: str = "runs/demo"
    """The demo's folder; an earlier demo in it is replaced."""
    seed: Annotated[int, Range(0)] = 0
    """Fixes fractals, initial values, order and augmentation."""

    def __post_init__(self) -> None:
        check_fields(self)


def run(asked: Demo, console: Console) -> dict[str, Any]:
    """Runs it, and shows its accuracies and what to do next."""
    from vitascope.recipes.demo import run_demo
    from vitascope.recipes.demo_settings import REPORT, DemoSettings, next_commands

    begun = 0

    def stage(title: str) -> RunObserver:
        nonlocal begun
        begun += 1
        console.say(f"[{begun}/{STAGES}] {title}")
        return console.observer(title, evaluations=False)

    result = run_demo(DemoSettings(out=asked.out, seed=asked.seed), stage)
    console.stop()
    show(result.summary, console)
    console.say(f"all of it took {duration(result.summary['seconds'])}; open {asked.out}/{REPORT} in a browser")
    console.say("\nnext, with photographs of your own in one folder per class:")
    for why, command in next_commands(asked.out):
        console.say(f"  {command}\n      {why}")
    return {"report": f"{asked.out}/{REPORT}", **result.summary}


def show(summary: dict[str, Any], console: Console) -> None:
    """The accuracies as a table."""
    from vitascope.evaluation.interval import accuracy_text

    few, always = summary["few_labels"], summary["baseline"]
    rows = [
        (f"{summary['labelled_images']} (all)", summary["pretrained_top1"], summary["scratch_top1"]),
        (f"{10 * few['per_class']} ({few['per_class']} per digit)", few["pretrained_top1"], few["scratch_top1"]),
    ]
    n = summary["test_images"]
    console.table(
        f"handwritten digits, top-1 on {n} test images; always {always['class']!r} {100 * always['top1']:.1f} %",
        ["labelled images", "pre-trained on fractals", "from scratch"],
        [[name, *(accuracy_text({"top1": found, "images": n}) for found in pair)] for name, *pair in rows],
    )
