"""Plans, budgets, folders: what a study does, leaves out and refuses."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import pytest

from tiny import FIELDS
from tiny_study import BIT, SOURCE, TINY, VIT, compute, data_scaling, do, row
from vitascope.checkpoints.run_files import write_json
from vitascope.errors import ConfigError, UserError
from vitascope.studies import study as study_module
from vitascope.studies.cells import row_file
from vitascope.studies.cost import Cost, cell_seconds
from vitascope.studies.lineup import LINEUPS, Contender
from vitascope.studies.settings import Cell, Compute, DataScaling
from vitascope.studies.study import Plan, compared, fitting, plan_study, refuse_other, run_study
from vitascope.training.observer import Observer

pytestmark = pytest.mark.usefixtures("tiny")

KEYS = ["ViT-32_8-20-4-s0", "BiT-R14x0.5-20-4-s0", "ViT-32_8-40-4-s0", "BiT-R14x0.5-40-4-s0"]


def pretend(study: DataScaling, plan: Plan, *keys: str) -> None:
    """The study was begun and these cells are done."""
    run_study(study, dataclasses.replace(plan, cells=()), lambda cell, found: None)
    for cell in plan.cells:
        if cell.key in keys:
            write_json(row_file(study.out, cell), row("ViT-32/8", 0.5))


def keys(cells: tuple[Cell, ...] | list[Cell]) -> list[str]:
    return [cell.key for cell in cells]


def test_a_plan_has_the_whole_grid_and_leaves_no_trace(tmp_path: Path, images: Path) -> None:
    study = data_scaling(tmp_path / "out", images)
    plan = plan_study(study, jobs=2)
    assert keys(plan.cells) == keys(plan.left) == KEYS
    assert (plan.dropped, plan.done, plan.jobs) == ((), frozenset(), 2)
    assert set(plan.costs) == {VIT, BIT}
    assert plan.seconds_left == pytest.approx(sum(plan.seconds.values()) / 2)
    assert not (tmp_path / "out").exists()


def test_the_estimate_counts_training_and_evaluation(images: Path) -> None:
    study = data_scaling(Path("x"), images)
    cell = Cell(contender=TINY[0], size=20, steps=4, seed=0)
    cost = Cost(parameters=1, flops=1.0, images_per_second=10.0)
    training = (4 + 2) * 8
    forward = 8 * 12 + 2 * 30 + 2 * 2 * 3  # validation; test fine-tuned and as features; shots
    assert cell_seconds(study, cell, cost, [(3, 30)]) == pytest.approx((training + forward / 3) / 10)
    further = 2 * 8 + (2 * 9 + 2 * 2 * 5) / 3
    assert cell_seconds(study, cell, cost, [(3, 30), (5, 9)]) == pytest.approx((training + forward / 3 + further) / 10)


def test_done_cells_cost_nothing(tmp_path: Path, images: Path) -> None:
    study = data_scaling(tmp_path / "out", images)
    plan = plan_study(study)
    pretend(study, plan, KEYS[0], KEYS[2])
    again = plan_study(study)
    assert again.done == {KEYS[0], KEYS[2]}
    assert keys(again.left) == [KEYS[1], KEYS[3]]
    assert again.seconds_left == pytest.approx(again.seconds[KEYS[1]] + again.seconds[KEYS[3]])
    # Exactly what is left fits.
    fitted = plan_study(study, budget=again.seconds_left * 1.001)
    assert (keys(fitted.cells), fitted.dropped) == (KEYS, ())


def test_a_budget_leaves_cells_out_from_the_end(tmp_path: Path, images: Path) -> None:
    study = data_scaling(tmp_path / "out", images)
    each = next(iter(plan_study(study).seconds.values()))  # all alike
    plan = plan_study(study, budget=each * 3.5)
    assert (keys(plan.cells), keys(plan.dropped)) == (KEYS[:3], KEYS[3:])
    assert keys(plan_study(study, budget=each * 1.75, jobs=2).cells) == KEYS[:3]


def test_a_budget_without_a_comparison_is_refused_with_the_time_it_takes(tmp_path: Path, images: Path) -> None:
    study = data_scaling(tmp_path / "out", images, steps=10_000)
    needed = sum(plan_study(study).seconds.values())
    with pytest.raises(ConfigError, match=r"time_budget 90s leaves 1 of 4 runs") as caught:
        plan_study(study, budget=90)
    assert f"the whole grid takes about {needed:.0f}s" in str(caught.value)
    with pytest.raises(ConfigError, match=f"about {needed / 2:.0f}s"):
        plan_study(study, budget=45, jobs=2)


def test_a_single_model_may_have_a_budget_that_all_of_it_fits_in(tmp_path: Path, images: Path) -> None:
    study = data_scaling(tmp_path / "out", images, models=VIT)
    assert len(plan_study(study, budget=1000).cells) == 2
    with pytest.raises(ConfigError, match="too few to compare anything"):
        plan_study(study, budget=0.1)


def cells(*places: tuple[str, int, int, int]) -> list[Cell]:
    return [
        Cell(contender=Contender(name=name, model="ViT-B/16"), size=size, steps=steps, seed=seed)
        for name, size, steps, seed in places
    ]


def test_what_fits_is_a_beginning_and_what_is_done() -> None:
    grid = cells(("a", 1, 1, 0), ("b", 1, 1, 0), ("a", 2, 1, 0), ("b", 2, 1, 0), ("a", 4, 1, 0))
    k = keys(grid)
    seconds = dict(zip(k, (1.0, 5.0, 1.0, 1.0, 1.0), strict=True))

    def fit(budget: float, *done: int) -> list[str]:
        kept, dropped = fitting(grid, frozenset(k[n] for n in done), seconds, budget)
        assert sorted(keys(kept) + keys(dropped)) == sorted(k)
        return keys(kept)

    assert fit(math.inf) == k
    assert fit(1.0) == k[:1]
    assert fit(5.9) == k[:1]  # the cheap ones behind the dear one wait for it
    assert fit(6.0) == k[:2]
    assert fit(3.0, 1) == [k[0], k[1], k[2], k[3]]
    assert fit(0.0, 4, 1) == [k[1], k[4]]  # what is done is never left out of the tables
    assert fit(0.5) == []


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        ([("a", 1, 1, 0), ("b", 1, 1, 0)], True),
        ([("a", 1, 1, 0), ("a", 2, 1, 0), ("b", 2, 2, 0)], False),
        ([("a", 1, 1, 0), ("a", 1, 1, 1)], False),
        ([("a", 1, 1, 0)], False),
        ([], False),
    ],
)
def test_what_is_a_comparison(places: list[tuple[str, int, int, int]], expected: bool) -> None:
    assert compared(cells(*places)) is expected


def test_a_fine_tuning_that_would_be_refused_is_refused_before_pre_training(tmp_path: Path, images: Path) -> None:
    with pytest.raises(ConfigError, match="lr is 0"):
        plan_study(data_scaling(tmp_path / "out", images, finetune_lr=0.0))


@pytest.mark.parametrize("jobs", [0, -1])
def test_no_jobs_do_nothing(tmp_path: Path, images: Path, jobs: int) -> None:
    with pytest.raises(ConfigError, match=f"jobs is {jobs}"):
        plan_study(data_scaling(tmp_path / "out", images), jobs=jobs)


def test_a_folder_of_something_else_is_refused(tmp_path: Path, images: Path) -> None:
    study = data_scaling(tmp_path / "out", images)
    refuse_other(study)
    (tmp_path / "out").mkdir()
    refuse_other(study)  # empty
    (tmp_path / "out" / ".settings.json.x1.tmp").touch()
    refuse_other(study)  # its own start, killed while it wrote the first file
    (tmp_path / "out" / "thesis.tex").touch()
    with pytest.raises(ConfigError, match="holds no study"):
        plan_study(study)
    with pytest.raises(ConfigError, match=r"thesis\.tex exists and holds no study"):
        plan_study(data_scaling(tmp_path / "out" / "thesis.tex", images))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"lr": 0.5}, "lr: 0.5, was 0.001"),
        ({"shots": (3,)}, r"shots: \[3\], was \[2\]"),
        ({"source": SOURCE.replace("20", "30")}, "source: "),
        ({"validation_images": 6}, "validation_images: 6, was 12"),
    ],
)
def test_a_study_goes_on_with_its_own_settings_only(
    tmp_path: Path, images: Path, changes: dict[str, Any], said: str
) -> None:
    first = data_scaling(tmp_path / "out", images)
    plan = plan_study(first)
    pretend(first, plan)
    other = data_scaling(tmp_path / "out", images, **changes)
    with pytest.raises(ConfigError, match=rf"started with other settings \({said}"):
        plan_study(other)
    with pytest.raises(ConfigError, match=said):
        run_study(other, plan, lambda cell, found: None)
    with pytest.raises(ConfigError, match="study: compute, was data-scaling"):
        plan_study(compute(tmp_path / "out", images))


def test_settings_that_came_later_were_what_they_are_by_themselves(tmp_path: Path, images: Path) -> None:
    first = data_scaling(tmp_path / "out", images)
    pretend(first, plan_study(first))
    path = tmp_path / "out" / study_module.SETTINGS
    stored = json.loads(path.read_text())
    path.write_text(
        json.dumps({n: v for n, v in stored.items() if n not in ("precision", "further_targets", "augment")})
    )
    plan_study(first)
    later: tuple[dict[str, Any], ...] = ({"precision": "bfloat16"}, {"further_targets": ("digits",)})
    for changes in later:
        (name,) = changes
        with pytest.raises(ConfigError, match=rf"started with other settings \({name}: "):
            plan_study(data_scaling(tmp_path / "out", images, **changes))


def test_a_grid_may_grow(tmp_path: Path, images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LINEUPS, "small", TINY[:1])
    do(data_scaling(tmp_path / "out", images, sizes=(20,), steps=2))
    first = tmp_path / "out" / "cells" / "ViT-32_8-20-2-s0.json"
    before = first.read_bytes()
    monkeypatch.setitem(LINEUPS, "small", (TINY[0], dataclasses.replace(TINY[0], name="ViT-two")))
    measured: list[str] = []
    real = study_module.measure_costs

    def measure(study: DataScaling, cells: list[tuple[Cell, int]], threads: int) -> dict[str, Cost]:
        measured.extend(cell.contender.name for cell, _ in cells)
        return real(study, cells, threads)

    monkeypatch.setattr(study_module, "measure_costs", measure)
    grown = data_scaling(tmp_path / "out", images, sizes=(20, 40), steps=2)
    plan = plan_study(grown)
    assert measured == ["ViT-two"]  # the other's costs are known
    done: list[str] = []
    run_study(grown, plan, lambda cell, found: done.append(cell.key))
    assert done == ["ViT-two-20-2-s0", "ViT-32_8-40-2-s0", "ViT-two-40-2-s0"]
    assert first.read_bytes() == before
    assert plan_study(grown).left == ()


def test_everybody_hears_of_each_cell_and_its_row(tmp_path: Path, images: Path) -> None:
    study = compute(tmp_path / "out", images, models=VIT, seeds=1)
    plan = plan_study(study)
    heard: list[tuple[str, dict[str, Any]]] = []
    watched: list[str] = []

    def watch(cell: Cell) -> Observer:
        watched.append(cell.key)
        return Observer()

    run_study(study, plan, lambda cell, found: heard.append((cell.key, found)), watch)
    expected = ["ViT-32_8-48-2-s0", "ViT-32_8-48-4-s0"]
    assert watched == [key for key, _ in heard] == expected
    for key, found in heard:
        assert found == json.loads((tmp_path / "out" / "cells" / f"{key}.json").read_text())
    kept = json.loads((tmp_path / "out" / "settings.json").read_text())
    assert len(kept.pop("data")) == 4
    assert kept.pop("grid")["steps"] == [2, 4]
    assert kept.pop("contenders").keys() == {VIT}
    assert kept == json.loads(json.dumps(study.kept()))


def test_a_model_may_join_but_must_stay_what_it_is(tmp_path: Path, images: Path) -> None:
    def own(**fields: Any) -> dict[str, Any]:
        return {"A": {"model": "ViT-Ti/8", **FIELDS, **fields}, "B": {"model": "ViT-Ti/8", **FIELDS}}

    def study(models: str, **changes: Any) -> Compute:
        return compute(
            tmp_path / "out", images, models=models, seeds=1, **{"steps": (2,), "own_models": own(), **changes}
        )

    do(study("A"))
    do(study("B"))  # joins; what A is stays known
    for changed in ({"own_models": own(depth=1)}, {"own_rates": {"A": {"lr": 0.1}}}):
        with pytest.raises(ConfigError, match=r"A: .*, was "):
            do(study("A,B", **changed))
    assert do(study("A,B"))["runs"] == {"done": 2, "left": 0, "dropped": []}


def test_a_row_of_another_model_with_the_same_file_name_is_not_taken(tmp_path: Path, images: Path) -> None:
    own = {name: {"model": "ViT-Ti/8", **FIELDS} for name in ("A b", "A-b")}
    do(compute(tmp_path / "out", images, models="A b", own_models=own, seeds=1, steps=(2,)))
    with pytest.raises(UserError, match="is of A b, whose name is the same for files as A-b"):
        do(compute(tmp_path / "out", images, models="A-b", own_models=own, seeds=1, steps=(2,)))
