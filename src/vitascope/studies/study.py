"""A study from its settings to its tables: what is planned, done, gone on with and kept."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import MISSING, asdict, dataclass, field, fields
from itertools import accumulate
from pathlib import Path
from typing import Any, cast

import torch

from vitascope.checkpoints.output import check_writable
from vitascope.checkpoints.run_files import read_json, write_json
from vitascope.errors import ConfigError
from vitascope.lock import LOCK, locked
from vitascope.precision import processor
from vitascope.studies.cells import finetune_recipe, pretrain_recipe, read_row
from vitascope.studies.cost import Cost, cell_seconds, measure_costs, trial_seconds
from vitascope.studies.data import StudyData, open_study
from vitascope.studies.rates import trials, with_rates
from vitascope.studies.settings import Cell, Study
from vitascope.studies.workers import Watch, run_cells

log = logging.getLogger(__name__)

SETTINGS, COSTS = "settings.json", "costs.json"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a study will do."""

    cells: tuple[Cell, ...]
    """The grid, most wanted first."""
    dropped: tuple[Cell, ...]
    """What the time budget has no room for."""
    done: frozenset[str]
    """Keys of cells that have their rows."""
    costs: dict[str, Cost]
    """By contender's name."""
    seconds: dict[str, float]
    """Estimated time of one job for each cell, by key."""
    contents: dict[str, str] = field(default_factory=dict)
    """What stands for the images that the study is made of."""
    notes: tuple[str, ...] = ()
    """What was left out of them."""
    jobs: int
    """Cells at a time."""

    @property
    def left(self) -> tuple[Cell, ...]:
        """What remains to be done."""
        return tuple(cell for cell in self.cells if cell.key not in self.done)

    trials: float = 0.0
    """Estimated time of the rates that are tried before."""

    @property
    def seconds_left(self) -> float:
        """Estimated wall time of what remains."""
        return self.trials + sum(self.seconds[cell.key] for cell in self.left) / self.jobs


def plan_study(study: Study, *, jobs: int = 1, budget: float = math.inf) -> Plan:
    """The grid with its costs, as much of it as fits in a `budget` of wall time, in seconds.

    Cells that are done cost nothing. Raises `ConfigError` where the folder holds another study, or where the budget
    leaves no comparison.
    """
    if jobs < 1:
        raise ConfigError(f"jobs is {jobs}, expected at least 1")
    refuse_other(study)
    data = open_study(study)
    refuse_other(study, data.contents)
    grid = study.grid(*data.sizes)
    for cell in grid:  # what these refuse is not found out after hours of pre-training
        pretrain_recipe(study, cell, Path(study.out))
        finetune_recipe(study, cell, Path(study.out), Path(study.out))
    costs = known_costs(study, grid, data, jobs)
    targets = [(len(target.train.classes), len(target.test)) for target in data.targets]
    seconds = {c.key: cell_seconds(study, c, costs[c.contender.name], targets) for c in grid}
    done = frozenset(cell.key for cell in grid if read_row(study.out, cell) is not None)
    tried = sum(
        trial_seconds(study, cell, costs[cell.contender.name], *counts) for cell, *counts in trials(study, grid)
    )
    kept, dropped = fitting(grid, done, seconds, max(budget - tried, 0.0) * jobs)
    if dropped and not compared(kept):
        need = sum(seconds[cell.key] for cell in grid) / jobs
        raise ConfigError(
            f"time_budget {budget:.0f}s leaves {len(kept)} of {len(grid)} runs, too few to compare anything; the whole "
            f"grid takes about {need:.0f}s: give more time, fewer --steps or smaller --models"
        )
    return Plan(
        cells=tuple(kept),
        dropped=tuple(dropped),
        done=done,
        costs=costs,
        seconds=seconds,
        jobs=jobs,
        trials=tried,
        contents=data.contents,
        notes=data.notes,
    )


def fitting(
    grid: list[Cell], done: frozenset[str], seconds: dict[str, float], budget: float
) -> tuple[list[Cell], list[Cell]]:
    """The cells that are done or fit in `budget` seconds of one job, taken in the grid's order, and the others."""
    ends = accumulate(0.0 if cell.key in done else seconds[cell.key] for cell in grid)
    fits = {cell.key: cell.key in done or end <= budget for cell, end in zip(grid, ends, strict=True)}
    return [cell for cell in grid if fits[cell.key]], [cell for cell in grid if not fits[cell.key]]


