"""From photographs to a classifier in one command: checked, chosen for, taught, fine-tuned, and the better one kept.

RUN/taught and RUN/finetuned are ordinary runs. RUN itself holds the model and the results of the better one, so that
every command takes it; the taught one at first, so that whoever stops the fine-tuning has something.
"""

from __future__ import annotations

import logging
import math
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch

from vitascope.checkpoints.checkpoint import Checkpoint
from vitascope.checkpoints.load import load
from vitascope.checkpoints.output import atomic_file, check_output
from vitascope.checkpoints.run_files import ENVIRONMENT, MODEL, RESULTS, environment, read_json, write_json
from vitascope.checkpoints.save import save
from vitascope.data.check import Report, check_data
from vitascope.data.open import open_data
from vitascope.data.source import Splits
from vitascope.errors import ConfigError, Stopped
from vitascope.evaluation.metrics import SCORES
from vitascope.lock import locked
from vitascope.recipes.asked import Teach
from vitascope.recipes.finetune import finetune
from vitascope.recipes.plan import Limits
from vitascope.recipes.prepare import check_trainable
from vitascope.recipes.recipe import FinetuneRecipe
from vitascope.recipes.run_folder import clear
from vitascope.recipes.teach import teach_run
from vitascope.recipes.train_asked import Train
from vitascope.recipes.train_choices import LEAST_IMAGES, Chosen, chosen_for, finetuning, steps_in
from vitascope.recipes.train_data import divided, median_side
from vitascope.recipes.train_report import FINETUNED, TAUGHT, Plan, Way, report_of_training
from vitascope.reports.reported import RunReport
from vitascope.reports.write import write_run_report
from vitascope.teaching.known import FILE as TAUGHT_FILE
from vitascope.training.observer import Observer
from vitascope.training.train_settings import seconds
from vitascope.version import __version__
from vitascope.wording import count, duration

log = logging.getLogger(__name__)

