"""What commands about runs share: how one is begun, how its result is shown, and what checkpoints are called."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from vitascope.cli.console import Console
from vitascope.fields import TimeText
from vitascope.wording import count, duration


@dataclass(frozen=True, kw_only=True)
class Begin:
    """How a run is begun, or gone on with."""

    FIRST: ClassVar[tuple[str, ...]] = ("resume", "overwrite")

    resume: bool | Literal["auto"] = False
    """Go on with the run in --out, exactly where it stopped; auto: if there is one, else start."""
    overwrite: bool = False
    """Delete the run in --out first."""
    yes: bool = False
    """Start even what will take more than a day."""

    def how(self, console: Console, what: str) -> dict[str, Any]:
        """The same as `pretrain` and `finetune` take it; the time of a run counts from the command's start."""
        from vitascope.recipes.plan import DAY, Limits

        limits = Limits(begun=console.begun, longest=math.inf if self.yes else DAY)
        how = {"resume": self.resume, "overwrite": self.overwrite}
        return {**how, "observer": console.observer(what), "limits": limits}


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How a study is begun, or gone on with."""

    jobs: int = 1
    """Runs at a time, each with its share of the cores."""
    time_budget: TimeText | None = None
    """Wall time of this start, such as 90m or 8h; runs that do not fit by estimate are left out, and named."""
    dry_run: bool = False
    """Show the runs with their estimated times, and start none."""
    yes: bool = False
    """Start even what will take more than a day."""


def show_run(model: Path, console: Console) -> dict[str, Any]:
    """A run's figures as a table; returns them for --json."""
    from vitascope.checkpoints.run_files import REPORT, RESULTS, read_json
    from vitascope.evaluation.interval import figures
    from vitascope.recipes.run_folder import SWEEP

    if console.silent:  # one of several processes, whose disk may hold no results
        return {"model": str(model)}
    results = read_json(model.parent / RESULTS, "go on with --resume")
    judged = {part: results[part] for part in ("validation", "test") if part in results}
    told = {part + (", chosen on" if found.get("chosen_on") else ""): found for part, found in judged.items()}
    swept = model.parent / SWEEP / RESULTS
    if swept.is_file():
        sweep = read_json(swept, "it is made again")
        if "validation" in sweep:
            told = {f"held out in the sweep, chosen on (lr {sweep['best']:g})": sweep["validation"], **told}
    if told:
        rows = [[name, found["images"], *figures(found).values()] for name, found in told.items()]
        console.table(str(model.parent), ["split", "images", *figures(next(iter(told.values())))], rows)
    else:
        console.say("nothing was held out, so nothing tells how good it is: `vitascope evaluate` on other images does")
    speed = f", {results['images_per_second']:.0f} images/s" if "images_per_second" in results else ""
    took = f" in {duration(results['seconds'])}" if "seconds" in results else ""
    page = model.parent / REPORT
    where = f"the model is in {model}" + (f"; open {page} in a browser" if page.is_file() else "")
    console.say(f"{count(results['steps'], 'step')}, {results['epochs']:.1f} epochs{took}{speed}; {where}")
    return {"model": str(model), **results}


def checkpoint_names(paths: Sequence[str]) -> list[str]:
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
