"""The paper's statements on data size, held against rows made for each outcome."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tiny_study import data_scaling, diverged, row, rows
from vitascope.evaluation.interval import Interval
from vitascope.studies.analysis import Row
from vitascope.studies.verdicts import (
    STATEMENTS,
    Claim,
    Evidence,
    Outcome,
    Verdict,
    above,
    alike,
    below,
    verdict,
    verdicts,
)

FLOPS = {"ViT-s": 1.0, "ViT-l": 4.0, "R+V": 1.0, "BiT-s": 1.1, "BiT-l": 3.9}
SIZES = (10, 100, 1000)
BATCH = 1000  # every set is seen whole
HOLDS, FAILS, OPEN = "holds", "does not hold", "not decidable here"

# Accuracies and overfitting as in the paper's figures: (fine-tuned, few-shot, rise) by model and size.
PAPER: dict[str, dict[int, tuple[float, float, float]]] = {
    "ViT-s": {10: (0.30, 0.20, 0.5), 100: (0.60, 0.40, 0.1), 1000: (0.70, 0.50, 0.0)},
    "ViT-l": {10: (0.20, 0.15, 0.6), 100: (0.605, 0.41, 0.1), 1000: (0.90, 0.80, 0.0)},
    "BiT-s": {10: (0.40, 0.30, 0.1), 100: (0.595, 0.45, 0.0), 1000: (0.65, 0.55, 0.0)},
    "BiT-l": {10: (0.45, 0.35, 0.1), 100: (0.60, 0.47, 0.0), 1000: (0.75, 0.60, 0.0)},
}


def study(*, seeds: int = 3, scatter: float = 0.001, sizes: tuple[int, ...] = SIZES, **changes: Any) -> list[Row]:
    """Rows of PAPER with seeds `scatter` apart; `changes` are other numbers, as ViT_l_1000=(…)."""
    made: list[Row] = []
    for model, by in PAPER.items():
        for size in sizes:
            tuned, few, rise = changes.get(f"{model.replace('-', '_')}_{size}", by[size])
            offsets = [scatter * (seed - (seeds - 1) / 2) for seed in range(seeds)]
            made += rows(
                model,
                tuple(tuned + o for o in offsets),
                few=[few + o for o in offsets],
                rise=[rise + o for o in offsets],
                size=size,
            )
    return made


def evidence(made: list[Row], flops: dict[str, float] = FLOPS, batch: int = BATCH) -> Evidence:
    return Evidence(study=data_scaling(Path("x"), "digits", batch=batch), rows=made, flops=flops)


def data_verdicts(made: list[Row], batch: int = BATCH) -> list[Verdict]:
    return verdicts(evidence(made, batch=batch))


def outcomes(made: list[Row]) -> list[Outcome]:
    return [found.outcome for found in data_verdicts(made)]


def test_what_the_paper_found_holds_on_its_own_numbers() -> None:
    found = data_verdicts(study())
    assert [one.outcome for one in found] == [HOLDS] * 5
    assert [one.statement for one in found] == list(STATEMENTS["size"])
    places = [{claim.text.split(":")[0].split(", ")[1] for claim in one.claims} for one in found]
    assert places == [{"10 images"}, {"100 images"}, {"1,000 images"}, {"10 images"}, {"1,000 images"}]


def test_each_statement_is_made_of_the_comparisons_it_speaks_of() -> None:
    pairs = [[c.text.split(": ")[1] for c in one.claims] for one in data_verdicts(study())]
    rivals = ["ViT-s against BiT-s", "ViT-l against BiT-l"]  # the nearest in cost
    assert pairs[0] == pairs[1] == ["ViT-l against ViT-s", *rivals]
    assert pairs[2] == ["ViT-l against ViT-s", "ViT-l against BiT-s", "ViT-l against BiT-l"]
    assert pairs[3] == rivals * 2  # overfitting, and accuracy
    assert pairs[4] == ["ViT-l against BiT-s", "ViT-l against BiT-l"]
    overfit, few = (data_verdicts(study())[3].claims[i] for i in (0, 2))
    assert overfit.text.startswith("overfit, 10 images: ViT-s against BiT-s: +0.400 nats ± 0.00")
    assert few.text.startswith("2-shot, 10 images: ViT-s against BiT-s: -10.0 ± 0.")


# Which statement fails (by place) when one number is turned round.
@pytest.mark.parametrize(
    ("changes", "failing"),
    [
        ({"ViT_l_10": (0.35, 0.15, 0.6)}, {0}),  # the larger ViT above the smaller
        ({"ViT_s_10": (0.5, 0.20, 0.5)}, {0}),  # a ViT above its ResNet
        ({"BiT_l_100": (0.50, 0.47, 0.0)}, {1}),  # ten points are not alike
        ({"BiT_l_1000": (0.95, 0.60, 0.0)}, {2}),
        ({"ViT_s_1000": (0.95, 0.50, 0.0)}, {2}),
        ({"ViT_l_10": (0.20, 0.15, 0.0)}, {3}),  # does not overfit
        ({"ViT_l_10": (0.20, 0.40, 0.6)}, {3}),  # is better
        ({"BiT_s_1000": (0.65, 0.85, 0.0)}, {4}),
    ],
)
def test_each_statement_can_fail(changes: dict[str, Any], failing: set[int]) -> None:
    expected = [FAILS if number in failing else HOLDS for number in range(5)]
    assert outcomes(study(**changes)) == expected


def test_scatter_that_hides_a_difference_leaves_it_undecided() -> None:
    assert outcomes(study(scatter=0.5)) == [OPEN] * 5


def test_one_seed_decides_nothing() -> None:
    found = data_verdicts(study(seeds=1))
    assert [one.outcome for one in found] == [OPEN] * 5
    claims = [claim for one in found for claim in one.claims]
    assert {claim.outcome for claim in claims} == {OPEN}
    assert not any("±" in claim.text for claim in claims)
    assert "fine-tuned, 10 images: ViT-l against ViT-s: -10.0 points" in [claim.text for claim in claims]


def test_two_sizes_have_no_middle_and_one_has_no_comparison() -> None:
    found = data_verdicts(study(sizes=(10, 1000)))
    assert [one.outcome for one in found] == [HOLDS, OPEN, HOLDS, HOLDS, HOLDS]
    assert found[1].claims[0].text == "only two sizes were seen whole"
    found = data_verdicts(study(sizes=(10,)))
    assert [one.outcome for one in found] == [OPEN] * 5
    assert {one.claims[0].text for one in found} == {"fewer than two sizes were seen whole"}


def test_a_set_that_is_not_seen_whole_says_nothing() -> None:
    steps = study()[0]["steps"]
    found = data_verdicts(study(), 100 // steps + 1)
    assert found[1].claims[0].text == "only two sizes were seen whole"
    assert {claim.text.split(":")[0].split(", ")[1] for claim in found[2].claims} == {"100 images"}


@pytest.mark.parametrize("kind", ["ViT", "ResNet"])
def test_one_side_alone_is_not_compared(kind: str) -> None:
    found = data_verdicts([one for one in study() if one["kind"] == kind])
    assert [one.outcome for one in found] == [OPEN] * 5
    other = {"ViT": "ResNet", "ResNet": "ViT"}[kind]
    assert {claim.text for one in found for claim in one.claims} == {f"no {other} was run"}


def test_a_single_vit_leaves_open_what_larger_ones_do() -> None:
    found = data_verdicts([one for one in study() if one["model"] != "ViT-s"])
    assert [one.outcome for one in found] == [OPEN, HOLDS, OPEN, HOLDS, HOLDS]
    assert not any("ViT-s" in claim.text for one in found for claim in one.claims)
    assert found[0].claims[0].text == found[2].claims[0].text == "larger ViTs: only one was run"


def test_hybrids_are_on_neither_side() -> None:
    with_hybrid = study() + rows("R+V", (0.99, 0.98), size=10)
    assert outcomes(with_hybrid) == [HOLDS] * 5


def test_what_diverged_is_not_run_and_not_decided() -> None:
    made = [one for one in study() if (one["model"], one["size"]) != ("ViT-l", 1000)]
    made += [diverged("ViT-l", size=1000, seed=seed) for seed in range(3)]
    found = data_verdicts(made)
    assert [one.outcome for one in found] == [HOLDS, HOLDS, OPEN, HOLDS, OPEN]
    assert found[2].claims[0] == Claim(
        text="fine-tuned, 1,000 images: ViT-l against ViT-s: not run, or diverged", outcome=OPEN
    )


def test_sides_are_by_kind_and_cost() -> None:
    made = [row(name, 0.5) for name in ("BiT-l", "ViT-l", "R+V", "BiT-s", "ViT-s")]
    who = evidence(made)
    assert (who.models("ViT"), who.models("ResNet")) == (["ViT-s", "ViT-l"], ["BiT-s", "BiT-l"])
    assert who.nearest("ViT", "ResNet") == [("ViT-s", "BiT-s"), ("ViT-l", "BiT-l")]


def test_models_of_one_cost_stay_in_the_order_of_the_rows() -> None:
    names = [f"ViT-{letter}" for letter in "hdaebfgc"]
    assert evidence([row(name, 0.5) for name in names], dict.fromkeys(names, 1.0)).models("ViT") == names


def test_the_nearest_cost_is_the_nearest_ratio() -> None:
    flops = {"ViT": 100.0, "BiT-third": 34.0, "BiT-double": 210.0, "BiT-far": 10_000.0}

    def rival(*names: str) -> str:
        made = [row(name, 0.5) for name in ("ViT", *names)]
        return evidence(made, flops).nearest("ViT", "ResNet")[0][1]

    assert rival("BiT-third", "BiT-double", "BiT-far") == "BiT-double"  # 2.1 times against 2.9 times
    assert rival("BiT-third", "BiT-far") == "BiT-third"


@pytest.mark.parametrize(
    ("value", "half", "expected"),
    [
        (0.3, 0.1, (HOLDS, FAILS, FAILS)),
        (-0.3, 0.1, (FAILS, HOLDS, FAILS)),
        (0.05, 0.1, (OPEN, OPEN, OPEN)),
        (0.005, 0.01, (OPEN, OPEN, HOLDS)),
        (0.015, 0.001, (HOLDS, FAILS, HOLDS)),  # beyond chance, and small
        (-0.019, 0.002, (FAILS, HOLDS, OPEN)),  # may be more than two points
        (-0.03, 0.002, (FAILS, HOLDS, FAILS)),
        (0.3, None, (OPEN, OPEN, OPEN)),
        (0.0, None, (OPEN, OPEN, OPEN)),
        (0.0, 0.0, (OPEN, OPEN, HOLDS)),
    ],
)
def test_above_below_and_alike(value: float, half: float | None, expected: tuple[Outcome, ...]) -> None:
    found = Interval(mean=value, half=half, count=2)
    assert (above(found), below(found), alike(found)) == expected


@pytest.mark.parametrize(
    ("claims", "outcome"),
    [
        ([HOLDS, HOLDS], HOLDS),
        ([HOLDS, OPEN], OPEN),
        ([HOLDS, OPEN, FAILS], FAILS),
        ([FAILS], FAILS),
        ([OPEN], OPEN),
        ([], OPEN),
    ],
)
def test_a_statement_holds_if_all_of_it_does(claims: list[Outcome], outcome: Outcome) -> None:
    found = verdict("s", [Claim(text=str(n), outcome=one) for n, one in enumerate(claims)])
    assert (found.statement, found.outcome) == ("s", outcome)
