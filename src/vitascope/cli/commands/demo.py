"""`vitascope demo`."""

from __future__ import annotations

from typing import Any

from vitascope.cli.console import Console, RunObserver
from vitascope.cli.parser import Parser
from vitascope.wording import duration

STAGES = 6
"""Four trainings beside pre-training, then evaluation and prediction."""


def arguments(parser: Parser) -> None:
    """See `vitascope.cli.Command`."""
    parser.add("--out", default="runs/demo", help="the demo's folder; an earlier demo in it is replaced")
    parser.add("--seed", least=0, default=0, help="fixes fractals, initial values, order and augmentation")


def run(args: Any, parser: Parser, console: Console) -> dict[str, Any]:
    """See `vitascope.cli.Command`."""
    from vitascope.recipes.demo import run_demo
    from vitascope.recipes.demo_settings import REPORT, DemoSettings, next_commands

    begun = 0

    def stage(title: str) -> RunObserver:
        nonlocal begun
        begun += 1
        console.say(f"[{begun}/{STAGES}] {title}")
        return console.observer(title, evaluations=False)

    result = run_demo(DemoSettings(out=args.out, seed=args.seed), stage)
    console.stop()
    show(result.summary, console)
    console.say(f"all of it took {duration(result.summary['seconds'])}; open {args.out}/{REPORT} in a browser")
    console.say("\nnext, with photographs of your own in one folder per class:")
    for why, command in next_commands(args.out):
        console.say(f"  {command}\n      {why}")
    return {"report": f"{args.out}/{REPORT}", **result.summary}


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
