"""Groups that the user says, in training and in teaching: never on both sides, and part of what a run is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import vitascope as vs
from tiny import finetune_recipe, pixels, pretrain_recipe
from vitascope.data.open import open_data
from vitascope.errors import ConfigError, DataError
from vitascope.evaluation.fewshot import Ridge
from vitascope.evaluation.forecast import forecast
from vitascope.recipes.asked import Teach
from vitascope.recipes.prepare import prepare_data
from vitascope.recipes.pretrain import pretrain
from vitascope.recipes.sweep import finetune_with_sweep
from vitascope.recipes.teach import teach_run
from vitascope.teaching.known import read_taught
from vitascope.teaching.lesson import Lesson

GROUP = r"(plant\d+)-"


pytestmark = pytest.mark.usefixtures("cold_cache", "no_pictures")


def plants(folder: Path, n: int = 48, seed: int = 0, first: int = 0) -> Path:
    """Class folders of photographs, four of each plant."""
    for i, (image, label) in enumerate(zip(*pixels(n, seed), strict=True)):
        (folder / "abc"[label]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / "abc"[label] / f"plant{first + i // 4}-{i}.png")
    return folder


def plants_of(source: Any) -> set[str]:
    return {Path(source.describe(i)).name.split("-")[0] for i in range(len(source))}


def taught(start: str | Path, data: Path | None, out: Path, **options: Any) -> Lesson:
    where = None if data is None else str(data)
    return teach_run(Teach(checkpoint=str(start), data=where, out=str(out), device="cpu", **options))


def test_no_plant_is_on_both_sides_of_a_hold_out(tmp_path: Path) -> None:
    recipe = pretrain_recipe(tmp_path / "run", data=str(plants(tmp_path / "data")), holdout=0.3, group=GROUP)
    data = prepare_data(recipe)
    assert not plants_of(data.train) & plants_of(data.validation)
    assert len(data.train) + len(data.judged["validation"]) == 48


def test_it_is_a_part_of_what_a_run_is(tmp_path: Path) -> None:
    data = str(plants(tmp_path / "data"))
    recipe = pretrain_recipe(tmp_path / "run", data=data, holdout=0.3, group=GROUP)
    pretrain(recipe)
    lines = (tmp_path / "run" / "metrics.jsonl").read_bytes()
    pretrain(recipe, resume=True)
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == lines
    with pytest.raises(ConfigError, match="group"):
        pretrain(pretrain_recipe(tmp_path / "run", data=data, holdout=0.3), resume=True)
    with pytest.raises(DataError, match="does not say the group of 48 images"):
        pretrain(pretrain_recipe(tmp_path / "other", data=data, holdout=0.3, group="patient"))
    unlabelled = pretrain_recipe(
        tmp_path / "masked", data=data, holdout=0.3, group=GROUP, objective="masked", mlp_head=True
    )
    found = prepare_data(unlabelled, labels=False)
    assert not plants_of(found.train) & plants_of(found.validation)


def test_a_sweep_chooses_on_other_plants(tmp_path: Path) -> None:
    data = str(plants(tmp_path / "data"))
    run = pretrain(pretrain_recipe(tmp_path / "start", data=data, holdout=0.3, group=GROUP))
    recipe = finetune_recipe(
        tmp_path / "run", run, data=data, holdout=0.3, group=GROUP, sweep=True, sweep_rates=(0.01, 0.1), steps=2
    )
    finetune_with_sweep(recipe)
    found = json.loads((tmp_path / "run" / "sweep" / "results.json").read_text())
    assert found["validation"]["images"] % 4 == 0


def test_whole_plants_are_left_out_as_if_they_had_not_been_taught(start: str, tmp_path: Path) -> None:
    lesson = taught(start, plants(tmp_path / "data"), tmp_path / "run", group=GROUP)
    known, head = lesson.known, lesson.head
    ridge = Ridge.of(known.features, known.targets)
    x = ridge.scale.rows(known.features)
    plant = np.array([Path(name).name.split("-")[0] for name in known.names])
    for name in np.unique(plant):
        rest = plant != name
        a = x[rest].T @ x[rest] + head.l2 * np.eye(x.shape[1])
        expected = x[~rest] @ np.linalg.solve(a, x[rest].T @ known.targets[rest])
        assert np.abs(head.left_out[~rest] * head.temperature - expected).max() < 1e-6
    assert lesson.results["group"] == GROUP
    alone = taught(start, tmp_path / "data", tmp_path / "alone")
    assert (alone.head.left_out != head.left_out).any()


def test_what_is_added_joins_the_plants_that_are_known(start: str, tmp_path: Path) -> None:
    taught(start, plants(tmp_path / "one"), tmp_path / "run", group=GROUP)
    more = plants(tmp_path / "two", 24, seed=1, first=9)  # of which three plants are known
    both = taught(tmp_path / "run", more, tmp_path / "both")
    assert both.results["group"] == GROUP
    assert len(np.unique(both.known.groups)) == 15
    for path in sorted(more.rglob("*.png")):
        path.rename(tmp_path / "one" / path.parent.name / f"{path.stem}x.png")
    whole = taught(start, tmp_path / "one", tmp_path / "whole", group=GROUP)
    assert both.head.l2 == whole.head.l2
    assert both.results["loo_top1"] == whole.results["loo_top1"]
    assert np.abs(np.sort(both.head.left_out, axis=0) - np.sort(whole.head.left_out, axis=0)).max() < 1e-6
    kept = read_taught(tmp_path / "both")
    assert kept is not None
    assert kept[0].keys is not None
    fewer = taught(tmp_path / "both", None, tmp_path / "fewer", forget=("a",))
    assert fewer.results["group"] == GROUP
    with pytest.raises(ConfigError, match="was taught with --group"):
        taught(tmp_path / "both", more.parent / "one", tmp_path / "no", group="plant")
    taught(start, tmp_path / "one", tmp_path / "plain")
    with pytest.raises(ConfigError, match="was taught without --group"):
        taught(tmp_path / "plain", tmp_path / "one", tmp_path / "no", group=GROUP)


def test_one_group_teaches_nothing_of_others(start: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="all images are of one group"):
        taught(start, plants(tmp_path / "data"), tmp_path / "run", group="plant")
    source = open_data(str(tmp_path / "data")).train
    assert source is not None
    with pytest.raises(DataError, match="does not say"):
        vs.teach(vs.load(start), source, group="animal")
    assert vs.teach(vs.load(start), source, group=GROUP, device="cpu").card["results"]["group"] == GROUP


def test_a_forecast_counts_groups() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 400)
    features = labels[:, None] + 1.5 * rng.normal(size=(400, 5))
    left_out = np.stack([-features.mean(axis=1), features.mean(axis=1) - 1], axis=1)
    alone, _ = forecast(features, labels, left_out, np.arange(400))
    grouped, _ = forecast(features, labels, left_out, np.arange(400) // 4)
    widths = [told[0].interval[1] - told[0].interval[0] for told in (alone, grouped)]
    assert widths[1] > 1.3 * widths[0], "of a hundred groups less is known than of four hundred images"
    assert forecast(features, labels, left_out, np.arange(400) // 20)[0] == []
