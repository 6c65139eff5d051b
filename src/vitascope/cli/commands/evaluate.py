"""`vitascope evaluate CHECKPOINT DATA`."""

from __future__ import annotations

from typing import Any

from vitascope.checkpoints.output import check_output
from vitascope.cli.console import Console
from vitascope.recipes.asked import Evaluate


def run(asked: Evaluate, console: Console) -> dict[str, Any]:
    """Evaluates, and shows the figures by class and together."""
    if asked.confusion:
        check_output(asked.confusion, None, remedy="choose another --confusion file")
    from vitascope.evaluation.interval import accuracy_text
    from vitascope.evaluation.sets import sets_text
    from vitascope.recipes.evaluation import evaluate_checkpoint

    result = evaluate_checkpoint(asked, console.counter("evaluating"))
    shares = ("top1", "precision", "f1")
    rows = [[k, *(f"{100 * c[s]:.2f} %" for s in shares), c["images"]] for k, c in result["per_class"].items()]
    if len(rows) > 40:
        rows = sorted(rows, key=lambda row: float(row[1].split()[0]))[:40]
        console.say(f"the 40 hardest of {len(result['per_class'])} classes:")
    console.table("per class", ["class", "recall", "precision", "F1", "images"], rows)
    part = "" if result["part"] == "all" else f", {result['part']}"
    out = f"; {result['left_out']:,} images that were trained on are left out" if result["left_out"] else ""
    percent = [f"{100 * result[name]:.2f} %" for name in ("macro_f1", "top5", "calibration_error")]
    console.table(
        f"{asked.data} ({result['split']}{part}){out}",
        ["images", "top-1", "macro F1", "top-5", "calibration error", "loss", "unreadable"],
        [[result["images"], accuracy_text(result), *percent, f"{result['loss']:.4f}", result["skipped"]]],
    )
    withheld = result["selective"]
    console.table(
        f"top-1 of the surest images alone; area under risk against coverage {withheld['aurc']:.4f}",
        [f"{100 * share:.0f} %" for share in withheld["coverage"]],
        [[f"{100 * top1:.1f} %" for top1 in withheld["top1"]]],
    )
    if sets := result["sets"]:
        console.say(sets_text(sets))
    return result
