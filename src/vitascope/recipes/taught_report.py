"""The report of a run of `teach`: judged by images left out each in turn, and by other splits where there are some."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from vitascope.checkpoints.checkpoint import Checkpoint
from vitascope.data.images import UInt8, read_image
from vitascope.data.source import Source, Splits
from vitascope.errors import ImageError
from vitascope.evaluation.answers import Answers
from vitascope.recipes.asked import Teach
from vitascope.reports.reported import TOLD, Judged, RunReport, Suspect, cautions, made_on, model_text, use_commands
from vitascope.teaching.known import Known
from vitascope.teaching.lesson import Lesson
from vitascope.wording import count, duration


def report_of_lesson(
    asked: Teach, lesson: Lesson, taught: Checkpoint, splits: Splits, answers: Mapping[str, Answers]
) -> RunReport:
    """Of what was taught to `taught`; `answers` by split are those that `splits` were judged with."""
    known, results = lesson.known, lesson.results
    images = _Images(known, splits.train)
    figures, left_out = lesson.left_out()
    judged = [
        Judged(
            split=name,
            told=TOLD[name],
            figures=results[name],
            answers=answers[name],
            name_of=splits.present()[name].describe,
            picture=splits.present()[name].__getitem__,
            caution=cautions(_copied(results["copies"], name), group=asked.group),
        )
        for name in ("test", "validation")
        if name in answers
    ]
    judged.append(
        Judged(
            split="left out",
            told=TOLD["left out"],
            figures=figures,
            answers=left_out,
            name_of=known.names.__getitem__,
            picture=images,
            caution=cautions(_trained_on(results["trained_on"]), group=asked.group),
            unseen=not results["trained_on"],
        )
    )
    suspects = [
        Suspect(
            file=told["file"],
            label=told["label"],
            instead=told["looks_like"],
            wrong=told["wrong"],
            picture=partial(images, suspect.place),
        )
        for suspect, told in zip(lesson.suspects, results["suspects"], strict=True)
    ]
    return RunReport(
        data=asked.data or asked.checkpoint,
        checkpoint=taught,
        judged=judged,
        results=results,
        keep=asked.keep_examples,
        suspects=suspects,
        made=_made(asked, lesson, taught, splits),
        next=_next(asked),
    )


def _copied(copies: Sequence[Mapping[str, Any]], split: str) -> str:
    """What is to say where images of a split have copies among those that were taught."""
    found = sum({"train", split} <= set(group["splits"]) for group in copies)
    told = f"Images of it have copies among those learned from ({count(found, 'group')}), which flatters it."
    return told if found else ""


def _trained_on(images: int) -> str:
    """What is to say where the features were fitted to the labels of so many."""
    told = f"The model was trained on {images:,} of them before, which flatters it: judge it on others."
    return told if images else ""


class _Images:
    """The images that are known, by place: of the train split as it lies, of those taught before by their file."""

    def __init__(self, known: Known, train: Source | None) -> None:
        self.known, self.train = known, train
        self.before = len(known) - (0 if train is None else len(train))
        """What is taught now comes last."""

    def __call__(self, place: int) -> UInt8:
        if self.train is not None and place >= self.before:
            return self.train[place - self.before]
        name = self.known.names[place]
        if not os.path.isfile(name):
            raise ImageError(f"{name} does not lie where it was; put it back")
        return read_image(name)


def _made(asked: Teach, lesson: Lesson, taught: Checkpoint, splits: Splits) -> list[tuple[str, str]]:
    known, results = lesson.known, lesson.results
    others = {name: len(source) for name, source in splits.present().items() if source is not splits.train}
    counted = ", ".join([f"{len(known):,} to learn from", *(f"{n:,} of {name}" for name, n in others.items())])
    how = "a linear layer in closed form on features that stay as they are: nothing was trained step by step"
    how += ", classes counting alike" if results["balance"] else ""
    how += f"; images of one group ({asked.group}) were judged together" if asked.group else ""
    return [
        ("model", f"{model_text(taught)}, from {asked.checkpoint}"),
        ("data", f"{asked.data or 'none besides what was known'}: {counted}; {count(len(known.classes), 'class')}"),
        ("learning", how),
        ("time", duration(results["seconds"])),
        *made_on(),
    ]


def _next(asked: Teach) -> list[tuple[str, str]]:
    run = shlex.quote(asked.out)
    return [
        *use_commands(run),
        ("teach it more photographs", f"vitascope teach {run} MORE --out better"),
        ("which photographs decided an answer", f"vitascope similar {run} PHOTO.jpg"),
    ]