MARKER = "train.json"
_READING = 0.25
"""Share of the budget after which no further image is read to check it."""
_LEFT_FREE = ("out", "device", "threads", "time_budget", "resume", "overwrite", "data", "keep_examples")
"""Options that may differ when what was interrupted is gone on with."""
_BESIDES = 6.0
"""Seconds, about, of all that is not fine-tuning once the plan stands: teaching, two reports, evaluations."""
_AGAIN, _COUNTED = 1.3, 2.0
"""How much longer a report may take the second time, and the seconds of it that a run's budget holds anyway."""


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What came out."""

    results: dict[str, Any]
    """What RUN/results.json holds."""
    kept: str
    """TAUGHT or FINETUNED."""
    writing: float
    """Seconds that model and report took to be written."""
    report: RunReport
    """What RUN/report.html shows."""


@dataclass(frozen=True, kw_only=True)
class Told:
    """Who is told what, as it becomes known."""

    checked: Callable[[Report], None] = lambda report: None
    plan: Callable[[Plan], None] = lambda plan: None
    reading: Callable[[str, int, int], None] | None = None
    features: Callable[[int, int], None] | None = None
    observer: Observer | None = None
    """Watches the fine-tuning."""


def train_run(asked: Train, told: Told | None = None, begun: float | None = None) -> Trained:
    """Trains what `asked` says into its RUN; `begun`: when the budget began, by `time.monotonic`.

    Raises `UserError` for what the user can mend, before anything is trained; `Stopped` after a signal in fine-tuning,
    with the taught model in RUN.
    """
    told, begun = told or Told(), time.monotonic() if begun is None else begun
    out, total = Path(asked.out), seconds(asked.time_budget)
    before = _begun(asked)
    opened = open_data(asked.data)
    check_trainable(asked.data, opened)
    until = math.inf if before else begun + _READING * total  # what is gone on with must find the same images
    checked = replace(check_data(opened, progress=told.reading, until=until), data=asked.data)
    told.checked(checked)
    splits, rows, unreadable = divided(asked, opened, checked)
    if asked.threads:
        torch.set_num_threads(asked.threads)
    sides = median_side(checked)
    chosen = _as_before(before, asked) if before else chosen_for(asked, splits, sides, begun)
    torch.set_num_threads(chosen.threads)
    with locked(out):
        if not before:
            _begun(asked)  # asked again, because another may have written there meanwhile
            clear(out, MARKER)
            write_json(out / MARKER, _marker(asked, chosen))
        left = begun + total - time.monotonic() - _BESIDES
        steps = 0 if asked.way == "teach" else steps_in(left, chosen)
        tunes = steps * chosen.batch >= LEAST_IMAGES or asked.way == "finetune"
        plan = Plan(rows=[*rows, *_rows(asked, chosen, left, steps, tunes)], checked=checked, unreadable=unreadable)
        told.plan(plan)
        found = {TAUGHT: _taught(asked, chosen, splits, told)}
        kept = _keep(asked, found, TAUGHT, plan, begun)
        left = begun + total - time.monotonic() - kept.writing
        if tunes and asked.way == "both" and steps_in(left, chosen) * chosen.batch < LEAST_IMAGES / 2:
            log.warning("%s are left, too little to fine-tune: the taught head is kept", duration(max(left, 0)))
        elif tunes:
            used = kept.writing * _AGAIN - _COUNTED  # such a report will be written once more
            recipe = finetuning(
                asked,
                chosen,
                sides,
                data=asked.data,
                checkpoint=str(out / TAUGHT) if chosen.keeps_head else chosen.start,
                out=str(out / FINETUNED),
                time_budget=f"{max(total - max(used, 0), 1):.1f}s",
            )
            found[FINETUNED] = _finetuned(recipe, splits, told, begun)
            best = better({name: way.results for name, way in found.items()}) if asked.way == "both" else FINETUNED
            kept = _keep(asked, found, best, plan, begun)
    return kept


def better(found: dict[str, dict[str, Any]]) -> str:
    """Which of the runs was better on the validation images: by its score, then by its loss; of equals the first."""

    def key(name: str) -> tuple[float, float]:
        judged = found[name]["validation"]
        score = next(score for score in SCORES if score in judged)
        return float(judged[score]), -float(judged["loss"])

    return max(found, key=key)


def _taught(asked: Train, chosen: Chosen, splits: Splits, told: Told) -> Way:
    """The taught run; written anew when what was interrupted is gone on with, from the features that are kept."""
    teach = Teach(
        checkpoint=chosen.start,
        data=asked.data,
        out=str(Path(asked.out) / TAUGHT),
        image_size=chosen.image_size,
        group=asked.group,
        device=asked.device,
        overwrite=True,
    )
    reports: list[RunReport] = []
    results = teach_run(teach, told.features, splits, reports.append).results
    return Way(results=results, report=reports[0])


def _finetuned(recipe: FinetuneRecipe, splits: Splits, told: Told, begun: float) -> Way:
    """The fine-tuned run, gone on with where there is one."""
    out, reports = Path(recipe.out), list[RunReport]()
    limits, watch = Limits(begun=begun), told.observer
    try:
        finetune(recipe, splits=splits, resume="auto", observer=watch, limits=limits, report=reports.append)
    except Stopped as error:
        where = f"{out.parent} holds the taught model; go on with --resume"
        raise Stopped(error.signal_number, f"stopped by {error.signal_name} in fine-tuning", where) from None
    return Way(results=read_json(out / RESULTS, "go on with --resume"), report=reports[0])


def _keep(asked: Train, found: dict[str, Way], name: str, plan: Plan, begun: float) -> Trained:
    """Writes what of `found` is kept into RUN; its model's card tells the same figures."""
    out, own, now = Path(asked.out), dict(found[name].results), time.monotonic()
    own["seconds"] = round(now - begun, 2)
    judged = own["validation"] = dict(own["validation"])
    if len(found) > 1 and asked.way == "both":
        judged["chosen_on"] = True
    shown = {each: way.results["validation"] for each, way in found.items()}
    own["compared"] = {each: {key: told[key] for key in _TOLD if key in told} for each, told in shown.items()}
    own |= {"kept": name, "plan": dict(plan.rows), "problems": len(plan.checked.problems)}
    own["unreadable"] = plan.unreadable
    for key in ("forecast", "gains", "suspects", "trained_on"):  # of the taught head, whichever is kept
        own[key] = found[TAUGHT].results[key]
    checkpoint: Checkpoint = load(out / name)
    save(replace(checkpoint, card={**checkpoint.card, "results": own}), out / MODEL, overwrite=True)
    if "taught_sha256" in own:
        with atomic_file(out / TAUGHT_FILE) as temporary:
            shutil.copyfile(out / TAUGHT / TAUGHT_FILE, temporary)
    else:
        (out / TAUGHT_FILE).unlink(missing_ok=True)
    write_json(out / RESULTS, own)
    write_json(out / ENVIRONMENT, environment())
    report = report_of_training(asked, plan, name, own, found)
    write_run_report(out, report)
    return Trained(results=own, kept=name, writing=time.monotonic() - now, report=report)


