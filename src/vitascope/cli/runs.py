"""What commands about runs share: options of a run's folder, how its result is shown, and what it is called."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

from vitascope.cli.console import Console
from vitascope.cli.parser import Parser
from vitascope.data.open import recognise
from vitascope.wording import count, duration


def add_run_arguments(parser: Parser) -> None:
    """--resume, --overwrite and --yes."""
    text = "go on with the run in --out, exactly where it stopped; auto: if there is one, else start"
    parser.add_flag_or("--resume", "auto", text)
    parser.add("--overwrite", action="store_true", help="delete the run in --out first")
    add_yes(parser)


def add_yes(parser: Parser) -> None:
    """--yes."""
    parser.add("--yes", action="store_true", help="start even what will take more than a day")


def run_arguments(args: Any, console: Console, what: str) -> dict[str, Any]:
    """These options as `pretrain` and `finetune` take them; the time of a run counts from the command's start."""
    from vitascope.recipes.plan import DAY, Limits

    return {
        "resume": args.resume,
        "overwrite": args.overwrite,
        "observer": console.observer(what),
        "limits": Limits(begun=console.begun, longest=math.inf if args.yes else DAY),
    }


def stated(args: Any) -> dict[str, Any]:
    """What `Parser.add_stated` asked for, as keywords of `load`."""
    return {"labels": args.labels, "mean": args.mean, "std": args.std}


def refuse_early(data: str) -> None:
    """`DataError` for what names no data, before torch is loaded; of several processes all must hear of it."""
    if os.environ.get("WORLD_SIZE", "1") == "1":
        recognise(data)


def show_run(model: Path, console: Console) -> dict[str, Any]:
    """A run's figures as a table; returns them for --json."""
    from vitascope.recipes.run_folder import RESULTS, SWEEP

    if console.silent:  # one of several processes, whose disk may hold no results
        return {"model": str(model)}
    results: dict[str, Any] = json.loads((model.parent / RESULTS).read_text(encoding="utf-8"))
    rows = [
        [part + (", chosen on" if results[part].get("chosen_on") else ""), *_figures(results[part])]
        for part in ("validation", "test")
        if part in results
    ]
    swept = model.parent / SWEEP / RESULTS
    if swept.is_file():
        sweep = json.loads(swept.read_text(encoding="utf-8"))
        if "validation" in sweep:
            rows.insert(0, [f"held out in the sweep, chosen on (lr {sweep['best']:g})", *_figures(sweep["validation"])])
    if rows:
        console.table(str(model.parent), ["split", "images", "top-1", "loss"], rows)
    else:
        console.say("nothing was held out, so nothing tells how good it is: `vitascope evaluate` on other images does")
    speed = f", {results['images_per_second']:.0f} images/s" if "images_per_second" in results else ""
    took = f" in {duration(results['seconds'])}" if "seconds" in results else ""
    console.say(
        f"{count(results['steps'], 'step')}, {results['epochs']:.1f} epochs{took}{speed}; the model is in {model}"
    )
    return {"model": str(model), **results}


def _figures(found: dict[str, Any]) -> list[Any]:
    from vitascope.evaluation.interval import accuracy_text

    return [found["images"], accuracy_text(found), f"{found['loss']:.4f}"]


def checkpoint_names(paths: list[str]) -> list[str]:
    """A short name for each checkpoint, all different: the last parts of its path in which they differ."""
    places = [Path(path).resolve() for path in paths]
    parts = [[p for p in place.parts if p not in ("model", place.anchor)] or ["model"] for place in places]
    while len(set(map(tuple, parts))) > 1 and min(map(len, parts)) > 1 and len({part[-1] for part in parts}) == 1:
        parts = [part[:-1] for part in parts]
    for length in range(1, max(map(len, parts)) + 1):
        names = ["-".join(part[-length:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    return [f"{n}-{part[-1]}" for n, part in enumerate(parts, start=1)]  # the same one twice
