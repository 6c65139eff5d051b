"""`vitascope demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vitascope.cli.commands.inspect import run as inspect
from vitascope.cli.console import Console, RunObserver
from vitascope.recipes.asked import Inspect
from vitascope.recipes.train_asked import Demo
from vitascope.wording import duration


def run(asked: Demo, console: Console) -> dict[str, Any]:
    """Runs it, and shows its accuracies and what to do next."""
    from vitascope.checkpoints.run_files import REPORT
    from vitascope.recipes.demo import DIGITS, IMAGES, INSIDE, TITLES, accuracies, run_demo

    begun = 0

    def stage(title: str) -> RunObserver:
        nonlocal begun
        begun += 1
        console.say(f"[{begun}/{len(TITLES) + 1}] {title}")
        return console.observer(title, evaluations=False)

    summary = run_demo(asked, stage)
    out = Path(asked.out)
    stage("looking inside")
    inspect(Inspect(checkpoint=str(out / DIGITS), others=(str(out / IMAGES),), out=str(out / INSIDE)), console)
    always = summary["baseline"]
    console.table(
        f"handwritten digits, {summary['test_images']} test images; always {always['class']!r} "
        f"{100 * always['top1']:.1f} %",
        ["learned from", "top-1"],
        accuracies(summary),
    )
    console.say(f"open {out / REPORT} in a browser; it leads to {INSIDE}/inspect.html")
    console.say("next, with photographs of your own in one folder per class:")
    console.say("  vitascope train photos/ --out runs/mine")
    console.say(f"all of it took {duration(summary['seconds'])}, and looking inside")
    return {"report": str(out / REPORT), **summary}
