"""The losses against their formulas, written out."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from vitascope.training.objective import cross_entropy, soft_targets


@pytest.fixture
def logits() -> torch.Tensor:
    return torch.randn(5, 4, generator=torch.Generator().manual_seed(0)) * 3


LABELS = torch.tensor([0, 3, 1, 1, 2])


def test_softmax_is_minus_the_mean_log_probability(logits: torch.Tensor) -> None:
    expected = -sum(float(logits[i].double().softmax(0)[label].log()) for i, label in enumerate(LABELS)) / 5
    assert float(cross_entropy(logits, LABELS, "softmax")) == pytest.approx(expected, rel=1e-6)


def test_smoothing_spreads_its_share_over_all_classes(logits: torch.Tensor) -> None:
    targets = torch.full((5, 4), 0.2 / 4)
    targets[torch.arange(5), LABELS] += 0.8
    torch.testing.assert_close(soft_targets(LABELS, 4, 0.2), targets)
    expected = -(targets * logits.log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(cross_entropy(logits, LABELS, "softmax", 0.2), expected)
    assert float(expected) != pytest.approx(float(cross_entropy(logits, LABELS, "softmax")), rel=1e-3)


def test_sigmoid_sums_binary_cross_entropy_over_the_classes(logits: torch.Tensor) -> None:
    p = logits.double().sigmoid()
    y = F.one_hot(LABELS, 4).double()
    expected = -(y * p.log() + (1 - y) * (1 - p).log()).sum() / 5
    assert float(cross_entropy(logits, LABELS, "sigmoid")) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("loss", ["softmax", "sigmoid"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_soft_targets_that_are_one_hot_equal_labels(logits: torch.Tensor, loss: str, smoothing: float) -> None:
    hot = F.one_hot(LABELS, 4).float()
    torch.testing.assert_close(
        cross_entropy(logits, hot, loss, smoothing), cross_entropy(logits, LABELS, loss, smoothing)
    )


def test_mixed_targets_mix_the_losses(logits: torch.Tensor) -> None:
    other = LABELS.roll(1)
    mixed = 0.3 * F.one_hot(LABELS, 4) + 0.7 * F.one_hot(other, 4)
    expected = 0.3 * cross_entropy(logits, LABELS, "softmax") + 0.7 * cross_entropy(logits, other, "softmax")
    torch.testing.assert_close(cross_entropy(logits, mixed, "softmax"), expected)


def test_bfloat16_logits_are_judged_in_float32(logits: torch.Tensor) -> None:
    half = logits.bfloat16()
    result = cross_entropy(half, LABELS, "softmax")
    assert result.dtype == torch.float32
    assert float(result) == float(cross_entropy(half.float(), LABELS, "softmax"))
