"""What was said of each image: the same counts as the sums, in any batches and processes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from vitascope.evaluation.answers import Answering, Answers
from vitascope.evaluation.label_metrics import LabelTally
from vitascope.evaluation.metrics import Tally

RNG = np.random.default_rng(0)
LOGITS = torch.from_numpy(RNG.normal(size=(50, 4)))
LABELS = RNG.integers(0, 4, 50)
SEVERAL = RNG.random((50, 4)) < 0.4


class Two:
    """The other of two processes has counted too."""

    def __init__(self, other: Answering) -> None:
        self.other = other

    def sum(self, array: np.ndarray) -> np.ndarray:
        return array + self.other.tally.vector()  # type: ignore[union-attr]

    def gather(self, value: Any) -> list[Any]:
        return [value, self.other.answers]


def test_of_two_processes_in_batches_all_answers_come_in_the_order_of_the_images() -> None:
    parts = [Answering(Tally(4), LABELS) for _ in range(2)]
    for rank, part in enumerate(parts):
        places = torch.arange(rank, 50, 2)
        for batch in places.split(7):
            part.add(LOGITS[batch], batch)
    parts[0].over(Two(parts[1]))
    found, whole = parts[0].answers, Answers.of(LOGITS, LABELS)
    for name in ("places", "truth", "said", "probability"):
        assert np.array_equal(getattr(found, name), getattr(whole, name))
    assert parts[0].images == 50
    assert found.right.mean() == parts[0].tally.summary()["top1"]


def test_mistakes_come_first_and_the_most_confident_of_them() -> None:
    found = Answers.of(LOGITS, LABELS)
    order = found.in_order()
    assert sorted(order) == list(range(50))
    wrong = ~found.right[order]
    assert wrong[: wrong.sum()].all()
    assert (np.diff(found.probability[order[wrong]]) <= 0).all()
    assert (np.diff(found.probability[order[~wrong]]) >= 0).all()
    assert np.array_equal(order[: wrong.sum()], found.mistakes())


def test_of_several_labels_the_surest_wrong_decision_counts() -> None:
    counted = Answering(LabelTally(4), SEVERAL)
    counted.add(LOGITS, torch.arange(50))
    found = counted.answers
    likely = LOGITS.float().sigmoid().numpy()
    for row in range(50):
        said = likely[row] >= 0.5
        assert np.array_equal(found.said[row], said)
        sure = np.where(said, likely[row], 1 - likely[row])
        wrong = said != SEVERAL[row]
        assert found.probability[row] == pytest.approx(sure[wrong].max() if wrong.any() else sure.min())
        assert found.right[row] == (not wrong.any())


def test_of_no_image_there_is_no_answer() -> None:
    for tally, labels in ((Tally(3), LABELS), (LabelTally(4), SEVERAL)):
        nothing = Answering(tally, labels).answers
        assert len(nothing) == len(nothing.mistakes()) == len(nothing.in_order()) == 0


def test_one_label_an_image_is_judged_label_by_label_where_the_model_does() -> None:
    counted = Answering(LabelTally(4), LABELS)
    counted.add(LOGITS, torch.arange(50))
    assert counted.answers.truth.shape == (50, 4)
    assert (counted.answers.truth.argmax(axis=1) == LABELS).all()
