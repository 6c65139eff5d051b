"""What the studies that train share: the options about how they are run, their plan and their result as tables."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

from vitascope.cli.console import Console
from vitascope.cli.runs import Schedule
from vitascope.errors import ConfigError
from vitascope.studies.settings import Cell, Study, passes
from vitascope.wording import count, duration

if TYPE_CHECKING:
    from vitascope.studies.study import Plan


def run_and_show(study: Study, schedule: Schedule, console: Console) -> dict[str, Any]:
    """Plans a study, shows the plan, does it and shows what came out."""
    from vitascope.recipes.plan import DAY
    from vitascope.studies.report import write_report
    from vitascope.studies.study import plan_study, run_study
    from vitascope.training.train_settings import seconds

    budget = math.inf if schedule.time_budget is None else seconds(schedule.time_budget)
    plan = plan_study(study, jobs=schedule.jobs, budget=budget)
    _show_plan(study, plan, console)
    if schedule.dry_run:
        planned = [{"run": cell.key, "seconds": round(plan.seconds[cell.key], 1)} for cell in plan.left]
        return {"left": planned, "done": len(plan.done), "seconds_left": round(plan.seconds_left, 1)}
    if schedule.time_budget is None and not schedule.yes and plan.seconds_left > DAY:
        raise ConfigError(
            f"about {duration(plan.seconds_left)}; give --time_budget 8h, fewer --steps or --seeds, smaller --models, "
            "or --yes to start it so"
        )
    counter = _Progress(plan, console)
    try:
        run_study(study, plan, counter.done, lambda cell: console.observer(cell.key))
    finally:
        if counter.finished or plan.done:
            result = write_report(study, plan)
    _show_result(study, result, console)
    return result


class _Progress:
    """Says of each cell that it is done, and how long the others will take."""

    def __init__(self, plan: Plan, console: Console) -> None:
        self.plan, self.console = plan, console
        self.begun, self.finished = time.monotonic(), 0.0

    def done(self, cell: Cell, found: dict[str, Any]) -> None:
        """`run_study` calls this."""
        plan = self.plan
        self.finished += plan.seconds[cell.key]
        whole = sum(plan.seconds[left.key] for left in plan.left)
        # The estimate is corrected by how long what is done really took.
        left = (whole - self.finished) / max(self.finished, 1e-9) * (time.monotonic() - self.begun)
        said = f"{100 * found['finetuning']['top1']:.1f} % fine-tuned" if "finetuning" in found else "diverged"
        self.console.say(f"{cell.key}: {said}, about {duration(left)} left")


def _show_plan(study: Study, plan: Plan, console: Console) -> None:
    rows: list[list[Any]] = []
    for cell in plan.cells:
        cost = plan.costs[cell.contender.name]
        state = "done" if cell.key in plan.done else duration(plan.seconds[cell.key])
        rows.append(
            [
                cell.contender.name,
                f"{cost.parameters / 1e6:.2f} M",
                f"{cost.flops / 1e9:.3f}",
                round(cost.images_per_second),
                cell.size,
                cell.steps,
                cell.seed,
                state,
            ]
        )
    columns = ["model", "parameters", "GFLOP/image", "images/s", "images", "steps", "seed", "time"]
    console.table(f"{study.kind}: {', '.join(study.sources)} to {study.target}", columns, rows)
    unseen = sorted({cell.size for cell in plan.cells if passes(study, cell.size, cell.steps) < 1})
    if unseen:
        sizes = ", ".join(f"{size:,}" for size in unseen)
        console.say(
            f"sets of {sizes} images are not seen whole in so few steps, so more images cannot help; give more --steps"
        )
    if plan.dropped:
        console.say(f"left out for time: {', '.join(cell.key for cell in plan.dropped)}")
    console.say(f"{len(plan.left)} of {count(len(plan.cells), 'run')} left, about {duration(plan.seconds_left)}")


def _show_result(study: Study, result: dict[str, Any], console: Console) -> None:
    from vitascope.evaluation.interval import Interval

    axis = "steps" if study.kind == "compute" else "size"
    for measure in ("fine-tuned", *(f"{shots}-shot" for shots in study.shots)):
        entries = [entry for entry in result["table"] if entry["measure"] == measure]
        places = sorted({entry[axis] for entry in entries})
        cells: dict[str, dict[int, str]] = {}
        for entry in entries:
            found = Interval(mean=entry["mean"], half=entry["half"], count=entry["seeds"])
            cells.setdefault(entry["model"], {})[entry[axis]] = found.percent()
        rows = [[model, *(by.get(place, "") for place in places)] for model, by in cells.items()]
        console.table(f"{measure}, by {axis}", ["model", *(f"{place:,}" for place in places)], rows)
    rows = [[verdict["outcome"], verdict["statement"]] for verdict in result["verdicts"]]
    if rows:
        console.table("the paper's statements", ["here", "statement"], rows)
    console.say(f"tables, figures and the reading are in {study.out}")
