"""Which rates suit each model: tried before all else, on images that no cell is judged on, and kept."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from vitascope.checkpoints.run_files import read_json, write_json
from vitascope.data.holdout import stratified_holdout
from vitascope.data.source import Splits
from vitascope.errors import ConfigError, DivergedError
from vitascope.recipes.finetune import finetune
from vitascope.recipes.pretrain import pretrain
from vitascope.studies.cells import finetune_recipe, how, once, pretrain_recipe
from vitascope.studies.data import StudyData, nested_subset, open_study
from vitascope.studies.learning import FINETUNING
from vitascope.studies.settings import Cell, Study
from vitascope.training.observer import Observer

log = logging.getLogger(__name__)

RATES = "rates.json"
_SEED = 2**16
"""Of the trials: no cell of a grid has it."""
_FURTHER = 4
"""Rates tried beyond those asked for, at most: a model that wants more is broken otherwise."""
_HELD = 0.1
"""Share of the target's training images that rates of fine-tuning are judged on."""


def widened(rates: Sequence[float], score: Callable[[float], float]) -> tuple[float, dict[float, float]]:
    """The rate of the largest `score`, and all scores; tried further where the best lies at an end, by the same factor.

    Of equal scores the smaller rate is taken. A single rate is the best there is.
    """
    scores = {rate: score(rate) for rate in sorted(rates)}
    if len(scores) > 1:
        for _ in range(_FURTHER):
            order = sorted(scores)
            best = max(order, key=lambda rate: scores[rate])
            if best not in (order[0], order[-1]) or scores[best] == -math.inf:
                break
            further = order[0] ** 2 / order[1] if best == order[0] else order[-1] ** 2 / order[-2]
            scores[float(f"{further:.6g}")] = score(float(f"{further:.6g}"))
    order = sorted(scores)
    return max(order, key=lambda rate: scores[rate]), {rate: scores[rate] for rate in order}


