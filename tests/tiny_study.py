"""The smallest studies: two models that train in milliseconds, data of a few images, and rows made by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tiny import FIELDS, image_folder
from vitascope.studies.lineup import LINEUPS, Contender
from vitascope.studies.report import write_report
from vitascope.studies.settings import Compute, DataScaling, Study
from vitascope.studies.study import plan_study, run_study

VIT, BIT = "ViT-32/8", "BiT-R14x½"
TINY = (
    Contender(name=VIT, model="ViT-Ti/8", fields=FIELDS),
    Contender(name=BIT, model="BiT-R50x1", fields={"base_width": 32, "units": [1, 1, 1, 1], "small_images": True}),
)
SOURCE = "fractals:classes=3,size=16,instances=20,validation=0"
"""60 images, 12 of which the studies keep out."""


def shrink(patch: pytest.MonkeyPatch) -> None:
    """The line-up is TINY, speeds are not measured, runs draw no curves and nothing waits for the disk."""
    patch.setitem(LINEUPS, "small", TINY)
    patch.setattr("vitascope.whole.force_to_disk", lambda path: None)
    patch.setattr("vitascope.checkpoints.output.force_to_disk", lambda path: None)
    patch.setattr("vitascope.studies.cost.training_rate", lambda *_, **__: 1000.0)
    patch.setattr("vitascope.recipes.run.draw_curves", lambda folder: None)


def quicker(patch: pytest.MonkeyPatch) -> None:
    """The same with one model, and a figure in no time."""
    shrink(patch)
    patch.setitem(LINEUPS, "small", TINY[:1])
    for drawn in ("report.draw_study", "ablation.report.draw_ablation"):
        patch.setattr(f"vitascope.studies.{drawn}", lambda *_: "figure")
    patch.setattr(
        "vitascope.studies.report.save_figure", lambda drawing, path: path.with_suffix(".png").write_text(drawing)
    )


def target(folder: Path) -> Path:
    """Class folders with 18 images to train on and 30 to test on."""
    image_folder(folder / "train", 18)
    image_folder(folder / "test", 30, seed=1)
    return folder


SETTINGS: dict[str, Any] = {
    "image_size": 16, "batch": 8, "validation_images": 12, "finetune_steps": 2, "shots": (2,), "draws": 2,
}  # fmt: skip
"""Of a study that takes about a second a run."""


def values(out: Path, folder: Path | str, **changes: Any) -> dict[str, Any]:
    """SETTINGS with source, target and folder."""
    return {"source": SOURCE, "target": str(folder), "out": str(out), **SETTINGS, **changes}


def words(kind: str, out: Path, folder: Path | str, **changes: Any) -> list[str]:
    """The same for the command line."""
    given = values(out, folder, **changes)
    texts = {n: ",".join(map(str, v)) if isinstance(v, tuple) else str(v) for n, v in given.items()}
    head = ["study", kind, texts.pop("source"), texts.pop("target")]
    return [*head, *(f"--{name}={text}" for name, text in texts.items())]


def data_scaling(out: Path, folder: Path | str, **changes: Any) -> DataScaling:
    """Two models × two sizes × four steps, one seed."""
    return DataScaling(**{"sizes": (20, 40), "seeds": (1,), "steps": 4, **values(out, folder, **changes)})


def compute(out: Path, folder: Path | str, **changes: Any) -> Compute:
    """Two models × two and four steps, one seed."""
    return Compute(**{"steps": (2, 4), **values(out, folder, **changes)})


def do(study: Study, *, jobs: int = 1) -> dict[str, Any]:
    """Plans a study, does all that is left and writes the report, which is returned."""
    plan = plan_study(study, jobs=jobs)
    run_study(study, plan, lambda cell, row: None)
    return write_report(study, plan)


def kept_rows(out: Path) -> dict[str, Any]:
    """All rows without what a clock had a say in."""
    found = {path.name: json.loads(path.read_text()) for path in (out / "cells").glob("*.json")}
    return {name: {key: value for key, value in row.items() if key != "seconds"} for name, row in found.items()}


def same_results(out: Path, expected: Path) -> None:
    """The folder's results are the expected ones, and nothing else is left in it."""
    assert (out / "table.csv").read_bytes() == (expected / "table.csv").read_bytes()
    assert kept_rows(out) == kept_rows(expected)
    for name in ("settings.json", "costs.json"):
        assert (out / name).read_bytes() == (expected / name).read_bytes()
    tables = [json.loads((folder / "study.json").read_text()) for folder in (out, expected)]
    for name in ("table", "crossovers", "verdicts", "models", "runs", "diverged"):
        assert tables[0][name] == tables[1][name], name


KINDS = {"ViT": "ViT", "BiT": "ResNet", "R+V": "hybrid"}


def row(model: str, top1: float, *, few: float = 0.5, rise: float = 0.0, **changes: Any) -> dict[str, Any]:
    """A cell's row as `run_cell` writes it, of 100 images, 10 steps and seed 0 unless told."""
    return {
        "model": model,
        "kind": KINDS[model[:3]],
        "source": "a",
        "size": 100,
        "steps": 10,
        "seed": 0,
        "pretraining": {
            "top1": 0.4,
            "loss": 1.0,
            "images": 12,
            "last_training_loss": 0.7,
            "last_loss": 1.0 + rise,
            "least_loss": 1.0,
            "best_step": 10,
        },
        "finetuning": {"top1": top1, "loss": 0.5, "images": 30},
        "fewshot": [{"method": "ridge", "l2": 1024.0, "shots": 2, "mean": few, "half": None, "accuracies": [few]}],
        "seconds": {"pretraining": 1.0, "finetuning": 1.0},
        **changes,
    }


def rows(model: str, top1: tuple[float, ...], **changes: Any) -> list[dict[str, Any]]:
    """One `row` a seed; of `few` and `rise`, one number a seed as well."""
    lists = {name: changes.pop(name) for name in ("few", "rise") if name in changes}
    return [
        row(model, value, seed=seed, **{name: given[seed] for name, given in lists.items()}, **changes)
        for seed, value in enumerate(top1)
    ]


def diverged(model: str, **changes: Any) -> dict[str, Any]:
    """The row of a run that has no accuracies."""
    made = row(model, 0.0, **changes)
    return {name: made[name] for name in ("model", "kind", "source", "size", "steps", "seed")} | {"diverged": "nan"}
