"""What is counted, against counting by hand; and that sums over batches and processes are exact."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch

from vitascope.evaluation.metrics import BINS, Tally

RNG = torch.Generator().manual_seed(0)
LOGITS = torch.randn(50, 7, generator=RNG) * 2
LABELS = torch.randint(0, 6, (50,), generator=RNG)  # class 6 has no images


def tally(*rows: slice) -> Tally:
    made = Tally(7)
    for row in rows or (slice(None),):
        made.add(LOGITS[row], LABELS[row])
    return made


def test_figures_are_those_counted_by_hand() -> None:
    order = LOGITS.argsort(dim=1, descending=True)
    top1 = [int(order[i, 0]) == int(LABELS[i]) for i in range(50)]
    top5 = [int(LABELS[i]) in order[i, :5].tolist() for i in range(50)]
    loss = [-math.log(float(LOGITS[i].double().softmax(0)[LABELS[i]])) for i in range(50)]
    made = tally()
    assert made.images == 50
    assert made.top1 == pytest.approx(np.mean(top1))
    summary = made.summary()
    assert summary["top5"] == pytest.approx(np.mean(top5))
    assert summary["loss"] == pytest.approx(np.mean(loss), rel=1e-6)
    assert 0 < made.top1 < summary["top5"] < 1
    assert json.loads(json.dumps(summary)) == summary


def test_calibration_error_is_the_gap_over_bins() -> None:
    confidence, predicted = LOGITS.softmax(1).max(1)
    error = 0.0
    for low in range(BINS):
        inside = [i for i in range(50) if low <= float(confidence[i]) * BINS < low + 1]
        if inside:
            accuracy = np.mean([int(predicted[i]) == int(LABELS[i]) for i in inside])
            error += len(inside) / 50 * abs(accuracy - np.mean([float(confidence[i]) for i in inside]))
    assert tally().calibration_error == pytest.approx(error, abs=1e-6)


def test_full_confidence_falls_into_the_last_bin() -> None:
    made = Tally(2)
    made.add(torch.tensor([[1000.0, 0.0]]), torch.tensor([0]))
    assert made.bins[0, -1] == 1
    assert made.calibration_error == 0.0


def test_confusion_has_true_rows_and_predicted_columns() -> None:
    made = Tally(3)
    made.add(torch.eye(3)[[1, 1, 2]], torch.tensor([0, 1, 2]))
    assert made.confusion.tolist() == [[0, 1, 0], [0, 1, 0], [0, 0, 1]]
    assert made.per_class(("a", "b", "c")) == {
        "a": {"images": 1, "top1": 0.0, "precision": 0.0, "f1": 0.0},
        "b": {"images": 1, "top1": 1.0, "precision": 0.5, "f1": pytest.approx(2 / 3)},
        "c": {"images": 1, "top1": 1.0, "precision": 1.0, "f1": 1.0},
    }
    assert made.macro_f1 == pytest.approx(5 / 9)


def test_figures_by_class_are_scikit_learns_and_a_class_without_images_has_none() -> None:
    from sklearn.metrics import precision_recall_fscore_support

    made = tally()
    found = made.per_class("abcdefg")
    assert list(found) == list("abcdef")
    true = np.repeat(np.arange(7), made.confusion.sum(axis=1))
    said = np.concatenate([np.repeat(np.arange(7), row) for row in made.confusion])
    peer = precision_recall_fscore_support(true, said, labels=range(6), zero_division=0.0)
    for place, name in enumerate(("precision", "top1", "f1", "images")):
        assert [c[name] for c in found.values()] == pytest.approx(peer[place])
    assert made.macro_f1 == pytest.approx(peer[2].mean())


@pytest.mark.parametrize("rows", [(slice(0, 49), slice(49, 50)), tuple(slice(i, i + 7) for i in range(0, 50, 7))])
def test_batches_add_up(rows: tuple[slice, ...]) -> None:
    whole, parts = tally(), tally(*rows)
    assert np.array_equal(whole.confusion, parts.confusion)
    assert parts.summary() == pytest.approx(whole.summary())


def test_processes_add_up() -> None:
    shares = [tally(slice(rank, None, 3)) for rank in range(3)]
    total = Tally(7)
    total.restore(np.sum([share.vector() for share in shares], axis=0))
    assert total.summary() == pytest.approx(tally().summary())
    assert np.array_equal(total.confusion, tally().confusion)


def test_fewer_than_five_classes_are_all_among_the_top_five() -> None:
    made = Tally(3)
    made.add(torch.randn(10, 3), torch.zeros(10, dtype=torch.long))
    assert made.summary()["top5"] == 1.0


def test_half_precision_logits_are_counted_in_full() -> None:
    made = Tally(7)
    made.add(LOGITS.bfloat16(), LABELS)
    again = Tally(7)
    again.add(LOGITS.bfloat16().float(), LABELS)
    assert made.summary() == again.summary()


def test_nothing_counted_is_no_division_by_zero() -> None:
    assert Tally(2).summary() == {"images": 0, "top1": 0.0, "top5": 0.0, "loss": 0.0, "calibration_error": 0.0}
