"""`vitascope evaluate CHECKPOINT DATA`."""

from __future__ import annotations

from typing import Any

from vitascope.checkpoints.output import check_output
from vitascope.cli.console import Console
from vitascope.recipes.asked import Evaluate


def run(asked: Evaluate, console: Console) -> dict[str, Any]:
    """Evaluates, and shows the figures by class and together."""
    for name in ("report", "csv", "errors", "confusion"):
        if path := getattr(asked, name):
            check_output(path, None, remedy=f"choose another --{name}")
    from vitascope.evaluation.interval import figures
    from vitascope.evaluation.sets import sets_text
    from vitascope.recipes.evaluation import evaluate_checkpoint

    result = evaluate_checkpoint(asked, console.counter("evaluating"))
    kind, by = ("class", result["per_class"]) if "per_class" in result else ("label", result["per_label"])
    shares = {"top1": "recall", "ap": "average precision", "recall": "recall", "precision": "precision", "f1": "F1"}
    shares = {name: told for name, told in shares.items() if name in next(iter(by.values()), {})}
    rows = [[k, *(f"{100 * c[s]:.2f} %" for s in shares), c["images"]] for k, c in by.items()]
    if len(rows) > 40:
        rows = sorted(rows, key=lambda row: float(row[1].split()[0]))[:40]
        console.say(f"the 40 hardest of {len(by)} {'classes' if kind == 'class' else 'labels'}:")
    console.table(f"per {kind}", [kind, *shares.values(), "images"], rows)
    part = "" if result["part"] == "all" else f", {result['part']}"
    out = f"; {result['left_out']:,} images that were trained on are left out" if result["left_out"] else ""
    told = {"macro_f1": "macro F1", "top5": "top-5", "calibration_error": "calibration error"}
    if len(by) <= 5:
        del told["top5"]  # always all of them
    percent = {name: f"{100 * result[key]:.2f} %" for key, name in told.items() if key in result}
    shown = {"images": result["images"]} | {k: v for k, v in figures(result).items() if k != "loss"} | percent
    shown |= {"loss": f"{result['loss']:.4f}", "unreadable": result["skipped"]}
    console.table(f"{asked.data} ({result['split']}{part}){out}", list(shown), [list(shown.values())])
    if withheld := result.get("selective"):
        console.table(
            f"top-1 of the surest images alone; area under risk against coverage {withheld['aurc']:.4f}",
            [f"{100 * share:.0f} %" for share in withheld["coverage"]],
            [[f"{100 * top1:.1f} %" for top1 in withheld["top1"]]],
        )
    if sets := result["sets"]:
        console.say(sets_text(sets, several="per_label" in result))
    for name, what in (("report", "the page"), ("csv", "what was said of each image"), ("errors", "the mistakes")):
        if path := getattr(asked, name):
            console.say(f"{what} is in {path}" if name != "errors" else f"{what} are in {path}")
    return result