_TOLD = ("images", *SCORES, "loss")
"""What is told of each of those that were compared."""


def _rows(asked: Train, chosen: Chosen, left: float, steps: int, tunes: bool) -> list[tuple[str, str]]:
    """The choices as lines of a plan."""
    rows = [(name, text) for name, text in chosen.why.items() if tunes or name in ("start", "image-size", "threads")]
    if tunes:
        way = f"teach, then fine-tune for {duration(left)} (about {steps:,} steps); the better one is kept"
    elif asked.way == "teach":
        way = "teach: as asked"
    else:
        fit = f"about {count(steps, 'step')} of {chosen.batch} images fit in the {duration(max(left, 0))} left"
        way = f"teach alone: {fit}; fine-tuning that is shown fewer than {LEAST_IMAGES:,} spoils more than it gains"
    return [*rows, ("way", way)]


def _begun(asked: Train) -> dict[str, Any] | None:
    """What an interrupted start left in RUN, where it is to be gone on with. Raises `ConfigError`, `OutputError`."""
    out = Path(asked.out)
    there = (out / MARKER).is_file()
    if not asked.resume:
        remedy = "choose another --out, or give --resume or --overwrite"
        check_output(out, "training", overwrite=asked.overwrite, sources=[asked.start, asked.data], remedy=remedy)
        return None
    if not there:
        raise ConfigError(f"{out} holds nothing to resume (no {MARKER}); leave out --resume to start")
    before = read_json(out / MARKER, "start again with --overwrite")
    stated, now = before.get("settings", {}), _settings(asked)
    changed = [f"{name}: {now[name]}, was {stated.get(name)}" for name in now if stated.get(name) != now[name]]
    if changed:
        raise ConfigError(f"{out} was started with other settings ({'; '.join(changed)}); repeat those, or --overwrite")
    return before


def _settings(asked: Train) -> dict[str, Any]:
    return {name: value for name, value in asdict(asked).items() if name not in _LEFT_FREE}


def _marker(asked: Train, chosen: Chosen) -> dict[str, Any]:
    return {"vitascope": __version__, "settings": _settings(asked), "chosen": asdict(chosen)}


def _as_before(before: dict[str, Any], asked: Train) -> Chosen:
    """What was chosen then, but for the threads that are asked for now."""
    try:
        values = {f.name: before["chosen"][f.name] for f in fields(Chosen)}
        height, width = values["image_size"]
        threads = asked.threads or values["threads"]
        return Chosen(**{**values, "image_size": (int(height), int(width)), "threads": threads})
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"{MARKER} is not as it was written ({error}); start again with --overwrite") from error
