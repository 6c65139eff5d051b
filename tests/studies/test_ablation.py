"""Ablations: what varies, verdicts on planted differences, a run of every kind, and resuming."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tiny_study
from tiny import FIELDS
from tiny_study import row, same_results
from vitascope.errors import ConfigError
from vitascope.studies import cells
from vitascope.studies import study as study_module
from vitascope.studies.ablation.figure import draw_ablation
from vitascope.studies.ablation.report import ablation_verdicts, write_ablation
from vitascope.studies.ablation.settings import Ablation
from vitascope.studies.ablation.table import ABLATIONS
from vitascope.studies.ablation.variant import Found
from vitascope.studies.evidence import Evidence, above
from vitascope.studies.study import plan_study, run_study

NAMES = tuple(ABLATIONS)


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_study.shrink(monkeypatch)


def ablation(name: str, out: Path, folder: Path | str, **changes: Any) -> Ablation:
    own = {} if name == "optimiser" else {"model_fields": FIELDS}
    given = {"steps": 2, "seeds": 1, **own, **changes}
    return Ablation(name=name, **tiny_study.values(out, folder, **given))


def do(study: Ablation) -> dict[str, Any]:
    plan = plan_study(study)
    run_study(study, plan, lambda cell, row: None)
    return write_ablation(study, plan)


def evidence(
    study: Ablation, means: dict[str, float], *, seeds: int = 3, chosen: dict[str, float] | None = None, draw: int = 1
) -> Any:
    """Rows whose few-shot and fine-tuned accuracies are `means`, plus what seeds share and a little of each run."""
    rng, rows = np.random.default_rng(draw), []
    shared = rng.normal(0, 0.03, seeds)
    for variant in study.variants:
        name = variant.contender.name
        if name not in means:
            continue
        for seed in range(seeds):
            value = means[name] + shared[seed] + rng.normal(0, 0.002)
            made = row("ViT", value, few=value, seed=seed, steps=study.steps)
            made["pretraining"]["top1"] = (chosen or means)[name]
            rows.append({**made, "model": name})
    costs = dict.fromkeys(means, 1.0)
    return Evidence(study=study, rows=rows, flops=costs, seconds=costs)


def test_intervals_hold_the_truth_as_often_as_they_say(tmp_path: Path) -> None:
    study = ablation("positions", tmp_path, "x", seeds=3)
    means = {contender.name: 0.5 + 0.01 * place for place, contender in enumerate(study.contenders[:5])}
    held = decided = 0
    for draw in range(200):
        found = Found(evidence=evidence(study, means, draw=draw), variants=study.variants, measure=study.measure)
        claim = found.compare(
            "2-D, stem",
            "1-D, every layer",
            lambda one: "holds" if abs(one.mean - 0.02) <= one.half else "does not hold",
        )
        held += claim.outcome == "holds"
        decided += found.compare("2-D, stem", "1-D, every layer", above).outcome == "holds"
    assert 0.91 < held / 200 < 0.99
    assert decided > 190  # a difference of ten times the scatter


def outcomes(study: Ablation, means: dict[str, float], **more: Any) -> list[str]:
    return [verdict.outcome for verdict in ablation_verdicts(study, evidence(study, means, **more))]


@pytest.mark.parametrize("name", NAMES)
def test_variants_have_names_of_their_own(name: str, tmp_path: Path) -> None:
    study = ablation(name, tmp_path, "x")
    names = [contender.name for contender in study.contenders]
    assert len(set(names)) == len(names) >= 6
    assert len({contender.file_name for contender in study.contenders}) == len(names)


@pytest.mark.parametrize("name", NAMES)
def test_each_can_be_planned_and_drawn(name: str, tmp_path: Path, images: Path) -> None:
    study = ablation(name, tmp_path / "out", images, validation_images=6)
    plan = plan_study(study)  # which makes every recipe
    assert len(plan.cells) == len(study.contenders)
    means = {contender.name: 0.5 for contender in study.contenders}
    drawn = draw_ablation(study, evidence(study, means)).axes[0]
    lines = {variant.group for variant in study.variants}
    assert len(drawn.containers) == (len(lines) if study.ablation.x else len(means))
    if study.ablation.x:  # no label lies over its neighbour
        drawn.figure.draw_without_rendering()
        boxes = [text.get_window_extent() for text in drawn.get_xticklabels() if text.get_text()]
        assert all(left.x1 < right.x0 for left, right in itertools.pairwise(boxes))


def quick(out: Path, images: Path) -> Ablation:
    """Every stage with and without labels, from the source and from the target."""
    return ablation("self-supervision", out, images, steps=1, finetune_steps=1, validation_images=6)


def test_stopped_and_gone_on_with_it_comes_to_the_same_tables(
    tmp_path: Path, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = quick(tmp_path / "whole", images)
    result = do(study)
    assert result["runs"]["left"] == 0
    assert not result["diverged"]
    assert {verdict["statement"] for verdict in result["verdicts"]} == set(study.ablation.statements)
    text = (tmp_path / "whole" / "README.md").read_text()
    assert all(f"| {contender.name} |" in text for contender in study.contenders)
    assert (tmp_path / "whole" / "ablation.png").is_file()
    assert "| 79.9 % |" in text  # the paper's beside ours
    real, calls = cells.few_shot, [0]

    def crash(*args: Any, **options: Any) -> Any:
        calls[0] += 1
        if calls[0] in (2, 5):
            raise KeyboardInterrupt
        return real(*args, **options)

    monkeypatch.setattr(cells, "few_shot", crash)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            do(quick(tmp_path / "out", images))
    do(quick(tmp_path / "out", images))
    same_results(tmp_path / "out", tmp_path / "whole")


def test_another_ablation_is_not_mixed_into_a_folder(tmp_path: Path, images: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    study = ablation("head", out, images)
    (out / study_module.SETTINGS).write_text(json.dumps({**study.kept(), "name": "shape"}))
    with pytest.raises(ConfigError, match="name: head, was shape"):
        plan_study(study)


def test_heads_that_want_other_rates_are_told(tmp_path: Path) -> None:
    study = ablation("head", tmp_path, "x")
    token = dict(zip((0.00025, 0.0005, 0.001, 0.002, 0.004, 0.008), (0.40, 0.45, 0.50, 0.48, 0.40, 0.3), strict=True))
    mean = dict(zip(token, (0.46, 0.501, 0.42, 0.30, 0.20, 0.1), strict=True))
    means = {f"class token, {rate:g}": value for rate, value in token.items()}
    means |= {f"mean of patches, {rate:g}": value for rate, value in mean.items()}
    assert outcomes(study, means) == ["holds", "holds"]
    at_an_end = outcomes(study, means | {"mean of patches, 0.00025": 0.6})
    assert at_an_end == ["not decidable here", "not decidable here"]
    unrun = {name: value for name, value in means.items() if not name.endswith((" 0.002", " 0.004", " 0.008"))}
    assert outcomes(study, unrun | {"mean of patches, 0.001": 0.6})[0] == "not decidable here"
    same = {name: value for name, value in means.items() if "class" in name}
    same |= {name.replace("class token", "mean of patches"): value - 0.05 for name, value in same.items()}
    assert outcomes(study, same) == ["does not hold", "does not hold"]
    assert outcomes(study, same, seeds=1)[1] == "not decidable here"


def test_a_head_is_chosen_on_images_that_it_is_not_judged_on(tmp_path: Path) -> None:
    study = ablation("head", tmp_path, "x")
    means = {contender.name: 0.4 for contender in study.contenders} | {"mean of patches, 0.004": 0.9}
    chosen = dict.fromkeys(means, 0.3) | {"mean of patches, 0.0005": 0.5, "class token, 0.001": 0.5}
    verdict = ablation_verdicts(study, evidence(study, means, chosen=chosen))[0]
    assert "mean of patches, 0.0005 against class token, 0.001" in verdict.claims[0].text
    assert verdict.outcome == "holds"


def test_positions_are_compared_with_none_and_with_each_other(tmp_path: Path) -> None:
    study = ablation("positions", tmp_path, "x")
    means = {contender.name: 0.5 for contender in study.contenders}
    assert outcomes(study, means | {"none": 0.4}) == ["holds"] * 3
    assert outcomes(study, means | {"2-D, stem": 0.6})[1:] == ["does not hold", "does not hold"]
    assert outcomes(study, means | {"none": 0.6})[0] == "does not hold"
    assert study.contenders[0].fields["positions"] == "none"


def test_optimisers_are_compared_at_their_best_rates(tmp_path: Path) -> None:
    study = ablation("optimiser", tmp_path, "x")
    means = {c.name: 0.51 if c.name.endswith((" 0.003", " 0.15")) else 0.5 for c in study.contenders}
    better = means | {"ResNet-11, Adam, 0.003": 0.6, "ResNet-20, Adam, 0.003": 0.6}
    assert outcomes(study, better) == ["holds"]
    assert outcomes(study, better | {"ResNet-20, SGD, 0.15": 0.7}) == ["does not hold"]
    assert outcomes(study, better | {"ResNet-20, SGD, 1.5": 0.55}) == ["not decidable here"]  # tried no further
    assert outcomes(study, better, seeds=1) == ["not decidable here"]


def test_shapes_are_compared_with_the_base(tmp_path: Path) -> None:
    study = ablation("shape", tmp_path, "x")
    means = {contender.name: 0.5 for contender in study.contenders}
    paper = {
        "depth × 2": 0.55,
        "depth × 4": 0.58,
        "width × 2": 0.52,
        "patch × ½": 0.6,
        "patch × 2": 0.4,
        "all × ½": 0.3,
    }
    assert outcomes(study, means | paper) == ["holds"] * 4
    assert outcomes(study, means | paper | {"width × 2": 0.62, "patch × ½": 0.45})[1:3] == ["does not hold"] * 2


def test_masked_images_are_compared_with_labels_and_none(tmp_path: Path) -> None:
    study = ablation("self-supervision", tmp_path, "x")
    means = {contender.name: 0.5 for contender in study.contenders}
    paper = {"from scratch": 0.3, "labels": 0.7, "4×4 colours, 50 % hidden": 0.45, "pixels, 50 % hidden": 0.44}
    assert outcomes(study, means | paper | {"mean colour, 15 % hidden": 0.47}) == ["holds"] * 4
    assert outcomes(study, means | paper | {"from scratch": 0.8})[:2] == ["does not hold", "holds"]


def test_without_rows_nothing_is_said(tmp_path: Path) -> None:
    assert set(outcomes(ablation("shape", tmp_path, "x"), {})) == {"not decidable here"}


def test_one_target_is_all_that_one_from_scratch_begins_with(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="leave out further_targets"):
        ablation("self-supervision", tmp_path, "x", further_targets=("y",))
    ablation("head", tmp_path, "x", further_targets=("y",))


def test_one_that_learns_from_the_target_has_its_images(tmp_path: Path) -> None:
    study = ablation("self-supervision", tmp_path, "target", target_images=15)
    assert study.sources == (tiny_study.SOURCE, "target")
    of_target = [cell for cell in study.grid(48, 15) if cell.source]
    assert [(cell.contender.name, cell.size) for cell in of_target] == [("from scratch", 15)]
    assert ablation("self-supervision", tmp_path, "target").grid(10, 30)[0].size == 30  # the source may have fewer


@pytest.mark.parametrize(
    ("name", "changes", "said"),
    [
        ("heads", {}, "no ablation 'heads'; did you mean 'head'"),
        ("head", {"rates": (0.1, 0.2)}, "the variants of head have rates already"),
        ("shape", {"model_fields": {**FIELDS, "depth": 1}}, "depth × ½ has depth 0.5, expected a whole number"),
        ("shape", {"image_size": 12}, "12×12 is not divisible by 8"),
        ("optimiser", {"model": "BiT-R50x1"}, "the models of optimiser are its own; leave out --model"),
    ],
)
def test_what_cannot_be_is_refused(name: str, changes: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=said):
        ablation(name, tmp_path, "x", **changes)


def test_more_images_than_there_are_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="give another --size"):
        ablation("head", tmp_path, "x", size=50).grid(48)


def test_another_model_is_taken_as_the_catalogue_has_it(tmp_path: Path) -> None:
    study = Ablation(name="head", **tiny_study.values(tmp_path, "x", model="ViT-S/16"))
    assert all("width" not in variant.contender.fields for variant in study.variants)
