"""What was predicted for files: how many of each label, of none, and the least sure; or each file by itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vitascope.checkpoints.answer import NONE_OF_THESE, Answer
from vitascope.evaluation.sets import PredictionSets
from vitascope.inference.files import FilePrediction
from vitascope.wording import count, printable, some

LEAST_SURE = 5
"""Files that are named."""
HALF = 0.5
"""Probability below which an answer is unsure where no prediction set says so, and no label is given where an image may
have several."""


@dataclass(frozen=True, kw_only=True)
class Summed:
    """Of the files that could be read, but for `unreadable`."""

    images: int
    """How many."""
    labels: dict[str, int]
    """How many are said to have each label, most first."""
    none: int
    """How many have none: an empty prediction set or, of several labels an image, none of `HALF`."""
    unsure: int
    """How many may as well be another label, by their prediction set or below `HALF`; 0 of several labels an image."""
    least_sure: list[tuple[str, str, float]]
    """File, label and probability of those whose best label is least probable."""
    unreadable: list[str]
    """Files."""

    def as_json(self) -> dict[str, Any]:
        """The same as plain values."""
        named = [dict(zip(("file", "label", "probability"), least, strict=True)) for least in self.least_sure]
        return {**vars(self), "least_sure": named}


def summed(results: Sequence[FilePrediction], *, several: bool) -> Summed:
    """Sums up; `several`: an image may have several labels."""
    read = [(result.file, result.answer) for result in results if result.answer is not None]
    given = [_labels(answer, several) for _, answer in read]
    best = sorted((answer.predictions[0][2], file, answer.predictions[0][0]) for file, answer in read)
    return Summed(
        images=len(read),
        labels=dict(Counter(label for labels in given for label in labels).most_common()),
        none=sum(not labels for labels in given),
        unsure=0 if several else sum(_unsure(answer) for _, answer in read),
        least_sure=[(file, label, probability) for probability, file, label in best[:LEAST_SURE]],
        unreadable=[result.file for result in results if result.answer is None],
    )


def _labels(answer: Answer, several: bool) -> tuple[str, ...]:
    if several:
        if answer.members is not None:
            return answer.members
        return tuple(label for label, _, probability in answer.predictions if probability >= HALF)
    return () if answer.members == () else (answer.predictions[0][0],)


def _unsure(answer: Answer) -> bool:
    if answer.members is not None:
        return len(answer.members) > 1
    return answer.predictions[0][2] < HALF


def summed_lines(found: Summed, sets: PredictionSets | None, *, classes: int, several: bool) -> list[str]:
    """The same in words, for a checkpoint of so many classes and such sets."""
    counted = [f"{label} {number:,}" for label, number in found.labels.items()]
    doubts = []
    if several or (sets is not None and sets.can_be_empty(classes)):
        doubts.append(f"{found.none:,} none of these classes")
    if not several and (sets is not None or classes * HALF > 1):
        why = f"below {100 * HALF:.0f} %" if sets is None else f"several labels in a set of {100 * sets.coverage:g} %"
        doubts.append(f"{found.unsure:,} unsure ({why})")
    least = ", ".join(f"{printable(file)} ({label} {100 * p:.0f} %)" for file, label, p in found.least_sure)
    lines = [f"{count(found.images, 'image')}: {some(counted, 10)}", ", ".join(doubts), f"least sure: {least}"]
    if found.unreadable:
        lines.append(f"not readable: {some([printable(file) for file in found.unreadable], 3)}")
    return [line for line in lines if line]


def each_row(results: Sequence[FilePrediction], sets: PredictionSets | None) -> tuple[list[str], list[list[str]]]:
    """Names of columns, and a row of texts for each file that could be read."""
    read = [(result.file, result.answer) for result in results if result.answer is not None]
    several, rows = any(len(answer.predictions) > 1 for _, answer in read), []
    for file, answer in read:
        best, *others = answer.predictions
        rows.append([file, best[0], f"{100 * best[2]:.1f} %"])
        if several:
            rows[-1].append(", ".join(f"{label} {100 * probability:.1f} %" for label, _, probability in others))
        if sets is not None:
            rows[-1].append(", ".join(answer.members or ()) or NONE_OF_THESE)
    next, last = ["next"] * several, [] if sets is None else [f"set, {100 * sets.coverage:g} %"]
    return ["file", "label", "probability", *next, *last], rows
