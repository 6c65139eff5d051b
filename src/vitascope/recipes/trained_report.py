"""The report of a run that was trained: judged by the images held out and by the test split, with learning curves."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vitascope.checkpoints.checkpoint import Checkpoint
from vitascope.evaluation.answers import Answering
from vitascope.recipes.prepare import RunData
from vitascope.recipes.recipe import FinetuneRecipe, Recipe
from vitascope.reports.reported import TOLD, Judged, RunReport, cautions, made_on, model_text, use_commands
from vitascope.training.objective import Counts
from vitascope.wording import count, duration


def report_of_run(
    recipe: Recipe, checkpoint: Checkpoint, data: RunData, counted: Mapping[str, Counts], results: Mapping[str, Any]
) -> RunReport:
    """Of the `checkpoint` that came of a recipe; `counted` is what was counted of each split, `results` its figures."""
    judged = [
        Judged(
            split=name,
            told=TOLD[name],
            figures=results[name],
            answers=counts.answers,
            name_of=data.judged[name].describe,
            picture=data.judged[name].__getitem__,
            caution=cautions(_CHOSEN if results[name].get("chosen_on") else "", group=recipe.group),
        )
        for name in ("test", "validation")
        if isinstance(counts := counted.get(name), Answering)
    ]
    return RunReport(
        data=recipe.data,
        checkpoint=checkpoint,
        judged=judged,
        results=results,
        keep=recipe.keep_examples,
        curves=Path(recipe.out),
        made=_made(recipe, checkpoint, data, results),
        next=_next(recipe, bool(checkpoint.labels)),
    )


_CHOSEN = "The best of several states was chosen by these images, so they flatter it a little."


def _made(recipe: Recipe, checkpoint: Checkpoint, data: RunData, results: Mapping[str, Any]) -> list[tuple[str, str]]:
    start = f", from {recipe.checkpoint}" if isinstance(recipe, FinetuneRecipe) else ", from random initial values"
    held = ", ".join(
        [f"{len(data.train):,} to learn from", *(f"{len(source):,} of {name}" for name, source in data.judged.items())]
    )
    classes = f"; {count(len(data.classes), 'class')}" if data.classes else ""
    how = f"{count(results['steps'], 'step')} of {recipe.batch} images, {results['epochs']:.1f} times through the data"
    how += (
        f"; {recipe.optimizer}, learning rate {recipe.lr:g}, weight decay {recipe.weight_decay:g}, seed {recipe.seed}"
    )
    took = [("time", duration(results["seconds"]))] if "seconds" in results else []
    return [
        ("model", model_text(checkpoint) + start),
        ("data", f"{recipe.data}: {held}{classes}"),
        ("learning", f"{how}; every setting is in config.yaml"),
        *took,
        *made_on(),
    ]


def _next(recipe: Recipe, has_head: bool) -> list[tuple[str, str]]:
    run = shlex.quote(recipe.out)
    if not has_head:
        return [
            ("fine-tune it", f"vitascope finetune {run} PHOTOS --preset small --out runs/mine"),
            ("what its features are worth after a few labels", f"vitascope fewshot {run} PHOTOS"),
            ("look inside", f"vitascope inspect {run} --out inside"),
        ]
    return use_commands(run)