def compared(cells: list[Cell]) -> bool:
    """Whether two contenders have been given the same images and steps somewhere."""
    places = [(cell.size, cell.steps) for cell in cells if cell.seed == 0]
    return len(set(places)) < len(places)


def run_study(
    study: Study, plan: Plan, done: Callable[[Cell, dict[str, Any]], None], watch: Watch | None = None
) -> None:
    """Does what is left of a plan; `done` hears of each cell and its row. Raises `Stopped`, and what a run raises."""
    folder = Path(study.out)
    refuse_other(study)
    with locked(folder):
        refuse_other(study, plan.contents)  # again, because another process may have come first
        defined = {**_stored(folder).get("contenders", {}), **study.defined()}
        told = {**study.kept(), "grid": study.grid_only(), "contenders": defined, "data": plan.contents}
        write_json(folder / SETTINGS, told)
        costs = {name: asdict(cost) for name, cost in plan.costs.items()}
        write_json(folder / COSTS, {"on": measured_on(plan.jobs), "models": costs})
        if plan.left:
            left, own = list(plan.left), with_rates(study, (*plan.cells, *plan.dropped), watch)
            run_cells(own, left, plan.jobs, lambda cell: done(cell, read_row(study.out, cell) or {}), watch)


def refuse_other(study: Study, contents: dict[str, str] | None = None) -> None:
    """`ConfigError` when the folder holds something that is not this study, or this with other settings or images."""
    folder = Path(study.out)
    check_writable(folder)
    if not folder.exists():
        return
    if not (folder / SETTINGS).is_file():
        # What a start left that was killed while it wrote the settings is no obstacle.
        ours = (LOCK, ".tmp")
        if folder.is_file() or any(p.name[0] != "." or not p.name.endswith(ours) for p in folder.iterdir()):
            raise ConfigError(f"{folder} exists and holds no study (no {SETTINGS}); choose another --out")
        return
    stored = _stored(folder)
    given = json.loads(json.dumps(study.kept()))
    stored.pop("grid", None)
    known, before = stored.pop("contenders", {}), stored.pop("data", contents) or {}
    # A setting that the program did not have then was what it is by itself.
    later = {n: usual for n, usual in _usual(study).items() if n in given and n not in stored}
    changed = [f"{n}: {given.get(n)}, was {was}" for n, was in {**stored, **later}.items() if was != given.get(n)]
    other = [name for name, told in (contents or {}).items() if before.get(name, told) != told]
    defined = json.loads(json.dumps(study.defined()))
    changed += [f"{n}: {now}, was {known[n]}" for n, now in defined.items() if known.get(n, now) != now]
    changed += [f"data: other files, names or sizes in {' and '.join(other)}"] if other else []
    if changed:
        raise ConfigError(
            f"{folder} was started with other settings ({'; '.join(changed)}); repeat those, or choose another --out"
        )


def _stored(folder: Path) -> dict[str, Any]:
    """What a study's folder was started with; empty where there is none yet."""
    if not (folder / SETTINGS).is_file():
        return {}
    return read_json(folder / SETTINGS, "put it back as it was, or choose another --out")


def _usual(study: Study) -> dict[str, Any]:
    """Its settings that have a default, as they are by themselves, as JSON values."""
    made = {f.name: f.default_factory() for f in fields(study) if f.default_factory is not MISSING}
    told = {f.name: f.default for f in fields(study) if f.default is not MISSING}
    return cast("dict[str, Any]", json.loads(json.dumps({**made, **told}, default=asdict)))


def known_costs(study: Study, grid: list[Cell], data: StudyData, jobs: int) -> dict[str, Cost]:
    """The costs that the study's folder holds of this machine, and measured ones for contenders that are new."""
    path = Path(study.out) / COSTS
    where = measured_on(jobs)
    costs: dict[str, Cost] = {}
    with suppress(ConfigError, KeyError, TypeError, AttributeError):  # absent or damaged: measured again
        stored = read_json(path, "it is made again")
        if stored["on"] == where:
            costs = {name: Cost(**values) for name, values in stored["models"].items()}
    new = {cell.contender.name: cell for cell in grid if cell.contender.name not in costs}
    if new:
        log.info("measuring %s", ", ".join(new))
        measured = [(cell, len(data.pools[cell.source].train.classes)) for cell in new.values()]
        costs |= measure_costs(study, measured, where["threads"])
    return costs


def measured_on(jobs: int) -> dict[str, Any]:
    """What rates depend on besides the model."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {"processor": processor(), "threads": max(torch.get_num_threads() // jobs, 1), "gpu": gpu}
