"""What is compared: a checkpoint or run, what it costs, what it was made with and which images it has seen."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vitascope.checkpoints.checkpoint import Checkpoint
from vitascope.checkpoints.locate import locate
from vitascope.checkpoints.run_files import MODEL, RESULTS, read_json
from vitascope.data.source import Int64
from vitascope.inference.exported import Exported, open_model
from vitascope.models.catalogue import architecture_name, forward_flops
from vitascope.recipes.recipe import NOT_THE_RESULT

_TOLD = ("task", "data", "checkpoint")
"""What the card of a run that has no recipe says of how it was made."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Contender:
    """One of those that are compared."""

    name: str
    """What people call it."""
    model: Checkpoint | Exported
    """What judges images."""
    results: dict[str, Any]
    """Figures that it was written with, "seconds" among them; empty where there are none."""

    @property
    def card(self) -> dict[str, Any]:
        """What the checkpoint says of itself."""
        return self.model.card if isinstance(self.model, Checkpoint) else {}

    @property
    def data(self) -> str | None:
        """What it learned from, as it was typed; None where nothing is known."""
        data = self.options().get("data")
        return data if isinstance(data, str) else None

    def options(self) -> dict[str, Any]:
        """What it was made with, by name, "augment.flip" for a part; not where a run is kept nor how it is computed."""
        recipe = self.card.get("recipe", {})
        told = {name: self.card[name] for name in _TOLD if name in self.card}
        told |= {name: self.results[name] for name in ("balance", "group") if name in self.results}
        told |= {"image_size": list(self.model.preprocess.size)}
        return told | {
            name: v for name, v in _flat(recipe).items() if name not in NOT_THE_RESULT and name != "image_size"
        }

    def trained_on(self, marks: Int64 | None) -> npt.NDArray[np.bool_] | None:
        """Which images of these digests it was trained on; None where nothing is known."""
        return None if self.model.shown is None else self.model.shown.among(marks)

    def chosen_by(self, marks: Int64) -> npt.NDArray[np.bool_]:
        """By which images of these digests its weights, or it rather than another, were chosen, as far as is known."""
        shown, validation = self.model.shown, self.results.get("validation", {})
        if shown is None or not (shown.chosen or validation.get("chosen_on")):
            return np.zeros(len(marks), dtype=np.bool_)
        return np.isin(marks, shown.validation)

    def cost(self) -> dict[str, Any]:
        """Its model, parameters, operations an image, and what its training took; None where that is not known."""
        told: dict[str, Any] = dict.fromkeys(("model", "parameters", "gflop"))
        if isinstance(self.model, Checkpoint):
            config = self.model.config
            told["model"] = architecture_name(config)
            told["parameters"] = sum(p.numel() for p in self.model.model.parameters())
            told["gflop"] = forward_flops(config) / 1e9
        return {**told, "seconds": self.results.get("seconds")}


def contender(path: str, name: str, model: Checkpoint | Exported | None = None) -> Contender:
    """What is at a path, or of a name; `model` where it is loaded already. Raises `UserError`."""
    model = open_model(path) if model is None else model
    card = model.card if isinstance(model, Checkpoint) else {}
    results = card.get("results")
    return Contender(name=name, model=model, results=_results(path) or (results if isinstance(results, dict) else {}))


def _results(path: str) -> dict[str, Any]:
    """results.json of the run whose model this is, which also says how long it took."""
    place = locate(path).place
    found = place.parent / RESULTS
    return read_json(found, "copy it again") if place.name == MODEL and os.path.isfile(found) else {}


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Names of nested values with a dot between."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat


def differing(contenders: Sequence[Contender]) -> dict[str, list[Any]]:
    """Options in which some differ, with what each has; only such as two or more have, None where one has it not."""
    options = [each.options() for each in contenders]
    names = list(dict.fromkeys(name for held in options for name in held))
    shared = [name for name in names if sum(name in held for held in options) > 1]
    values = {name: [held.get(name) for held in options] for name in shared}
    return {name: held for name, held in values.items() if len({str(v) for v in held if v is not None}) > 1}


def same_data(contenders: Sequence[Contender]) -> str | None:
    """What all of them, as far as it is known, learned from; None where that differs."""
    known = {os.path.realpath(data) if Path(data).exists() else data: data for c in contenders if (data := c.data)}
    return next(iter(known.values())) if len(known) == 1 else None
