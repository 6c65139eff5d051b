"""Speed and memory by size of the image: statements on planted numbers, the largest batch, and what is left."""

from __future__ import annotations

from typing import Any

import pytest

from vitascope.errors import ConfigError
from vitascope.models.catalogue import model_config
from vitascope.models.memory import training_memory
from vitascope.studies.image_sizes.report import draw_image_sizes, statements
from vitascope.studies.image_sizes.settings import ImageSizes
from vitascope.studies.image_sizes.study import Measured, inference_rate, largest_batch


def row(model: str, size: int, rate: float, batch: int, *, flops: float = 1.0, noise: float = 0.001) -> Measured:
    kind = "ViT" if model[0] == "V" else "ResNet"
    rounds = tuple(rate * (1 + noise * place) for place in (-1, 0, 1))
    told: dict[str, Any] = {"parameters": 1, "flops": flops * size**2, "training": rounds, "largest_batch": batch}
    return Measured(model=model, kind=kind, size=size, inference=rounds, **told)


def outcomes(*rows: Measured) -> list[str]:
    return [one.outcome for one in statements(rows)]


def test_statements_on_planted_numbers() -> None:
    resnet = [row("R", 64, 100, 20), row("R", 128, 25, 5)]
    assert outcomes(row("V", 64, 110, 30), row("V", 128, 26, 6), *resnet) == ["holds"] * 3
    assert outcomes(row("V", 64, 110, 30), row("V", 128, 13, 5), *resnet) == ["does not hold"] * 3
    close = [row("V", 64, 90, 30, noise=0.05), row("V", 128, 22, 6, noise=0.05)]
    assert outcomes(*close, *resnet) == ["not decidable here", "holds", "holds"]


def test_a_vit_is_held_against_the_resnet_of_its_operations() -> None:
    rows = [row("V", size, 100, 10, flops=4) for size in (64, 128)]
    rows += [
        row(name, size, rate, 5, flops=f) for name, rate, f in (("R1", 500, 1), ("R5", 90, 5)) for size in (64, 128)
    ]
    assert all("R5" in claim.text for one in statements(rows)[:2] for claim in one.claims)
    assert outcomes(*rows)[0] == "holds"


def test_without_a_resnet_or_with_one_round_it_is_said() -> None:
    alone = [row("V", 64, 100, 10), row("V", 128, 25, 5)]
    assert outcomes(*alone)[:2] == ["not decidable here"] * 2


@pytest.mark.parametrize("name", ["ViT-128/8", "BiT-R14x½"])
def test_the_largest_batch_is_the_last_that_fits(name: str) -> None:
    config = model_config(name, image_size=32)
    batch = largest_batch(config, 2**28)
    assert training_memory(config, batch).peak <= 2**28 < training_memory(config, batch + 1).peak
    assert largest_batch(config, 1000.0) == 0


def test_a_rate_is_that_of_the_fastest_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vitascope.training.speed._MEASURED", 0.0)
    assert inference_rate(model_config("ViT-128/8", image_size=16), 2, 1, "cpu") > 1


def test_both_panels_have_every_model() -> None:
    drawn = draw_image_sizes([row(name, size, 10, 3) for name in ("V", "R") for size in (64, 128)])
    assert [len(axes.lines) for axes in drawn.axes] == [2, 2]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"sizes": (64,)}, "two or more, ascending"),
        ({"sizes": (128, 64)}, "two or more, ascending"),
        ({"sizes": (64, 100)}, "not divisible"),
        ({"models": "ViT-X/16"}, "no model"),
    ],
)
def test_what_cannot_be_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        ImageSizes(out="x", **changes)
