"""`vitascope fewshot CHECKPOINT DATA`."""

from __future__ import annotations

from typing import Any

from vitascope.cli.console import Console
from vitascope.recipes.asked import FewShotOf


def run(asked: FewShotOf, console: Console) -> dict[str, Any]:
    """Learns from few images, and shows the accuracies by shots and method."""
    from vitascope.recipes.fewshot import fewshot_checkpoint
    from vitascope.wording import printable

    result = fewshot_checkpoint(asked, console.counter("computing features"), console.counter("fitting"))
    seeds = "one seed" if asked.seeds == 1 else f"mean ± 95 % interval over {asked.seeds} seeds"
    test = result["test"]
    title = f"few-shot accuracy on {test['name']} ({test['split']}, {test['images']:,} images), {seeds}"
    always = f"{printable(result['baseline']['class'])!r} {100 * result['baseline']['top1']:.1f} %"
    console.table(f"{title}; always {always}", *_table(result["results"], test["images"]))
    return result


def _table(results: list[dict[str, Any]], images: int) -> tuple[list[str], list[list[str]]]:
    """Columns and rows: shots × methods."""
    from vitascope.evaluation.interval import accuracy_text, interval

    several = len({entry["l2"] for entry in results if entry["method"] == "ridge"}) > 1
    columns: list[str] = []
    rows: dict[int, list[str]] = {}
    for entry in results:
        name = f"ridge λ={entry['l2']:g}" if several and entry["method"] == "ridge" else entry["method"]
        if name not in columns:
            columns.append(name)
        # Of a single draw only the scatter of the test images is known.
        alone = accuracy_text({"top1": entry["mean"], "images": images})
        said = alone if len(entry["accuracies"]) == 1 else interval(entry["accuracies"]).percent()
        rows.setdefault(entry["shots"], []).append(said)
    return ["shots", *columns], [[str(shots), *cells] for shots, cells in rows.items()]
