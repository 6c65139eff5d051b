"""Figures of several labels, against scikit-learn and against their formulas."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, f1_score, precision_score, recall_score

from vitascope.errors import DivergedError
from vitascope.evaluation.label_metrics import LabelTally, average_precision
from vitascope.evaluation.sets import PredictionSets


def drawn(n: int, k: int, seed: int, ties: bool = False) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, k)).astype(np.float32)
    return np.round(logits) if ties else logits, rng.random((n, k)) < 0.3


def tallied(logits: np.ndarray, has: np.ndarray, sets: PredictionSets | None = None, batch: int = 7) -> LabelTally:
    tally = LabelTally(logits.shape[1], sets)
    for first in range(0, len(logits), batch):
        part = slice(first, first + batch)
        tally.add(torch.from_numpy(logits[part]), torch.from_numpy(has[part]))
    return tally


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("n", [1, 2, 50, 333])
def test_it_is_scikit_learns(n: int, ties: bool) -> None:
    for seed in range(5):
        logits, has = drawn(n, 6, seed, ties)
        has[0, 0] = True
        found = tallied(logits, has).judged("abcdef")
        assert list(found["per_label"]) == [name for name, any_ in zip("abcdef", has.any(axis=0), strict=True) if any_]
        for k, name in enumerate("abcdef"):
            if name in found["per_label"]:
                own, said = found["per_label"][name], logits[:, k] >= 0
                assert own["images"] == has[:, k].sum()
                assert own["ap"] == pytest.approx(average_precision_score(has[:, k], logits[:, k]), abs=1e-12)
                for what, peer in {"f1": f1_score, "precision": precision_score, "recall": recall_score}.items():
                    assert own[what] == pytest.approx(peer(has[:, k], said, zero_division=0), abs=1e-12)
        for mean, each in {"map": "ap", "macro_f1": "f1"}.items():
            assert found[mean] == pytest.approx(np.mean([own[each] for own in found["per_label"].values()]))


def test_the_definition_by_hand() -> None:
    scores, has = np.array([[4.0], [3.0], [2.0], [2.0]]), np.array([[True], [False], [True], [False]])
    assert average_precision(scores, has)[0] == pytest.approx(1 / 2 * 1 + 1 / 2 * 2 / 4)
    assert np.isnan(average_precision(scores, np.zeros((4, 1), dtype=bool))[0])


def test_loss_calibration_and_chance() -> None:
    logits, has = drawn(200, 3, 0)
    found = tallied(logits, has).summary()
    loss = torch.nn.functional.binary_cross_entropy_with_logits
    wanted = loss(torch.from_numpy(logits), torch.from_numpy(has).float(), reduction="none").sum(dim=1).mean()
    assert found["loss"] == pytest.approx(float(wanted), rel=1e-6)
    assert found["by_chance"] == pytest.approx(has.mean())
    likely = torch.from_numpy(logits).sigmoid().numpy()
    calibrated = np.random.default_rng(1).random(likely.shape) < likely
    assert tallied(logits, calibrated).summary()["calibration_error"] < 0.05 < found["calibration_error"]


def test_processes_and_batches_change_nothing() -> None:
    logits, has = drawn(101, 4, 2)
    whole = tallied(logits, has, batch=101)
    parts = [tallied(logits[rank::2], has[rank::2]) for rank in (0, 1)]
    together = SimpleNamespace(gather=lambda _: [(part.logits, part.has) for part in parts])
    parts[0].over(together)
    assert parts[0].images == 101
    for name, value in whole.summary().items():
        assert parts[0].summary()[name] == pytest.approx(value, abs=1e-12)


def test_one_label_each_is_taken_as_several() -> None:
    logits, _ = drawn(30, 3, 3)
    numbers = torch.arange(30) % 3
    one, several = LabelTally(3), LabelTally(3)
    one.add(torch.from_numpy(logits), numbers)
    several.add(torch.from_numpy(logits), numbers[:, None] == torch.arange(3))
    assert one.summary() == several.summary()


def test_sets_nothing_and_what_is_not_finite() -> None:
    logits, has = drawn(40, 3, 4)
    sets = PredictionSets(coverage=0.9, least=(0.5,), images=40)
    found: Any = tallied(logits, has, sets).of_sets()
    assert found["held"] == pytest.approx(((logits >= 0) & has).sum() / has.sum())
    assert found["none"] == pytest.approx((logits < 0).all(axis=1).mean())
    empty = LabelTally(3)
    assert empty.summary()["map"] == empty.score == 0.0
    assert empty.per_label("abc") == {}
    with pytest.raises(DivergedError, match="not finite"):
        empty.add(torch.full((1, 3), float("nan")), torch.zeros(1, 3, dtype=torch.bool))
