"""Checkpoints and runs compared on the same images that none of them was trained on."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from vitascope.checkpoints.checkpoint import probabilities
from vitascope.data.copies import digests
from vitascope.data.open import open_data
from vitascope.data.source import Source, View
from vitascope.errors import DataError, UserError
from vitascope.evaluation.evaluate import answered
from vitascope.evaluation.interval import wilson
from vitascope.evaluation.paired import paired, points_text
from vitascope.inference.engines.pytorch import TorchEngine
from vitascope.inference.predictor import Predictor
from vitascope.recipes.contenders import Contender, differing, same_data
from vitascope.recipes.evaluation import relabelled
from vitascope.wording import duration, some

_ROUNDS = 8
"""About how many parts the contenders take in turns, so that what else the machine does meets all of them."""
Progress = Callable[[str], Callable[[int, int], None]]
"""Told whose turn it is; returns who is told of its images."""


def compare(
    contenders: Sequence[Contender],
    data: str | None = None,
    *,
    batch: int = 64,
    engine: str = "auto",
    device: str | None = None,
    most: float = math.inf,
    progress: Progress = lambda name: lambda done, total: None,
) -> dict[str, Any]:
    """JSON-able: which "data", "split" and how many "images" they were judged on, "notes" on that; of each of "runs"
    accuracy, "interval", paired difference "against_first", what it costs; and the "options" in which they differ.

    Without `data` it is what they learned from. Judged are images that none was trained on, as far as that is known.
    Raises `DataError` where there are none, or more than `most`.
    """
    data = data or _data_of(contenders)
    split, source, notes = _unseen_by_all(contenders, data)
    if len(source) > most:
        raise DataError(f"not judged on the {len(source):,} images of {data}: `vitascope compare` does that")
    found = [_Turns(each, source, batch, engine, device, progress(each.name)) for each in contenders]
    starts = np.arange(0, len(source), batch)[1:]
    for part in np.array_split(np.arange(len(source)), starts[:: math.ceil(len(starts) / _ROUNDS) or 1]):
        for turns in found:
            turns.judge(part)
    right = [np.concatenate(turns.right) for turns in found]
    images = len(right[0])
    if not images:
        raise DataError(f"none of the {len(source):,} images of {data} can be read; `vitascope check` lists them")
    if unread := len(source) - images:
        notes.append(f"{unread:,} of the images cannot be read and are left out")
    runs = []
    for each, own, turns in zip(contenders, right, found, strict=True):
        top1 = float(own.mean())
        difference = None if each is contenders[0] else paired(own, right[0]).as_json()
        judged = {"top1": top1, "interval": list(wilson(top1, images)), "against_first": difference}
        runs.append({"name": each.name, **judged, **each.cost(), "images_per_second": turns.rate})
    where = {"data": data, "split": split, "images": images, "several_labels": source.several, "notes": notes}
    return {**where, "runs": runs, "options": differing(contenders)}


def beside(contenders: Sequence[Contender], why: str) -> dict[str, Any]:
    """The same of contenders that no images are judged on, and why."""
    runs = [{"name": each.name, "top1": None, "against_first": None, **each.cost()} for each in contenders]
    return {"images": 0, "notes": [why], "runs": runs, "options": differing(contenders)}


def as_tables(compared: dict[str, Any]) -> list[tuple[str, list[str], list[list[str]]]]:
    """Of what `compare` found: title, columns and rows of what was right, what it costs, and options that differ."""
    runs, tables = compared["runs"], []
    names = [run["name"] for run in runs]
    if compared["images"]:
        right = "all labels right" if compared["several_labels"] else "top-1"
        judged = []
        for run in runs:
            low, high = (f"{100 * side:.0f}" for side in run["interval"])
            against = run["against_first"]
            told = [points_text(against), f"{against['chance']:.2g}"] if against else ["–", "–"]
            judged.append([run["name"], f"{100 * run['top1']:.1f} % ({low}–{high})", *told])
        title = f"{compared['data']} ({compared['split']}), {compared['images']:,} images"
        tables.append((title, ["", right, f"against {names[0]}", "p (McNemar)"], judged))
    costs = {
        "model": [run["model"] for run in runs],
        "parameters": [run["parameters"] and f"{run['parameters']:,}" for run in runs],
        "GFLOP": [run["gflop"] and f"{run['gflop']:.3g}" for run in runs],
        "training": [run["seconds"] and duration(run["seconds"]) for run in runs],
        "images/s": [(rate := run.get("images_per_second")) and f"{rate:,.0f}" for run in runs],
    }
    costs = {name: cells for name, cells in costs.items() if any(cells)}
    rows = [[name, *(cells[place] or "–" for cells in costs.values())] for place, name in enumerate(names)]
    tables.append(("what it costs", ["", *costs], rows))
    options = [[name, *map(_value, held)] for name, held in compared["options"].items()]
    return [*tables, ("options that differ", ["option", *names], options)] if options else tables


def _value(value: Any) -> str:
    return "–" if value is None else ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _data_of(contenders: Sequence[Contender]) -> str:
    """What all learned from; `DataError` with what to do where that is not one thing."""
    data = same_data(contenders)
    if data is None:
        told = "; ".join(f"{each.name}: {each.data or 'not known'}" for each in contenders)
        raise DataError(f"what these learned from differs ({told}): name images to judge them on, behind the runs")
    return data


def _unseen_by_all(contenders: Sequence[Contender], data: str) -> tuple[str, Source, list[str]]:
    """A split of `data`, as `evaluate` chooses it, without what any was trained on; and what is to be said of it."""
    found = open_data(data).first()
    if found is None:
        raise DataError(f"{data} holds no images to judge on")
    split, source = found
    for each in contenders:
        _as_its_own(source, each)
    marks = digests(source)
    trained = {each.name: each.trained_on(marks) for each in contenders}
    known = {name: seen for name, seen in trained.items() if seen is not None}
    unseen = ~reduce(np.logical_or, known.values(), np.zeros(len(source), dtype=np.bool_))
    notes = []
    if not unseen.any():
        told = ", ".join(f"{name} on {int(seen.sum()):,}" for name, seen in known.items())
        raise DataError(
            f"every one of the {len(source):,} images of {data} ({split}) was trained on ({told}): name other labelled "
            "images to judge on, behind the runs"
        )
    if len({int(seen.sum()) for seen in known.values()} | {int((~unseen).sum())}) > 1:
        told = ", ".join(f"{name} {int((~seen).sum()):,}" for name, seen in known.items())
        images = f"{int(unseen.sum()):,} that none was trained on"
        notes.append(f"held out differ ({told} of the {len(source):,} images): judged on the {images}")
    elif not unseen.all():
        notes.append(f"judged on the {int(unseen.sum()):,} images that were held out of {len(source):,}")
    if unknown := [name for name, seen in trained.items() if seen is None]:
        notes.append(f"what was trained on is not known of {some(unknown)}: some of these images may be among it")
    chosen = {} if marks is None else {each.name: int(each.chosen_by(marks)[unseen].sum()) for each in contenders}
    notes += [
        f"{name} was chosen by {n:,} of these images, which flatters it a little" for name, n in chosen.items() if n
    ]
    kept = source if unseen.all() else View(source, np.flatnonzero(unseen))
    return split, kept, notes


def _as_its_own(source: Source, each: Contender) -> Source:
    """`source` with the labels of a contender; raises `DataError` where it cannot judge such images."""
    if source.several and each.model.activation != "sigmoid":
        raise DataError(f"{source.name} has images with several labels, and {each.name} chooses one class an image")
    try:
        probabilities(torch.zeros(1, 1), each.model.activation)  # refuses a regression
        return relabelled(source, each.model.labels)
    except UserError as error:
        raise DataError(f"{each.name}: {error}") from error


class _Turns:
    """A contender that judges images, a part at a time, in turns with the others."""

    def __init__(
        self, each: Contender, source: Source, batch: int, engine: str, device: str | None, told: Callable[..., None]
    ) -> None:
        self.model, self.own, self.batch, self.told = each.model, _as_its_own(source, each), batch, told
        self.predictor = Predictor(each.model, engine, device=device, batch=batch)
        self.predictor.expect(len(self.own))
        self.right: list[npt.NDArray[np.bool_]] = []
        """Of each part, which of the images that can be read it names right."""
        self.seconds: list[float] = []
        """Of an image, batch by batch."""

    @property
    def rate(self) -> float | None:
        """Images that it computes a second."""
        return round(1 / statistics.median(self.seconds), 1) if self.seconds else None

    def judge(self, places: npt.NDArray[np.int64]) -> None:
        """Answers the images at these places."""
        engine, before = self.predictor.engine, sum(map(len, self.right))
        asking = answered(
            self._timed,
            View(self.own, places),
            self.model.preprocess,
            by_label=self.model.activation == "sigmoid",
            batch=self.batch,
            device=engine.device if isinstance(engine, TorchEngine) else "cpu",
            skip_unreadable=True,
            each_batch=lambda done: self.told(before + done, len(self.own)),
        )
        self.right.append(asking.answers.right)

    def _timed(self, images: torch.Tensor) -> torch.Tensor:
        begun = time.perf_counter()
        logits = self.predictor.engine(images)
        self.seconds.append((time.perf_counter() - begun) / len(images))
        return logits