def templates(cells: Sequence[Cell]) -> dict[str, Cell]:
    """By model, the cell that its rates are tried in: of the middle size and length that it is run at."""
    found: dict[str, list[Cell]] = {}
    for cell in cells:
        found.setdefault(cell.contender.name, []).append(cell)
    ordered = {name: sorted(some, key=lambda cell: (cell.size, cell.steps)) for name, some in found.items()}
    return {name: replace(some[len(some) // 2], seed=_SEED) for name, some in ordered.items()}


def trials(study: Study, cells: Sequence[Cell]) -> list[tuple[Cell, int, int]]:
    """What is still to be tried: the cell, and how many rates of pre-training and of fine-tuning, at least."""
    known = known_rates(study)
    left = []
    for name, cell in templates(cells).items():
        given = _given_of(study, name) | set(known.get(name, {}))
        if cell.contender.kind != "ResNet":
            given.add("bit_lr")
        counts = {key: len(rates) for key, rates in _asked(study).items() if key not in given}
        if any(counts.values()):
            pretraining, finetuning = counts.pop("lr", 0), sum(counts.values())
            if counts.get("bit_lr") and not counts.get("finetune_lr"):
                finetuning += 1  # the usual set-up at its one rate
            left.append((cell, pretraining, finetuning))
    return left


def known_rates(study: Study) -> dict[str, dict[str, Any]]:
    """What was chosen before, by model, for the same rates asked; empty where nothing was, or it was damaged."""
    with suppress(ConfigError, KeyError, TypeError, AttributeError):
        stored = read_json(Path(study.out) / RATES, "it is made again")
        if stored["asked"] == {name: list(rates) for name, rates in _asked(study).items()}:
            return {name: dict(entry) for name, entry in stored["models"].items()}
    return {}


def with_known_rates(study: Study) -> Study:
    """`study` in which each model has the rates that were chosen for it so far."""
    return _given(study, known_rates(study))


def with_rates(study: Study, cells: Sequence[Cell], watch: Callable[[Cell], Observer] | None = None) -> Study:
    """`study` in which each model has the rates that suit it; tried where they are not known yet.

    Raises what a run raises but for `DivergedError`: a rate that diverges is the worst.
    """
    known, left = known_rates(study), trials(study, cells)
    data = open_study(study) if left else None
    for cell, pretraining, finetuning in left:
        assert data is not None
        name = cell.contender.name
        observer = None if watch is None else watch(cell)
        entry = known.setdefault(name, {"tried": {}})
        so_far = _given(study, known)
        if pretraining:
            score = partial(_pretrained, so_far, cell, data, observer)
            entry["lr"], tried = widened(study.rates, score)
            entry["tried"]["lr"] = {f"{rate:g}": _number(value) for rate, value in tried.items()}
        if finetuning:
            so_far = _given(study, known)
            entry |= dict.fromkeys(key for key in _asked(study) if key in FINETUNING)  # if no pre-training has an end
            if _pretrained(so_far, cell, data, observer, so_far.rate(name, "lr")) > -math.inf:
                _choose_finetuning(so_far, cell, data, observer, entry)
        asked = {key: list(rates) for key, rates in _asked(study).items()}
        write_json(Path(study.out) / RATES, {"asked": asked, "models": known})
        log.info("%s: %s", name, ", ".join(f"{key} {entry[key]:g}" for key in _asked(study) if entry.get(key)))
    return _given(study, known)


def _choose_finetuning(
    study: Study, cell: Cell, data: StudyData, observer: Observer | None, entry: dict[str, Any]
) -> None:
    """The best rate of fine-tuning into a model's `entry`, and BiT's own set-up where that is better."""
    name = cell.contender.name
    rates = study.finetune_rates or (study.finetune_lr,)
    entry["finetune_lr"], tried = widened(rates, partial(_finetuned, study, cell, data, observer))
    entry["tried"]["finetune_lr"] = {f"{rate:g}": _number(value) for rate, value in tried.items()}
    if study.bit_lr is not None and cell.contender.kind == "ResNet":
        own = {**study.own_rates, name: {**study.own_rates.get(name, {}), "bit_lr": study.bit_lr}}
        second = _finetuned(replace(study, own_rates=own), cell, data, observer, study.bit_lr)
        entry["bit_lr"] = study.bit_lr if second > max(tried.values()) else None
        entry["tried"]["bit_lr"] = {f"{study.bit_lr:g}": _number(second)}


def _asked(study: Study) -> dict[str, tuple[float, ...]]:
    second = {} if study.bit_lr is None else {"bit_lr": (study.bit_lr,)}
    return {"lr": study.rates, "finetune_lr": study.finetune_rates, **second}


def _given(study: Study, known: dict[str, dict[str, Any]]) -> Study:
    """What the user gave goes before what was chosen."""
    chosen = {
        name: {key: entry[key] for key in _asked(study) if entry.get(key) and key not in _given_of(study, name)}
        for name, entry in known.items()
        if name in {contender.name for contender in study.contenders}
    }
    own = {name: {**chosen.get(name, {}), **rates} for name, rates in study.own_rates.items()}
    return replace(study, own_rates=chosen | own)


def _given_of(study: Study, model: str) -> set[str]:
    """What the user gave of a model; a rate of one set-up of fine-tuning chooses that set-up."""
    own = set(study.own_rates.get(model, {}))
    return own | set(FINETUNING) if own & set(FINETUNING) else own


def _number(score: float) -> float | None:
    return None if score == -math.inf else score


def _folder(study: Study, cell: Cell, what: str) -> Path:
    return Path(study.out) / "rates" / f"{cell.contender.file_name}-{cell.size}-{cell.steps}" / what


def _pretrained(study: Study, cell: Cell, data: StudyData, observer: Observer | None, rate: float) -> float:
    """How good a pre-training at a rate is on what is kept out of all subsets, as the study tells the best."""
    folder, pool = _folder(study, cell, f"lr-{rate:g}"), data.pools[cell.source]
    recipe = replace(pretrain_recipe(study, cell, folder), lr=rate)
    splits = Splits(train=nested_subset(pool.train, cell.size, cell.seed), validation=pool.validation)
    try:
        begin = partial(pretrain, recipe, **how(splits, observer))
        judged = once(folder, study.every(cell.steps), begin)["validation"]
    except DivergedError:
        return -math.inf
    return -float(judged["loss"]) if study.best_by == "loss" else float(judged["top1"])


def _finetuned(study: Study, cell: Cell, data: StudyData, observer: Observer | None, rate: float) -> float:
    start = _folder(study, cell, f"lr-{study.rate(cell.contender.name, 'lr'):g}")
    bits = "bit_lr" in study.own_rates.get(cell.contender.name, {})
    folder = _folder(study, cell, f"finetune-{'bit-' if bits else ''}lr-{rate:g}")
    recipe = replace(finetune_recipe(study, cell, start, folder), lr=rate)
    train, validation = stratified_holdout(data.targets[0].train, _HELD, 0)
    try:
        splits = Splits(train=train, validation=validation)
        begin = partial(finetune, recipe, **how(splits, observer))
        return float(once(folder, None, begin)["validation"]["top1"])
    except DivergedError:
        return -math.inf
