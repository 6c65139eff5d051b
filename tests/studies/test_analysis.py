"""Differences, pooled scatter and crossings, against numbers worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tiny_study import diverged, row, rows
from vitascope.evaluation.interval import Interval, interval, student_t
from vitascope.studies.analysis import Row, Table, crossover, measured, rises


def test_measures_of_a_row() -> None:
    ((_, found),) = measured([row("ViT-a", 0.75, few=0.25, rise=0.125), diverged("ViT-a")], "size")
    assert found == {"fine-tuned": 0.75, "2-shot": 0.25, "pre-training": 0.4, "overfit": 0.125}


def test_overfitting_is_told_after_as_many_steps() -> None:
    made = [row(name, 0.5, rise=0.5) for name in ("ViT-short", "BiT-long", "BiT-unknown")]
    made += [row("BiT-long", 0.5, rise=0.25, seed=1)]
    for one, taken in zip(made, (6, 10, 10, 10), strict=True):
        one["pretraining"]["steps"] = taken
    made[1]["pretraining"]["looks"] = [[2, 1.5], [4, 1.0], [6, 1.125], [8, 0.75], [10, 1.25]]
    values = [found.get("overfit") for _, found in measured(made, "size")]
    assert values == [0.5, 0.125, None, 0.25]  # of the other seed no run ended before


def test_scatter_is_that_of_a_kind_at_a_place() -> None:
    # Squares within the groups of ViTs: (0.1² + 0.1²) + (0.1² + 0 + 0.1²), of freedom 1 + 2.
    made = [
        *rows("ViT-a", (0.3, 0.5)),
        *rows("ViT-b", (0.6, 0.7, 0.8)),
        *rows("BiT-a", (0.1, 0.9)),
        *rows("ViT-b", (0.9,), size=200),
    ]
    table = Table(made, "fine-tuned", "size")
    pooled = math.sqrt(0.04 / 3)
    assert table.scatter("ViT-a", 100) == (pytest.approx(pooled), 3)
    assert table.scatter("BiT-a", 100) == (pytest.approx(math.sqrt(0.32)), 1)
    assert table.scatter("ViT-b", 200) == (pytest.approx(pooled), 3)  # has one seed there: as elsewhere
    t = 3.182446305284263  # Student's, two-sided 95 %, three degrees of freedom
    assert student_t(3) == pytest.approx(t)
    mean = table.mean("ViT-a", 100)
    assert (mean.mean, mean.half, mean.count) == (pytest.approx(0.4), pytest.approx(t * pooled / math.sqrt(2)), 2)
    single = table.mean("ViT-b", 200)
    assert (single.mean, single.half, single.count) == (0.9, pytest.approx(t * pooled), 1)
    # One seed in common: both scatters, and the freedom of the fewer.
    growth = table.contrast((1, "ViT-b", 200), (-1, "ViT-b", 100))
    assert (growth.mean, growth.half) == (pytest.approx(0.2), pytest.approx(t * pooled * math.sqrt(1 / 3 + 1)))


def test_what_seeds_have_in_common_is_no_scatter_of_a_difference() -> None:
    ours, theirs = (0.3, 0.5, 0.9), (0.2, 0.38, 0.82)
    table = Table(rows("ViT-a", ours) + rows("BiT-a", theirs), "fine-tuned", "size")
    found, usual = table.difference("ViT-a", "BiT-a", 100), interval([0.1, 0.12, 0.08])
    assert (found.mean, found.half, found.count) == (pytest.approx(0.1), pytest.approx(usual.half), 3)


def test_only_seeds_that_both_have_are_compared() -> None:
    table = Table(rows("ViT-a", (0.3, 0.5, 0.9, 0.7)) + rows("BiT-a", (0.2, 0.5)), "fine-tuned", "size")
    found, usual = table.difference("ViT-a", "BiT-a", 100), interval([0.1, 0.0])
    assert (found.mean, found.half, found.count) == (pytest.approx(usual.mean), pytest.approx(usual.half), 2)


def test_scatter_of_like_differences_is_pooled() -> None:
    made = rows("ViT-a", (0.3, 0.5)) + rows("BiT-a", (0.2, 0.5)) + rows("ViT-b", (0.4, 0.4, 0.4))
    made += rows("BiT-b", (0.3, 0.4, 0.5))
    table = Table(made, "fine-tuned", "size")
    terms, alike = (((1, f"ViT-{x}", 100), (-1, f"BiT-{x}", 100)) for x in "ab")
    scatter = math.sqrt((0.005 + 0.02) / 3)
    assert table.contrast(*terms, alike=[alike]).half == pytest.approx(student_t(3) * scatter / math.sqrt(2))


def test_with_one_group_the_interval_is_the_usual_one() -> None:
    values = (0.3, 0.5, 0.45, 0.2)
    table = Table(rows("ViT-a", values), "fine-tuned", "size")
    usual, pooled = interval(values), table.mean("ViT-a", 100)
    assert pooled.mean == pytest.approx(usual.mean)
    assert pooled.half == pytest.approx(usual.half)


def test_with_one_seed_each_nobody_knows_the_scatter() -> None:
    table = Table([row("ViT-a", 0.1), row("BiT-a", 0.9)], "fine-tuned", "size")
    assert table.scatter("ViT-a", 100) is None
    assert table.mean("ViT-a", 100).half is None
    found = table.difference("ViT-a", "BiT-a", 100)
    assert (found.mean, found.half, found.sign) == (pytest.approx(-0.8), None, 0)


def test_seeds_needed() -> None:
    table = Table(rows("ViT-a", (0.5, 0.54, 0.5)) + rows("BiT-a", (0.5, 0.5, 0.5)), "fine-tuned", "size")
    terms = ((1, "ViT-a", 100), (-1, "BiT-a", 100))
    assert table.seeds_needed(lambda one: one.sign != 0, *terms) == 15  # 2.145 × 2.31 / √15 = 1.28 points, below 1.33
    assert table.seeds_needed(lambda one: False, *terms) is None
    single = Table([row("ViT-a", 0.1), row("BiT-a", 0.9)], "fine-tuned", "size")
    assert single.seeds_needed(lambda one: True, *terms) is None


def test_seeds_needed_count_what_is_pooled() -> None:
    made = [each for x in "ab" for each in rows(f"ViT-{x}", (0.5, 0.54, 0.5)) + rows(f"BiT-{x}", (0.5, 0.5, 0.5))]
    table = Table(made, "fine-tuned", "size")
    terms, alike = (((1, f"ViT-{x}", 100), (-1, f"BiT-{x}", 100)) for x in "ab")
    needed = table.seeds_needed(lambda one: one.sign != 0, *terms, alike=[alike])
    scatter = interval([0.0, 0.04, 0.0]).half * math.sqrt(3) / student_t(2)  # type: ignore[operator]
    widths = {n: student_t(2 * (n - 1)) * scatter / math.sqrt(n) for n in range(2, 30)}
    assert needed == min(n for n, width in widths.items() if width < 0.04 / 3)
    assert needed is not None
    assert needed < 15


def test_a_table_takes_the_measure_and_the_axis_it_is_told() -> None:
    made = [row("ViT-a", 0.1, few=0.2, steps=10), row("ViT-a", 0.3, few=0.4, steps=20), diverged("ViT-a", steps=40)]
    assert Table(made, "2-shot", "steps").values == {"ViT-a": {10: [0.2], 20: [0.4]}}
    assert Table(made, "fine-tuned", "steps").values == {"ViT-a": {10: [0.1], 20: [0.3]}}
    assert Table(made, "50-shot", "steps").values == {}


def test_places_are_those_where_all_were_run() -> None:
    made = [row(name, 0.1, size=size) for name, sizes in (("ViT-a", (40, 10, 20)), ("BiT-a", (20, 40, 80)))
            for size in sizes]  # fmt: skip
    table = Table(made, "fine-tuned", "size")
    assert table.places("ViT-a") == [10, 20, 40]
    assert table.places("ViT-a", "BiT-a") == [20, 40]
    assert table.places("ViT-a", "none such") == []
    with pytest.raises(KeyError):
        table.difference("ViT-a", "BiT-a", 10)


@pytest.mark.parametrize(
    ("value", "half", "sign"),
    [(0.3, 0.2, 1), (-0.3, 0.2, -1), (0.2, 0.2, 0), (-0.1, 0.2, 0), (0.3, None, 0), (0.0, 0.0, 0), (0.1, 0.0, 1)],
)
def test_a_sign_is_one_beyond_chance(value: float, half: float | None, sign: int) -> None:
    assert Interval(mean=value, half=half, count=2).sign == sign


def test_a_difference_in_words() -> None:
    assert Interval(mean=0.031, half=0.008, count=2).points() == "+3.1 ± 0.8 points"
    assert Interval(mean=-0.5, half=None, count=2).points() == "-50.0 points"


def curves(vit: list[tuple[float, ...]], bit: list[tuple[float, ...]], sizes: tuple[int, ...]) -> Table:
    made: list[Row] = []
    for size, ours, theirs in zip(sizes, vit, bit, strict=True):
        made += rows("ViT-a", ours, size=size) + rows("BiT-a", theirs, size=size)
    return Table(made, "fine-tuned", "size")


def test_where_one_passes_the_other() -> None:
    # The difference goes from −0.1 to +0.3 between 100 and 1600: a quarter of the way on a logarithmic axis, 200.
    found = crossover(curves([(0.2,), (0.8,)], [(0.3,), (0.5,)], (100, 1600)), "ViT-a", "BiT-a")
    assert found is not None
    assert found.size == pytest.approx(200)
    assert (found.low, found.high, found.ahead) == (None, None, 0)  # one seed each: nobody knows how sure that is


def test_the_interval_of_a_crossing_is_where_the_difference_s_interval_crosses() -> None:
    # Means differ by −0.4, −0.1, +0.3, each with two seeds whose differences lie ± d about them.
    d = 0.01
    ours = [(mean - d, mean + d) for mean in (0.2, 0.5, 0.9)]
    found = crossover(curves(ours, [(0.6, 0.6)] * 3, (100, 1000, 16_000)), "ViT-a", "BiT-a")
    assert found is not None
    half = student_t(1) * math.sqrt(2 * d * d) / math.sqrt(2)

    def crossing(places: list[int], left: float, right: float) -> float:
        return float(np.exp(np.interp(0, [left, right], np.log(places))))

    assert found.size == pytest.approx(crossing([1000, 16_000], -0.1, 0.3))
    assert found.size == pytest.approx(2000)
    assert found.low == pytest.approx(crossing([100, 1000], -0.4 + half, -0.1 + half))
    assert found.high == pytest.approx(crossing([1000, 16_000], -0.1 - half, 0.3 - half))
    assert found.low < found.size < found.high < 16_000
    assert found.ahead == 1


def test_an_interval_may_leave_the_sizes_on_either_side() -> None:
    # The interval of the difference holds 0 at both ends.
    wide = crossover(curves([(0.2, 0.6), (0.6, 0.8)], [(0.7, 0.3), (0.8, 0.4)], (100, 1600)), "ViT-a", "BiT-a")
    assert wide is not None
    assert wide.size == pytest.approx(100 * 16**0.5)
    assert (wide.low, wide.high, wide.ahead) == (None, None, 0)


@pytest.mark.parametrize(("ours", "ahead"), [((0.9, 0.91), 1), ((0.1, 0.11), -1)])
def test_no_crossing_where_one_is_ahead_all_along(ours: tuple[float, ...], ahead: int) -> None:
    found = crossover(curves([ours, ours], [(0.5, 0.51), (0.5, 0.51)], (100, 200)), "ViT-a", "BiT-a")
    assert found is not None
    assert (found.size, found.low, found.high, found.ahead) == (None, None, None, ahead)


def test_falling_behind_is_no_crossing() -> None:
    found = crossover(curves([(0.9, 0.9), (0.1, 0.11)], [(0.5, 0.5), (0.5, 0.51)], (100, 200)), "ViT-a", "BiT-a")
    assert found is not None
    assert (found.size, found.ahead) == (None, -1)


def test_a_single_common_size_has_no_crossing() -> None:
    table = Table([row("ViT-a", 0.1), row("BiT-a", 0.2), row("BiT-a", 0.2, size=200)], "fine-tuned", "size")
    assert crossover(table, "ViT-a", "BiT-a") is None
    assert crossover(table, "ViT-a", "BiT-none") is None


@pytest.mark.parametrize(
    ("values", "zero"),
    [
        ([-1, 1, 3], 20),
        ([-3, 1, 3], 10 * 4**0.75),
        ([-1, 0, 1], 40),  # exactly 0 at a place
        ([0, 1, 2], None),  # there from the start
        ([1, -1, 1], 80),  # the last time counts
        ([-1, 1, -1], 20),  # … of rising
        ([1, 2, -3], None),
        ([-1, -2, -3], None),
        ([-1, -math.inf, -1], None),
        ([math.inf, math.inf, math.inf], None),
    ],
)
def test_where_values_rise_through_zero(values: list[float], zero: float | None) -> None:
    assert max(rises([10, 40, 160], values, 0), default=None) == (None if zero is None else pytest.approx(zero))
