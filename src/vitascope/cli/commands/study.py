"""`vitascope study`: data-scaling, compute and ablation train; cost measures; inductive-bias, of checkpoints."""

from __future__ import annotations

import math
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vitascope.checkpoints.output import check_output
from vitascope.cli.console import Console
from vitascope.cli.runs import Schedule, checkpoint_names
from vitascope.errors import ConfigError
from vitascope.fields import height_width
from vitascope.recipes.asked import Compared
from vitascope.studies.ablation.settings import Ablation
from vitascope.studies.image_sizes.settings import ImageSizes
from vitascope.studies.inductive_bias.settings import InductiveBias
from vitascope.studies.settings import Cell, Compute, DataScaling, Study, passes
from vitascope.wording import count, duration

if TYPE_CHECKING:
    from vitascope.studies.study import Plan

WHAT = "study"


def data_scaling(study: DataScaling, schedule: Schedule, console: Console) -> dict[str, Any]:
    """Does what of the study is not done yet."""
    return _run(study, schedule, console)


def compute(study: Compute, schedule: Schedule, console: Console) -> dict[str, Any]:
    """Does what of the study is not done yet."""
    return _run(study, schedule, console)


def ablation(study: Ablation, schedule: Schedule, console: Console) -> dict[str, Any]:
    """Does what of the ablation is not done yet."""
    return _run(study, schedule, console)


def _run(study: Study, schedule: Schedule, console: Console) -> dict[str, Any]:
    """Plans a study, shows the plan, does it and shows what came out."""
    from vitascope.recipes.plan import DAY
    from vitascope.studies.ablation.report import write_ablation
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
            f"about {duration(plan.seconds_left)}; give --time-budget 8h, fewer --steps or --seeds, smaller --models, "
            "or --yes to start it so"
        )
    # In seconds of one job; rates are tried before any cell is done, by one alone.
    begun, tried = time.monotonic(), plan.trials * plan.jobs
    finished, whole = tried, tried + sum(plan.seconds[cell.key] for cell in plan.left)

    def done(cell: Cell, found: dict[str, Any]) -> None:
        nonlocal finished
        finished += plan.seconds[cell.key]
        # The estimate is corrected by how long what is done really took.
        left = (whole - finished) / finished * (time.monotonic() - begun)
        said = f"{100 * found['finetuning']['top1']:.1f} % fine-tuned" if "finetuning" in found else "diverged"
        console.say(f"{cell.key}: {said}, about {duration(left)} left")

    try:
        run_study(study, plan, done, lambda cell: console.observer(cell.key))
    finally:
        if finished > tried or plan.done:
            result = write_ablation(study, plan) if isinstance(study, Ablation) else write_report(study, plan)
    _show_result(study, result, console)
    return result


def _show_plan(study: Study, plan: Plan, console: Console) -> None:
    models = [
        [name, f"{cost.parameters / 1e6:.2f} M", f"{cost.flops / 1e9:.3f}", f"{cost.images_per_second:,.0f}"]
        for name, cost in plan.costs.items()
    ]
    console.table("models", ["model", "parameters", "GFLOP/image", "images/s"], models)
    places = sorted({(cell.size, cell.steps) for cell in plan.cells})
    heads = [f"{size:,} images, {steps:,} steps" for size, steps in places]
    rows = [[name, *(_state(plan, name, *place) for place in places)] for name in plan.costs]
    console.table(
        f"{study.kind}: {', '.join(study.sources)} to {', '.join(study.targets)}", ["runs left", *heads], rows
    )
    if plan.trials:
        console.say(f"first every model tries its rates, about {duration(plan.trials)}")
    unseen = sorted({cell.size for cell in plan.cells if passes(study, cell.size, cell.steps) < 1})
    if unseen:
        sizes = ", ".join(f"{size:,}" for size in unseen)
        console.say(
            f"sets of {sizes} images are not seen whole in so few steps, so more images cannot help; give more --steps"
        )
    if plan.dropped:
        console.say(f"left out for time: {', '.join(cell.key for cell in plan.dropped)}")
    console.say(f"{len(plan.left)} of {count(len(plan.cells), 'run')} left, about {duration(plan.seconds_left)}")


