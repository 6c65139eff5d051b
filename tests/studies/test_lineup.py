"""Line-ups: all of them exist, know their side, and cost what is promised of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tiny_study import values
from vitascope.errors import ConfigError
from vitascope.models.catalogue import forward_flops, model_config, model_names
from vitascope.recipes.pretrain import pretraining_config
from vitascope.studies.cells import pretrain_recipe
from vitascope.studies.lineup import LINEUPS, lineup
from vitascope.studies.settings import Cell, DataScaling


@pytest.mark.parametrize("group", LINEUPS)
def test_every_line_up_is_in_the_catalogue_and_has_all_kinds(group: str) -> None:
    contenders = lineup(group)
    names = [contender.name for contender in contenders]
    assert len(set(names)) == len(names)
    for contender in contenders:
        model_config(contender.model, **contender.fields)
    assert {contender.kind for contender in contenders} == {"ViT", "hybrid", "ResNet"}
    assert sum(contender.kind == "ViT" for contender in contenders) >= 2  # larger and smaller are compared


@pytest.mark.parametrize("group", LINEUPS)
def test_what_a_study_prints_is_a_name_that_commands_take(group: str) -> None:
    names = [contender.name for contender in lineup(group)]
    assert names == [contender.model for contender in lineup(group)]
    assert not any(contender.fields for contender in lineup(group))
    assert set(names) <= set(model_names())


def test_kinds() -> None:
    kinds = {contender.name: contender.kind for contender in lineup("small")}
    assert kinds == {
        "ViT-128/8": "ViT",
        "ViT-256/8": "ViT",
        "R+ViT-128/8": "hybrid",
        "BiT-R14x½": "ResNet",
        "BiT-R50x½": "ResNet",
    }


def test_names_may_be_of_line_ups_and_of_the_catalogue() -> None:
    small, catalogue = lineup("ViT-128/8, BiT-R50x1")
    assert small in LINEUPS["small"]
    assert (catalogue.name, catalogue.model, catalogue.fields) == ("BiT-R50x1", "BiT-R50x1", {})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ViT-128/8,ViT-127/8", "ViT-127/8"),
        ("smal", "smal"),
        ("", "''"),
        ("ViT-128/8,", "''"),
        ("ViT-128/8,BiT-R50x1,ViT-128/8", "each once"),
        ("BiT-R50x0.5,BiT-R50x½", "each once"),
        ("ViT-128/8,ViT-127/8", "besides there are small, paper"),
    ],
)
def test_what_is_unknown_or_doubled_is_refused(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        lineup(text)
    assert "\n" not in str(caught.value)


def test_a_half_is_one_name() -> None:
    assert lineup("BiT-R50x0.5") == lineup("BiT-R50x½")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("small", "own_models has A, B, of which models 'small' has none"),
        ("A,B", "own_models has B: .* leave image_size out"),
        ("C", "besides there are small, paper, A, B"),
    ],
)
def test_own_models_that_say_nothing_are_refused(text: str, said: str) -> None:
    size = {"image_size": 16} if "B" in text else {}
    with pytest.raises(ConfigError, match=said):
        lineup(text, {"A": {"model": "ViT-Ti/4"}, "B": {"model": "ViT-Ti/4", **size}})


def test_the_costs_of_small_are_what_its_comment_promises() -> None:
    study = DataScaling(**values(Path("x"), "digits", image_size=32))
    flops = {
        contender.name: forward_flops(
            pretraining_config(
                pretrain_recipe(study, Cell(contender=contender, size=20, steps=4, seed=0), Path("unused")), 10
            )
        )
        for contender in LINEUPS["small"]
    }
    base = flops["ViT-128/8"]
    assert base == pytest.approx(0.04e9, rel=0.1)
    assert flops["R+ViT-128/8"] == pytest.approx(base, rel=0.1)
    assert flops["BiT-R50x½"] == pytest.approx(base, rel=0.1)
    assert flops["ViT-256/8"] == pytest.approx(4 * base, rel=0.1)
    assert flops["BiT-R14x½"] == pytest.approx(base / 3, rel=0.2)
