"""Class shares restated: Bayes' rule, in every command that opens a checkpoint, and back again."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import vitascope as vs
from tiny import image_folder
from tiny_checkpoint import checkpoint
from vitascope import cli
from vitascope.checkpoints.prior import CARD, with_prior
from vitascope.errors import ConfigError
from vitascope.evaluation.sets import PredictionSets
from vitascope.inference.exported import open_model

IMAGES = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
LABELS = ("ant", "bee", "cat, big")
TAUGHT = [0.5, 0.3, 0.2]
TEXT = "{ant: 0.1, bee: 0.1, 'cat, big': 0.8}"


def made(**changes: object) -> vs.Checkpoint:
    return replace(checkpoint(labels=LABELS), **{"card": {CARD: TAUGHT}, **changes})  # type: ignore[arg-type]


def likely(ck: vs.Checkpoint) -> torch.Tensor:
    return ck.model(IMAGES).detach().double().softmax(1)


def bayes(before: torch.Tensor, ratio: list[float]) -> torch.Tensor:
    moved = before * torch.tensor(ratio, dtype=torch.float64)
    return moved / moved.sum(1, keepdim=True)


def test_it_is_bayes_rule_and_undone_by_the_shares_of_before(caplog: pytest.LogCaptureFixture) -> None:
    ck = made(sets=PredictionSets(coverage=0.9, least=(0.1,), images=20))
    moved = with_prior(ck, TEXT)
    expected = bayes(likely(ck), [0.1 / 0.5, 0.1 / 0.3, 0.8 / 0.2])
    assert torch.allclose(likely(moved), expected, atol=1e-6)
    assert moved.sets is None
    assert "prediction sets were calibrated for other shares" in caplog.text
    assert moved.fingerprint() != ck.fingerprint()
    back = with_prior(moved, dict(zip(LABELS, TAUGHT, strict=True)))
    assert torch.allclose(likely(back), likely(ck), atol=1e-6)
    assert torch.equal(likely(made()), likely(ck)), "what it was given is left as it was"


def test_classes_without_a_share_divide_what_is_left_as_before() -> None:
    assert with_prior(made(), {"ant": 0.9}).card[CARD] == pytest.approx([0.9, 0.1 * 0.6, 0.1 * 0.4])
    assert with_prior(made(), {"ant": 1 / 3, "bee": 1 / 3, "cat, big": 1 / 3}).card[CARD] == pytest.approx([1 / 3] * 3)


def test_equal_shares_are_taken_and_said_where_nothing_is_known(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        moved = with_prior(made(card={}), TEXT)
    assert "they are taken as equal" in caplog.text
    assert torch.allclose(likely(moved), bayes(likely(made()), [0.3, 0.3, 2.4]), atol=1e-6)


@pytest.mark.parametrize(
    ("prior", "said"),
    [
        ("{dog: 0.1}", "'dog', which is no class; expected one of ant, bee"),
        ("{ant: 0}", "of 'ant' is 0, expected a share above 0"),
        ("{ant: true}", "of 'ant' is True"),
        ("{ant: .nan}", "of 'ant' is nan"),
        ("{ant: 0.6, bee: 0.4}", "leaves nothing for cat, big"),
        ("{ant: 0.5, bee: 0.5, 'cat, big': 0.5}", "adds up to 1.5, expected 1"),
        ("0.9", "expected shares by class"),
        ("{ant: [", "expected shares by class"),
    ],
)
def test_what_is_no_prior_is_refused_in_a_line(prior: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        with_prior(made(), prior)
    assert "\n" not in str(caught.value)


def test_it_is_for_one_class_of_several() -> None:
    with pytest.raises(ConfigError, match="one class of several"):
        with_prior(made(activation="sigmoid"), TEXT)
    with pytest.raises(ConfigError, match="different names"):
        with_prior(made(labels=("a", "a", "b")), {"b": 0.5})


def test_commands_and_exports_have_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    vs.save(made(), tmp_path / "model")
    image_folder(tmp_path / "data", 3)
    file = next((tmp_path / "data").rglob("*.png"))
    prior = ["--prior", TEXT]
    assert cli.main(["predict", str(tmp_path / "model"), str(file), *prior, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["predictions"][0]["labels"]
    images = made().preprocess(file)[None]
    before = made().model(images).detach().double().softmax(1)
    expected = bayes(before, [0.1 / 0.5, 0.1 / 0.3, 0.8 / 0.2])[0].numpy()
    assert {entry["label"]: entry["probability"] for entry in told} == pytest.approx(
        dict(zip(LABELS, expected, strict=True)), abs=1e-5
    )
    assert cli.main(["export", str(tmp_path / "model"), str(tmp_path / "onnx"), *prior]) == 0
    again = vs.Predictor(open_model(tmp_path / "onnx"), engine="onnx").probabilities(file)
    assert np.allclose(again.numpy(), expected, atol=1e-5)
    with pytest.raises(ConfigError, match="has its prior within"):
        open_model(tmp_path / "onnx", prior=TEXT)
