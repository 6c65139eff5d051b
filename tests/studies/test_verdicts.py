"""The paper's statements on data size, held against rows made for each outcome."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tiny_study import data_scaling, diverged, row, rows
from vitascope.evaluation.interval import Interval
from vitascope.studies.analysis import Row
from vitascope.studies.evidence import Claim, Evidence, Outcome, above, alike_accuracies, below
from vitascope.studies.verdicts import STATEMENTS, Verdict, verdict, verdicts

FLOPS = {"ViT-s": 1.0, "ViT-l": 4.0, "R+V": 1.0, "BiT-s": 1.1, "BiT-l": 3.9}
SIZES = (10, 100, 1000)
BATCH = 1000  # every set is seen whole
HOLDS, FAILS, OPEN = "holds", "does not hold", "not decidable here"
NEARER: Outcome = "not reached at these sizes"

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
    for number, (model, by) in enumerate(PAPER.items()):
        for place, size in enumerate(sizes):
            tuned, few, rise = changes.get(f"{model.replace('-', '_')}_{size}", by[size])
            drawn = np.random.default_rng((number, place)).normal(size=seeds)
            offsets = (scatter * (drawn - drawn.mean())).tolist()
            made += rows(
                model,
                tuple(tuned + o for o in offsets),
                few=[few + o for o in offsets],
                rise=[rise + o for o in offsets],
                size=size,
            )
    return made


def evidence(made: list[Row], flops: dict[str, float] = FLOPS, batch: int = BATCH) -> Evidence:
    return Evidence(study=data_scaling(Path("x"), "digits", batch=batch), rows=made, flops=flops, seconds=flops)


def data_verdicts(made: list[Row], batch: int = BATCH) -> list[Verdict]:
    return verdicts(evidence(made, batch=batch))


def outcomes(made: list[Row]) -> list[Outcome]:
    return [found.outcome for found in data_verdicts(made)]


def test_what_the_paper_found_holds_on_its_own_numbers() -> None:
    found = data_verdicts(study())
    assert [one.outcome for one in found] == [HOLDS] * 6
    assert [one.statement for one in found] == list(STATEMENTS["size"])
    places = [{claim.text.split(":")[0].split(", ")[1] for claim in one.claims} for one in found]
    assert places == [
        {"10 images"},
        {"100 images"},
        {"1,000 images"},
        {"10 images"},
        {"1,000 images"},
        {"1,000 images against 10"},
    ]


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
    ("changes", "others"),
    [
        ({"ViT_l_10": (0.35, 0.15, 0.6)}, {0: FAILS}),  # the larger ViT above the smaller
        ({"ViT_s_10": (0.5, 0.20, 0.5)}, {0: FAILS, 5: FAILS}),  # a ViT above its ResNet, on which it then loses
        ({"BiT_l_100": (0.50, 0.47, 0.0)}, {1: FAILS}),  # ten points are not alike
        ({"BiT_l_1000": (0.95, 0.60, 0.0)}, {2: NEARER}),  # but the ViT comes nearer from size to size
        ({"BiT_l_10": (0.15, 0.35, 0.1), "BiT_l_1000": (0.95, 0.60, 0.0)}, {0: FAILS, 2: FAILS, 5: FAILS}),
        ({"ViT_s_1000": (0.95, 0.50, 0.0)}, {2: NEARER}),
        ({"ViT_l_10": (0.20, 0.15, 0.0)}, {3: FAILS}),  # does not overfit
        ({"ViT_l_10": (0.20, 0.40, 0.6)}, {3: FAILS}),  # is better
        ({"BiT_s_1000": (0.65, 0.85, 0.0)}, {4: NEARER, 5: FAILS}),
    ],
)
def test_each_statement_can_fail(changes: dict[str, Any], others: dict[int, Outcome]) -> None:
    assert outcomes(study(**changes)) == [others.get(number, HOLDS) for number in range(6)]


def test_scatter_that_hides_a_difference_leaves_it_undecided() -> None:
    assert outcomes(study(scatter=0.5)) == [OPEN] * 6


def test_one_seed_decides_nothing() -> None:
    found = data_verdicts(study(seeds=1))
    assert [one.outcome for one in found] == [OPEN] * 6
    claims = [claim for one in found for claim in one.claims]
    assert {claim.outcome for claim in claims} == {OPEN}
    assert not any("±" in claim.text for claim in claims)
    assert "fine-tuned, 10 images: ViT-l against ViT-s: -10.0 points" in [claim.text for claim in claims]


def test_two_sizes_have_no_middle_and_one_has_no_comparison() -> None:
    found = data_verdicts(study(sizes=(10, 1000)))
    assert [one.outcome for one in found] == [HOLDS, OPEN, HOLDS, HOLDS, HOLDS, HOLDS]
    assert found[1].claims[0].text == "only two sizes were seen whole"
    found = data_verdicts(study(sizes=(10,)))
    assert [one.outcome for one in found] == [OPEN] * 6
    assert {one.claims[0].text for one in found} == {"fewer than two sizes were seen whole"}


def test_a_set_that_is_not_seen_whole_says_nothing() -> None:
    steps = study()[0]["steps"]
    found = data_verdicts(study(), 100 // steps + 1)
    assert found[1].claims[0].text == "only two sizes were seen whole"
    assert {claim.text.split(":")[0].split(", ")[1] for claim in found[2].claims} == {"100 images"}


@pytest.mark.parametrize("kind", ["ViT", "ResNet"])
def test_one_side_alone_is_not_compared(kind: str) -> None:
    found = data_verdicts([one for one in study() if one["kind"] == kind])
    assert [one.outcome for one in found] == [OPEN] * 6
    other = {"ViT": "ResNet", "ResNet": "ViT"}[kind]
    assert {claim.text for one in found for claim in one.claims} == {f"no {other} was run"}


def test_a_single_vit_leaves_open_what_larger_ones_do() -> None:
    found = data_verdicts([one for one in study() if one["model"] != "ViT-s"])
    assert [one.outcome for one in found] == [OPEN, HOLDS, OPEN, HOLDS, HOLDS, HOLDS]
    assert not any("ViT-s" in claim.text for one in found for claim in one.claims)
    assert found[0].claims[0].text == found[2].claims[0].text == "larger ViTs: only one was run"


def test_hybrids_are_on_neither_side() -> None:
    with_hybrid = study() + rows("R+V", (0.99, 0.98), size=10)
    assert outcomes(with_hybrid) == [HOLDS] * 6


def test_what_diverged_is_not_run_and_not_decided() -> None:
    made = [one for one in study() if (one["model"], one["size"]) != ("ViT-l", 1000)]
    made += [diverged("ViT-l", size=1000, seed=seed) for seed in range(3)]
    found = data_verdicts(made)
    assert [one.outcome for one in found] == [HOLDS, HOLDS, OPEN, HOLDS, OPEN, OPEN]
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
    assert (above(found), below(found), alike_accuracies(found)) == expected


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


def planted(rng: np.random.Generator, seeds: int, gap: tuple[float, float]) -> list[Row]:
    """Two ViTs `gap` above two ResNets at a small and a large size; seeds share what their images bring."""
    made: list[Row] = []
    for place, size in enumerate((10, 1000)):
        common = rng.normal(0, 0.02, seeds)
        for model in ("ViT-s", "ViT-l", "BiT-s", "BiT-l"):
            mean = 0.5 + (gap[place] if model[0] == "V" else 0.0)
            made += rows(model, tuple(mean + common + rng.normal(0, 0.01, seeds)), size=size)
    return made


def test_verdicts_on_planted_truth_are_right_at_their_rate() -> None:
    rng, wrong, told, claims = np.random.default_rng(0), 0, 0, 0
    pairs = [("ViT-s", "BiT-s"), ("ViT-l", "BiT-l")]
    for _ in range(80):
        null = evidence(planted(rng, 4, (-0.05, -0.05)))  # no gain: either verdict on it is wrong, in 5 % by design
        found = [claim.outcome for claim in null.gains("fine-tuned", pairs)]
        wrong += sum(outcome != OPEN for outcome in found)
        claims += len(found)
        real = evidence(planted(rng, 4, (-0.05, 0.05)))
        told += sum(claim.outcome == HOLDS for claim in real.gains("fine-tuned", pairs))
        assert all(claim.outcome != FAILS for claim in real.gains("fine-tuned", pairs))
    assert 0.01 < wrong / claims < 0.11  # 160 claims, in pairs that share their scatter
    assert told / claims > 0.95


def test_a_comparison_has_one_interval_wherever_it_is_told() -> None:
    """Scatter is that of all pairs of the same kinds, whatever a statement compares besides."""
    who = evidence(planted(np.random.default_rng(3), 3, (0.0, 0.02)))
    pairs = [("ViT-l", "BiT-s"), ("ViT-l", "BiT-l")]
    alone = [who.gains("fine-tuned", [pair])[0] for pair in pairs]
    assert who.gains("fine-tuned", [*pairs, ("ViT-s", "BiT-s")])[:2] == alone
    assert who.alike(("ViT-l", "BiT-l")) == [("ViT-s", "BiT-s")]
    assert who.alike(("ViT-l", "BiT-s")) == [("ViT-s", "BiT-l")]
    assert who.alike(("ViT-l", "ViT-s")) == []


def test_what_would_decide_it_is_what_decides_it() -> None:
    """Seeds foretold from a few are enough in about half of the cases, since the difference itself is uncertain."""
    rng, enough, cases = np.random.default_rng(1), 0, 0
    for _ in range(150):
        made = planted(rng, 40, (0.006, 0.0))
        few = [row for row in made if row["seed"] < 4]
        (claim,) = evidence(few).compare("fine-tuned", [("ViT-s", "BiT-s")], 0, above)
        if claim.outcome != OPEN or claim.more_seeds is None or not 8 <= 4 + claim.more_seeds <= 40:
            continue
        cases += 1
        more = [row for row in made if row["seed"] < 4 + claim.more_seeds]
        enough += evidence(more).compare("fine-tuned", [("ViT-s", "BiT-s")], 0, above)[0].outcome == HOLDS
    assert cases > 20
    assert 0.3 < enough / cases < 0.9


def test_an_undecided_claim_says_what_would_decide_it() -> None:
    made = rows("ViT-s", (0.50, 0.56, 0.53)) + rows("BiT-s", (0.50, 0.52, 0.53))
    for one in made:
        one["seconds"] = {"pretraining": 1800.0, "finetuning": 0.0}
    made += [{**one, "size": 10} for one in made]
    (claim,) = evidence(made).compare("fine-tuned", [("ViT-s", "BiT-s")], 0, above)
    # Differences 0, 4, 0 points: mean 1.33, deviation 2.31; 15 seeds bring 2.145 × 2.31 / √15 = 1.28 below it.
    # Hours: a run of both models takes half of one each.
    assert (claim.outcome, claim.more_seeds, claim.more_hours) == (OPEN, 12, pytest.approx(12.0))
