"""What `pretrain` and `finetune` share: the options about the run's folder, and how its result is shown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from vitascope.cli.console import Console, duration
from vitascope.cli.parser import Parser


def add_run_arguments(parser: Parser) -> None:
    """--resume and --overwrite."""
    parser.add("--resume", action="store_true", help="go on with the run in --out, exactly where it stopped")
    parser.add("--overwrite", action="store_true", help="delete the run in --out first")


def show_run(model: Path, console: Console) -> dict[str, Any]:
    """A run's figures as a table; returns them for --json."""
    from vitascope.recipes.run_folder import RESULTS

    results: dict[str, Any] = json.loads((model.parent / RESULTS).read_text(encoding="utf-8"))
    rows = [
        [part, results[part]["images"], f"{100 * results[part]['top1']:.2f} %", f"{results[part]['loss']:.4f}"]
        for part in ("validation", "test")
        if part in results
    ]
    if rows:
        console.table(str(model.parent), ["split", "images", "top-1", "loss"], rows)
    speed = f", {results['images_per_second']:.0f} images/s" if "images_per_second" in results else ""
    took = f" in {duration(results['seconds'])}" if "seconds" in results else ""
    console.say(f"{results['steps']} steps, {results['epochs']:.1f} epochs{took}{speed}; the model is in {model}")
    return {"model": str(model), **results}
