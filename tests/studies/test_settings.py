"""Settings of the studies that train: grids, what is refused, and what must stay as it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tiny_study import SOURCE, values
from vitascope.errors import ConfigError
from vitascope.studies.settings import Cell, Compute, DataScaling, passes

TWO = "ViT-128/8,BiT-R14x½"


def scaling(**changes: Any) -> DataScaling:
    return DataScaling(**values(Path("x"), "digits", **{"models": TWO, **changes}))


def budgets(**changes: Any) -> Compute:
    return Compute(**values(Path("x"), "digits", **{"models": TWO, **changes}))


def short(cells: list[Cell]) -> list[tuple[str, int, int, int]]:
    return [(cell.contender.name[:3], cell.size, cell.steps, cell.seed) for cell in cells]


def test_seed_0_of_all_sizes_comes_first() -> None:
    grid = scaling(sizes=(40, 20), seeds=(2,), steps=7).grid(48)
    assert short(grid) == [
        ("ViT", 20, 7, 0),
        ("BiT", 20, 7, 0),
        ("ViT", 40, 7, 0),
        ("BiT", 40, 7, 0),
        ("ViT", 20, 7, 1),
        ("BiT", 20, 7, 1),
        ("ViT", 40, 7, 1),
        ("BiT", 40, 7, 1),
    ]


def test_each_size_may_have_its_own_number_of_seeds() -> None:
    grid = scaling(models="ViT-128/8", sizes=(10, 20, 40), seeds=(3, 2, 1), steps=7).grid(48)
    assert [(cell.size, cell.seed) for cell in grid] == [(10, 0), (20, 0), (40, 0), (10, 1), (20, 1), (10, 2)]
    with pytest.raises(ConfigError, match="seeds has 2 numbers for 3 sizes"):
        scaling(sizes=(10, 20, 40), seeds=(3, 2)).grid(48)


@pytest.mark.parametrize(("images", "sizes"), [(1600, [100, 400, 1600]), (20, [2, 5, 20]), (5, [2, 5]), (2, [2])])
def test_sizes_are_quarters_by_default(images: int, sizes: list[int]) -> None:
    assert sorted({cell.size for cell in scaling().grid(images)}) == sizes


def test_all_of_the_source_may_be_asked_for_and_not_one_more() -> None:
    assert scaling(sizes=(20, 48)).grid(48)[-1].size == 48
    with pytest.raises(ConfigError, match=r"sizes has 49, but fractals.* has 48 images .* besides 12 for validation"):
        scaling(sizes=(20, 49)).grid(48)


def test_seeds_go_with_their_sizes() -> None:
    grid = scaling(models="ViT-128/8", sizes=(20, 10), seeds=(1, 2)).grid(48)
    assert [(cell.size, cell.seed) for cell in grid] == [(10, 0), (20, 0), (10, 1)]


def test_further_sources_take_the_place_of_sizes() -> None:
    study = scaling(further=("b", "c"), seeds=(1,), models="ViT-128/8", steps=3)
    assert study.sources == (SOURCE, "b", "c")
    grid = study.grid(10, 30, 90)
    assert [(cell.source, cell.size, cell.key) for cell in grid] == [
        (0, 10, "ViT-128_8-10-3-s0"),
        (1, 30, "ViT-128_8-30-3-s0-d1"),
        (2, 90, "ViT-128_8-90-3-s0-d2"),
    ]
    for sizes in ((10, 90, 30), (10, 10, 90)):
        with pytest.raises(ConfigError, match="ascending order of size"):
            study.grid(*sizes)
    with pytest.raises(ConfigError, match="only one of them"):
        scaling(further=("b",), sizes=(10,))


def test_shorter_runs_of_all_models_come_before_longer_ones() -> None:
    grid = budgets(steps=(8, 2), seeds=2).grid(48)
    assert short(grid)[:4] == [("ViT", 48, 2, 0), ("BiT", 48, 2, 0), ("ViT", 48, 8, 0), ("BiT", 48, 8, 0)]
    assert [cell.seed for cell in grid] == [0] * 4 + [1] * 4
    assert {cell.size for cell in budgets(size=30).grid(48)} == {30}
    for size in (49, 1):
        with pytest.raises(ConfigError, match=f"size is {size}, but .* has 48 images"):
            budgets(size=size).grid(48)


def test_keys_tell_all_cells_apart_and_are_names_of_files() -> None:
    whole = scaling(models="small", sizes=(10, 20), seeds=(2,)).grid(48)
    keys = [cell.key for cell in [*whole, *budgets(models="paper", image_size=32, steps=(3, 5)).grid(48)]]
    assert len(set(keys)) == len(keys)
    assert all(key.isascii() and "/" not in key for key in keys)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"sizes": (1,)}, "sizes is"),
        ({"sizes": (20, 20)}, "each once"),
        ({"seeds": ()}, "seeds is"),
        ({"seeds": (2, 0)}, "seeds is"),
        ({"steps": 0}, "steps is 0"),
        ({"batch": 0}, "batch is 0"),
        ({"validation_images": 0}, "validation_images is 0"),
        ({"finetune_steps": 0}, "finetune_steps is 0"),
        ({"draws": 0}, "draws is 0"),
        ({"test_images": 0}, "test_images is 0"),
        ({"shots": ()}, "shots is"),
        ({"shots": (0,)}, "shots is"),
        ({"shots": (5, 5)}, "shots is .* each once"),
        ({"models": "ViT-127/8"}, "ViT-127/8"),
        ({"image_size": 20}, "image_size"),
        ({"finetune_size": 20}, "image_size"),
        ({"finetune_size": 0}, "image_size"),
    ],
)
def test_what_cannot_be_is_refused_at_once(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        scaling(**changes)


@pytest.mark.parametrize(
    ("changes", "said"), [({"steps": ()}, "steps is"), ({"steps": (4, 4)}, "each once"), ({"seeds": 0}, "seeds is 0")]
)
def test_what_cannot_be_of_compute_is_refused_at_once(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        budgets(**changes)


def test_what_must_stay_leaves_the_grid_out() -> None:
    first = scaling(sizes=(10, 20), seeds=(1,), steps=4).kept()
    grown = scaling(sizes=(10, 20, 40), seeds=(3,), steps=8)
    assert DataScaling(**{**vars(grown), "models": "small", "out": "y"}).kept() == first
    for name, value in {"lr": 0.1, "finetune_steps": 9, "target": "mnist", "shots": (3,), "test_images": 9}.items():
        assert scaling(**{name: value}).kept() != first, name
    assert budgets().kept()["study"] != first["study"]
    assert not {"sizes", "seeds", "steps", "size", "models", "out"} & set(budgets().kept())


def test_eight_looks_at_the_validation_images() -> None:
    study = scaling()
    for steps, every in ((4, 1), (8, 1), (9, 2), (16, 2), (10_000, 1250)):
        assert study.every(steps) == every
        assert steps / every <= study.evaluations


def test_passes_are_images_seen_against_images_there_are() -> None:
    assert [passes(scaling(), size, 10) for size in (20, 80, 160)] == [4.0, 1.0, 0.5]


def test_passes_may_be_asked_for_in_place_of_steps_which_are_the_most() -> None:
    grid = scaling(models="ViT-128/8", sizes=(16, 40, 48), seeds=(1,), epochs=2.5, steps=14).grid(48)
    assert [(cell.size, cell.steps) for cell in grid] == [(16, 5), (40, 13), (48, 14)]


def test_models_of_ones_own() -> None:
    own = {"ViT-96/4": {"model": "ViT-Ti/4", "width": 96, "heads": 3}, "R": {"model": "BiT-R50x1", "units": [1, 1]}}
    study = scaling(models="R,ViT-128/8,ViT-96/4", own_models=own)
    assert [(c.name, c.model, c.kind) for c in study.contenders] == [
        ("R", "BiT-R50x1", "ResNet"),
        ("ViT-128/8", "ViT-128/8", "ViT"),
        ("ViT-96/4", "ViT-Ti/4", "ViT"),
    ]
    assert study.contenders[2].fields == {"width": 96, "heads": 3}
    for wrong, said in (
        ({"x": {"width": 3}}, "own_models has x"),
        ({"x": {"model": "ViT-Ti/4", "height": 3}}, "height"),
        ({"x": 3}, "own_models has x: 3"),
    ):
        with pytest.raises(ConfigError, match=said):
            scaling(models="x", own_models=wrong)


def test_own_rates_go_before_those_of_all() -> None:
    study = scaling(lr=0.1, finetune_lr=0.2, own_rates={"ViT-128/8": {"lr": 0.3}})
    assert [study.rate(name, "lr") for name in ("ViT-128/8", "BiT-R14x½")] == [0.3, 0.1]
    assert study.rate("ViT-128/8", "finetune_lr") == 0.2
    for wrong in ({"a": {"rate": 1.0}}, {"a": {"lr": 0.0}}, {"a": 3}, {"a": {"lr": 0.1}}):
        with pytest.raises(ConfigError, match="own_rates has a"):
            scaling(own_rates=wrong)