def _state(plan: Plan, model: str, size: int, steps: int) -> str:
    """How many of a model's runs at a place are left, and how long one takes."""
    cells = [c for c in plan.cells if (c.contender.name, c.size, c.steps) == (model, size, steps)]
    left = sum(cell.key not in plan.done for cell in cells)
    if not cells:
        return ""
    each = f", {duration(plan.seconds[cells[0].key])} each" if left else ""
    return f"{left} of {len(cells)}{each}"


def _show_result(study: Study, result: dict[str, Any], console: Console) -> None:
    from vitascope.evaluation.interval import Interval

    for measure in ("fine-tuned", *(f"{shots}-shot" for shots in study.shots)):
        entries = [entry for entry in result["table"] if entry["measure"] == measure]
        places = sorted({entry[study.axis] for entry in entries})
        cells: dict[str, dict[int, str]] = {}
        for entry in entries:
            found = Interval(mean=entry["mean"], half=entry["half"], count=entry["seeds"])
            cells.setdefault(entry["model"], {})[entry[study.axis]] = found.percent()
        rows = [[model, *(by.get(place, "") for place in places)] for model, by in cells.items()]
        console.table(f"{measure}, by {study.axis}", ["model", *(f"{place:,}" for place in places)], rows)
    rows = [[verdict["outcome"], verdict["statement"]] for verdict in result["verdicts"]]
    if rows:
        console.table("the paper's statements", ["here", "statement"], rows)
    console.say(f"tables, figures and the reading are in {study.out}")


def cost(settings: ImageSizes, console: Console) -> dict[str, Any]:
    """Measures, and writes the numbers, the figure and their reading."""
    out = Path(settings.out)
    check_output(out, WHAT, overwrite=settings.overwrite, sources=[])
    from vitascope.checkpoints.output import atomic_folder
    from vitascope.studies.image_sizes.report import FIGURE, JSON, write_image_sizes
    from vitascope.studies.image_sizes.study import measure

    with atomic_folder(out, what=WHAT, overwrite=settings.overwrite) as folder:
        rows = measure(settings, console.counter("measuring"))
        judged = write_image_sizes(rows, settings, folder)
    body = [[row.model, row.size, *(f"{rate:,.1f}" for rate in row.rates.values()), row.largest_batch] for row in rows]
    console.table("cost", ["model", "px", "inference, images/s", "training, images/s", "largest batch"], body)
    console.table("the paper's statements", ["here", "statement"], [[v.outcome, v.statement] for v in judged])
    console.say(f"figure, numbers and their reading lie in {out}")
    return {
        "out": str(out),
        "study": str(out / JSON),
        "figure": str(out / f"{FIGURE}.png"),
        "rows": [asdict(row) for row in rows],
        "verdicts": [asdict(one) for one in judged],
    }


def inductive_bias(asked: Compared, settings: InductiveBias, console: Console) -> dict[str, Any]:
    """Measures, and writes the numbers, the figure and their reading."""
    out = Path(asked.out)
    sources = [*asked.checkpoints, *filter(None, [asked.data])]
    check_output(out, WHAT, overwrite=asked.overwrite, sources=sources)
    from vitascope.checkpoints.load import load
    from vitascope.checkpoints.output import atomic_folder
    from vitascope.device import resolve_device
    from vitascope.studies.inductive_bias.report import FIGURE, JSON, write_study
    from vitascope.studies.inductive_bias.study import compare_models, example_pictures, pictures_of

    device = resolve_device(asked.device)
    checkpoints = [load(path) for path in asked.checkpoints]
    size = None if asked.image_size is None else height_width(asked.image_size, "image_size")
    for checkpoint in checkpoints:
        checkpoint.model.to(device)
    if asked.data is None:
        shown, images = example_pictures([size or checkpoint.preprocess.size for checkpoint in checkpoints])
    else:
        shown, images = pictures_of(asked.data, asked.images, settings.seed)
    named = list(zip(checkpoint_names(asked.checkpoints), checkpoints, strict=True))
    with atomic_folder(out, what=WHAT, overwrite=asked.overwrite) as folder:
        models = compare_models(named, images, settings, console.counter("measuring"), size)
        reading = write_study(models, shown, settings, folder)
    console.table("inductive bias", ["statement", "verdict"], [(one.statement, one.verdict) for one in reading])
    console.say(f"figure, numbers and their reading lie in {out}")
    return {
        "out": str(out),
        "study": str(out / JSON),
        "figure": str(out / f"{FIGURE}.png"),
        "images": len(images),
        "reading": [asdict(one) for one in reading],
    }
