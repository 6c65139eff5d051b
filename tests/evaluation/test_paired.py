"""Differences of two models on the same images: the interval's coverage, computed exactly, and McNemar's test."""

from __future__ import annotations

import math

import numpy as np
import pytest

from vitascope.errors import ConfigError
from vitascope.evaluation.paired import Paired, paired, points_text


def test_only_images_that_one_alone_gets_right_count() -> None:
    ours = np.array([True, True, True, False, False, True])
    theirs = np.array([True, False, False, True, False, True])
    found = paired(ours, theirs)
    assert (found.images, found.gained, found.lost) == (6, 2, 1)
    assert found.difference == pytest.approx(ours.mean() - theirs.mean())
    turned = paired(theirs, ours)
    assert turned.interval == pytest.approx([-side for side in reversed(found.interval)])
    assert turned.chance == found.chance


@pytest.mark.parametrize(("gained", "lost", "chance"), [(0, 0, 1.0), (5, 5, 1.0), (6, 0, 2 / 64), (9, 1, 22 / 1024)])
def test_mcnemars_test_is_exact(gained: int, lost: int, chance: float) -> None:
    assert Paired(images=50, gained=gained, lost=lost).chance == pytest.approx(chance)


@pytest.mark.parametrize(
    ("n", "gained", "lost"), [(30, 0.05, 0.05), (30, 0.2, 0.1), (150, 0.02, 0.02), (150, 0.1, 0.03)]
)
def test_the_interval_holds_the_truth_in_95_of_100_cases(n: int, gained: float, lost: float) -> None:
    held, truth, same = 0.0, gained - lost, 1 - gained - lost
    for b in range(n + 1):
        for c in range(n + 1 - b):
            ways = math.lgamma(n + 1) - math.lgamma(b + 1) - math.lgamma(c + 1) - math.lgamma(n + 1 - b - c)
            log = ways + b * math.log(gained) + c * math.log(lost) + (n - b - c) * math.log(same)
            if log < -25:
                continue
            low, high = Paired(images=n, gained=b, lost=c).interval
            held += math.exp(log) * (low <= truth <= high)
    assert 0.94 <= held <= 0.995


def test_no_difference_says_nothing_where_there_are_no_images() -> None:
    nothing = paired(np.zeros(0, bool), np.zeros(0, bool))
    assert nothing.difference == 0
    assert nothing.interval == (-1.0, 1.0)


def test_it_is_said_in_points() -> None:
    assert points_text(Paired(images=153, gained=12, lost=6).as_json()) == "+3.9 points (-1.8 to +9.5)"


def test_answers_of_other_images_are_refused() -> None:
    with pytest.raises(ConfigError, match="the same images"):
        paired(np.zeros(3, bool), np.zeros(4, bool))
