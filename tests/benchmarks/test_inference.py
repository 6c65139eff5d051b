"""The benches of inference at toy size: what they time computes the same."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from inference import TOY, limit, module_run, ours, random_checkpoint
from int8 import lost
from latency import photograph, predictors
from vitascope.models.config import ViTConfig


def test_ours_give_what_the_module_gives() -> None:
    checkpoint = random_checkpoint("ViT-B/16", 32, 10, **TOY)
    assert isinstance(checkpoint.config, ViTConfig)
    images = torch.randn(2, 3, 32, 32)
    expected = module_run(checkpoint.model, "float32")(images)
    assert float(expected.abs().max()) > 0.01
    found = ours(checkpoint, ("eager",), "float32", 2)
    torch.testing.assert_close(found["vitascope, eager"](images), expected)
    assert module_run(checkpoint.model, "bfloat16")(images).dtype == torch.float32


def test_predictors_name_five_labels_of_a_photograph(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("latency.ENGINES", ("eager",))
    found = predictors(random_checkpoint("ViT-B/16", 32, 10, **TOY), "float32")
    image = photograph()
    assert image.size == (500, 375)
    assert len(found["vitascope, eager"](image)[0]) == 5


def test_points_lost_come_with_the_error_of_paired_images() -> None:
    before, after = np.array([True] * 80 + [False] * 20), np.array([True] * 76 + [False] * 22 + [True] * 2)
    told = lost(before, after)
    assert (told["float32"], told["int8"]) == (80.0, 78.0)
    assert told["lost"] == pytest.approx(2.0)
    assert told["standard_error"] == pytest.approx(100 * np.sqrt((6 / 100 - 0.02**2) / 99))


def test_the_limit_is_what_a_peer_leaves_of_the_matrix_products_rate() -> None:
    told = limit({"timm": {"share_of_product": {"median": 0.8}}}, ("timm", "not measured"))
    assert "timm reaches 80 % of its rate" in told
    assert "at most 1.25 times as fast" in told
