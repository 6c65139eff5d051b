"""Risk against coverage, against sorting the images; and sums over batches are exact."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from vitascope.evaluation.metrics import Tally
from vitascope.evaluation.selective import SURENESS_BINS, selective, sureness

RNG = torch.Generator().manual_seed(0)
LOGITS = 3 * torch.randn(400, 5, generator=RNG)
LABELS = torch.where(torch.rand(400, generator=RNG) < 0.6, LOGITS.argmax(1), torch.randint(0, 5, (400,), generator=RNG))


def tally(*rows: slice) -> Tally:
    made = Tally(5)
    for row in rows:
        made.add(LOGITS[row], LABELS[row])
    return made


def test_the_area_and_the_table_are_those_of_sorted_images() -> None:
    found = tally(slice(None)).judged("abcde")["selective"]
    likely = LOGITS.double().softmax(1).max(1).values
    right = (LOGITS.argmax(1) == LABELS)[likely.argsort(descending=True)].double().numpy()
    risks = 1 - right.cumsum() / np.arange(1, 401)
    # Within a bin the order is open: a 64th of the log odds.
    assert found["aurc"] == pytest.approx(risks.mean(), abs=2e-3)
    assert found["top1"] == pytest.approx([right[: 40 * n].mean() for n in range(1, 11)], abs=0.02)
    assert found["coverage"] == pytest.approx([n / 10 for n in range(1, 11)])
    assert found["top1"][-1] == pytest.approx(tally(slice(None)).top1)
    assert json.loads(json.dumps(found)) == found


def test_batches_and_processes_add_up() -> None:
    whole, parts = tally(slice(None)), [tally(slice(0, 7), slice(7, 200)), tally(slice(200, None))]
    merged = Tally(5)
    merged.restore(sum((part.vector() for part in parts), start=np.zeros_like(whole.vector())))
    assert merged.judged("abcde")["selective"] == whole.judged("abcde")["selective"]


def test_bins_rise_with_the_odds_and_hold_what_is_certain() -> None:
    logits = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1e4, 0.0]])
    places = sureness(logits)
    assert np.all(np.diff(places) > 0)
    assert places[-1] == SURENESS_BINS - 1
    assert sureness(torch.zeros(1, 1)).tolist() == [SURENESS_BINS - 1]  # of one class everything is certain
    assert 0 < sureness(torch.zeros(1, 100_000))[0] < places[0]


def test_equally_sure_images_share_their_risk() -> None:
    images, correct = np.zeros((2, SURENESS_BINS), dtype=np.int64)
    images[10], correct[10] = 40, 10
    found = selective(images, correct)
    assert found["aurc"] == pytest.approx(0.75)
    assert found["top1"] == pytest.approx([0.25] * 10)
    assert selective(0 * images, 0 * correct) == {"aurc": 0.0, "coverage": [], "top1": []}
