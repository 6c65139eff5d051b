"""The paper's statements on computation, and the operations they are judged by."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
import torch

from tiny_study import compute, diverged, rows
from vitascope.models.catalogue import forward_flops, model_config
from vitascope.studies import cost
from vitascope.studies.analysis import Row
from vitascope.studies.evidence import Evidence, Outcome
from vitascope.studies.saving import least_compute, saving
from vitascope.studies.verdicts import Verdict, verdicts

FLOPS = {"ViT-s": 1.0, "ViT-l": 4.0, "R+V": 1.0, "BiT-s": 2.0}
HOLDS, FAILS, OPEN = "holds", "does not hold", "not decidable here"


def evidence(made: list[Row], flops: dict[str, float] = FLOPS) -> Evidence:
    return Evidence(study=compute(Path("x"), "digits", batch=8), rows=made, flops=flops, seconds=flops)


def test_a_training_step_is_three_forward_passes_an_image() -> None:
    assert evidence([]).operations("ViT-l", 10) == 3 * 4.0 * 10 * 8


def compute_verdicts(made: list[Row], flops: dict[str, float] = FLOPS) -> list[Verdict]:
    return verdicts(evidence(made, flops))


@pytest.mark.parametrize("patch", [4, 8])
def test_operations_of_a_small_vit_are_those_of_the_formula(patch: int) -> None:
    side, width, depth, hidden, classes = 16, 32, 2, 48, 7
    config = model_config(
        "ViT-Ti/16", image_size=side, patch=patch, width=width, depth=depth, heads=2, hidden=hidden, classes=classes
    )
    patches = (side // patch) ** 2
    tokens = patches + 1
    products = patches * 3 * patch**2 * width  # embedding
    products += depth * tokens * (4 * width**2 + 2 * width * hidden)  # q, k, v, out; MLP
    products += depth * 2 * tokens**2 * width  # scores, and their sums
    products += width * classes
    assert forward_flops(config) == 2 * products


def test_the_rate_is_of_at_least_one_step_and_leaves_threads_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vitascope.training.speed._MEASURED", 0.0)  # as if a single step took longer
    before = torch.get_num_threads()
    config = model_config("ViT-Ti/8", image_size=16, width=32, depth=1, heads=2, hidden=48, classes=3)
    rate = cost.training_rate(config, 2, before + 1)
    assert 0 < rate < 1e6
    assert torch.get_num_threads() == before


def test_what_compiling_takes_is_not_part_of_the_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = [0]

    def slow_at_first(model: torch.nn.Module) -> Callable[[torch.Tensor], torch.Tensor]:
        def run(images: torch.Tensor) -> torch.Tensor:
            calls[0] += 1
            time.sleep(1.0 if calls[0] == 1 else 0.0)
            return cast("torch.Tensor", model(images))

        return run

    monkeypatch.setattr(torch, "compile", slow_at_first)
    monkeypatch.setattr("vitascope.training.speed._MEASURED", 0.0)
    config = model_config("ViT-Ti/8", image_size=16, width=32, depth=1, heads=2, hidden=48, classes=3)
    assert cost.training_rate(config, 8, 1, compile=True) > 8
    assert calls == [2]


def test_least_computation_is_interpolated_over_the_logarithm() -> None:
    curves = [[(1.0, 0.2), (16.0, 0.6)], [(8.0, 0.5), (32.0, 0.9)]]
    assert least_compute(curves, 0.2) == 1.0
    assert least_compute(curves, 0.1) == 1.0  # reached before the first run
    assert least_compute(curves, 0.4) == pytest.approx(4.0)
    assert least_compute(curves, 0.55) == pytest.approx(8.0 * 4 ** (0.05 / 0.4))  # the second curve is cheaper there
    assert least_compute(curves, 0.9) == pytest.approx(32.0)
    assert least_compute(curves, 0.91) == math.inf
    assert least_compute([], 0.5) == math.inf
    assert least_compute([[(1.0, 0.5), (4.0, 0.3), (16.0, 0.7)]], 0.5) == 1.0  # the first time counts
    assert least_compute([[(1.0, 0.2), (4.0, 0.6), (16.0, 0.4)]], 0.4) == pytest.approx(2.0)


def test_the_saving_of_a_curve_that_is_shifted_by_two_is_two() -> None:
    ours = [(1.0, 0.2), (4.0, 0.5), (16.0, 0.6)]
    assert saving([ours], [[(2.0 * x, y) for x, y in ours]]) == 2


def test_only_accuracies_that_both_reach_are_compared() -> None:
    ours = [[(1.0, 0.2), (4.0, 0.5)]]
    theirs = [[(2.0, 0.4), (8.0, 0.7)]]
    # At 0.4 and 0.5 both; ours needs 4^(2/3) and 4, theirs 2 and 2·4^(1/3): the ratio is 2^(−1/3) all along.
    assert saving(ours, theirs) == pytest.approx(2 ** (-1 / 3))


def test_accuracies_that_do_not_overlap_decide_nothing() -> None:
    assert saving([[(1.0, 0.2), (4.0, 0.3)]], [[(2.0, 0.4), (8.0, 0.5)]]) is None
    assert saving([], [[(1.0, 0.2)]]) is None
    assert saving([[(1.0, 0.2)]], []) is None


def resnets(factor: float, scatter: float = 1e-4, seeds: int = 2) -> list[Row]:
    """Two models with the same accuracies at the same steps, one `factor` times as costly, by FLOPS."""
    made: list[Row] = []
    for model in ("ViT-s", "BiT-s"):
        for steps, mean in ((10, 0.2), (40, 0.5)):
            found = tuple(mean + scatter * (seed - (seeds - 1) / 2) for seed in range(seeds))
            made += rows(model, found, steps=steps)
    return made


@pytest.mark.parametrize(("factor", "outcome"), [(4.0, HOLDS), (1.9, OPEN), (1.1, OPEN), (0.9, FAILS), (0.25, FAILS)])
def test_what_saving_is_enough(factor: float, outcome: Outcome) -> None:
    found = compute_verdicts(resnets(factor), {"ViT-s": 1.0, "BiT-s": factor})[0]
    assert found.outcome == outcome
    assert found.claims[0].text.startswith(f"ResNets need {factor:.2g} times the computation of ViTs")


def test_a_saving_within_the_scatter_is_not_decided() -> None:
    costs = {"ViT-s": 1.0, "BiT-s": 4.0}
    assert compute_verdicts(resnets(4.0, scatter=0.1), costs)[0].outcome == OPEN
    one_seed = compute_verdicts(resnets(4.0, seeds=1), costs)[0]
    assert (one_seed.outcome, one_seed.claims[0].text.endswith("accuracy")) == (OPEN, True)


# Fine-tuned accuracy by model and steps, for which all that the paper says holds.
PAPER: dict[str, dict[int, float]] = {
    "ViT-s": {10: 0.30, 40: 0.50, 160: 0.60},
    "ViT-l": {10: 0.40, 40: 0.60, 160: 0.70},
    "R+V": {10: 0.40, 40: 0.55, 160: 0.60},
    "BiT-s": {10: 0.25, 40: 0.40, 160: 0.50},
}


def study(*, seeds: int = 3, scatter: float = 0.001, **changes: float) -> list[Row]:
    made: list[Row] = []
    for model, by in PAPER.items():
        for steps, value in by.items():
            mean = changes.get(f"{model.replace('-', '_').replace('+', '')}_{steps}", value)
            found = tuple(mean + scatter * (seed - (seeds - 1) / 2) for seed in range(seeds))
            made += rows(model, found, steps=steps)
    return made


def outcomes(made: list[Row]) -> list[str]:
    return [found.outcome for found in compute_verdicts(made)]


def test_what_the_paper_found_holds_on_such_numbers() -> None:
    found = compute_verdicts(study())
    assert [one.outcome for one in found] == [HOLDS] * 3
    assert [claim.text.split(": ")[1] for claim in found[1].claims] == ["R+V against ViT-s"] * 2
    assert [claim.text.split(":")[0] for claim in found[1].claims] == ["fine-tuned, 10 steps", "fine-tuned, 160 steps"]
    assert [claim.text.split(": ")[1] for claim in found[2].claims] == [
        "ViT-s, 160 steps against 40",
        "ViT-l, 160 steps against 40",
    ]


@pytest.mark.parametrize(
    ("changes", "failing"),
    [
        ({"BiT_s_10": 0.60, "BiT_s_40": 0.65, "BiT_s_160": 0.70}, 0),
        ({"RV_10": 0.20}, 1),
        ({"RV_160": 0.80}, 1),
        ({"ViT_l_160": 0.55}, 2),  # falls again
    ],
)
def test_each_statement_can_fail(changes: dict[str, Any], failing: int) -> None:
    expected = [FAILS if number == failing else HOLDS for number in range(3)]
    assert outcomes(study(**changes)) == expected


def test_a_vit_that_stays_where_it_was_is_not_known_to_grow() -> None:
    assert outcomes(study(ViT_l_160=0.60))[2] == OPEN


def test_one_seed_decides_no_difference() -> None:
    assert outcomes(study(seeds=1)) == [OPEN] * 3


def test_what_was_not_run_is_not_decided() -> None:
    found = compute_verdicts([one for one in study() if one["kind"] != "hybrid"])
    assert [one.outcome for one in found] == [HOLDS, OPEN, HOLDS]
    assert found[1].claims[0].text == "no hybrid was run"
    assert outcomes([one for one in study() if one["steps"] == 10]) == [OPEN] * 3
    assert outcomes([one for one in study() if one["kind"] != "ViT"]) == [OPEN] * 3
    assert outcomes([one for one in study() if one["kind"] != "ResNet"]) == [OPEN, HOLDS, HOLDS]


def test_a_side_of_which_every_run_diverged_is_not_decidable() -> None:
    made = [one for one in study() if one["kind"] != "ResNet"]
    made += [diverged("BiT-s", steps=steps) for steps in (10, 40, 160)]
    assert outcomes(made) == [OPEN, HOLDS, HOLDS]
    made = [one for one in study() if one["model"] != "ViT-l" or one["steps"] != 40]
    assert compute_verdicts(made)[2].claims[1].text.endswith("not run, or diverged")
