"""Mean and interval over seeds, by Student's table and by drawing many samples."""

from __future__ import annotations

import math

import numpy as np
import pytest

from vitascope.errors import ConfigError
from vitascope.evaluation.interval import accuracy_text, interval, student_t, wilson


@pytest.mark.parametrize(("freedom", "printed"), [(1, 12.706), (2, 4.303), (4, 2.776), (9, 2.262), (120, 1.980)])
def test_quantiles_are_those_of_the_table(freedom: int, printed: float) -> None:
    assert student_t(freedom) == pytest.approx(printed, abs=5e-4)


def test_by_hand() -> None:
    found = interval([0.4, 0.5, 0.6])
    assert (found.mean, found.count) == (pytest.approx(0.5), 3)
    assert found.half == pytest.approx(4.3027 * 0.1 / math.sqrt(3), abs=1e-5)
    assert found.percent() == "50.0 ± 24.8 %"


def test_one_value_has_no_interval() -> None:
    found = interval([0.25])
    assert found.half is None
    assert found.percent() == "25.0 %"


def test_the_true_mean_lies_inside_nineteen_times_in_twenty() -> None:
    samples = np.random.default_rng(0).normal(3.0, 2.0, (2000, 4))
    found = [interval(row.tolist()) for row in samples]
    inside = np.mean([abs(i.mean - 3.0) <= (i.half or 0.0) for i in found])
    assert inside == pytest.approx(0.95, abs=0.015)


@pytest.mark.parametrize("values", [[], [0.1, float("nan")]])
def test_what_has_no_mean_is_refused(values: list[float]) -> None:
    with pytest.raises(ConfigError, match="finite numbers"):
        interval(values)


def test_the_interval_of_a_share_is_wilsons() -> None:
    assert wilson(81 / 263, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)  # Newcombe (1998), Table I
    assert wilson(0.7, 40) == pytest.approx((0.5457, 0.8193), abs=1e-4)
    assert wilson(0, 10) == pytest.approx((0, 0.2775), abs=1e-4)
    assert wilson(1.0, 10) == pytest.approx((0.7225, 1), abs=1e-4)
    assert wilson(0.0, 0) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("top1", "images", "baseline", "text"),
    [
        (0.7, 40, None, "70.0 % (55–82) of 40"),
        (0.9, 430, 0.244, "90.0 % (87–92) of 430; always 'dandelion' 24.4 %"),
        (0.247, 430, 0.244, "24.7 % (21–29) of 430; always 'dandelion' 24.4 %: so few images do not tell them apart"),
        (0.244, 1430, 0.244, "24.4 % (22–27) of 1,430; always 'dandelion' 24.4 %: has not learned"),
    ],
)
def test_an_accuracy_is_said_with_its_interval_and_what_it_is_beside(
    top1: float, images: int, baseline: float | None, text: str
) -> None:
    found = {} if baseline is None else {"baseline": {"class": "dandelion", "top1": baseline}}
    assert accuracy_text({"top1": top1, "images": images, **found}) == text
