"""Prediction sets travel with a checkpoint: the same from Python, the command line, an export and the server."""

from __future__ import annotations

import csv
import json
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import vitascope as vs
from optional import needs
from tiny import CLASSES, image_folder
from tiny_checkpoint import TINY, checkpoint
from vitascope.checkpoints.answer import Answer
from vitascope.checkpoints.checkpoint import Checkpoint
from vitascope.cli import main
from vitascope.errors import CheckpointError
from vitascope.evaluation.sets import PredictionSets


def calibrated(*least: float) -> Checkpoint:
    return checkpoint(
        TINY, labels=CLASSES, sets=PredictionSets(coverage=0.9, least=least or (0.3, 0.35, 0.4), images=50)
    )


@pytest.fixture
def photos(tmp_path: Path) -> list[str]:
    image_folder(tmp_path / "photos", 9, seed=5)
    return sorted(map(str, (tmp_path / "photos").rglob("*.png")))


def expected(photos: list[str]) -> list[list[str]]:
    """The set of each photograph, by hand."""
    rows = vs.Predictor(calibrated(), "eager").probabilities(photos).numpy()
    found = [
        [label for label, p, least in zip(CLASSES, row, (0.3, 0.35, 0.4), strict=True) if p >= least] for row in rows
    ]
    assert len(set(map(len, found))) > 1
    return found


def test_an_answer_says_its_set_and_whether_the_image_is_known(photos: list[str]) -> None:
    predictor = vs.Predictor(calibrated(), "eager")
    answers = predictor.answers(predictor.probabilities(photos), top=1)
    assert [list(answer.members or ()) for answer in answers] == expected(photos)
    assert [a.as_json()["known"] for a in answers] == [bool(a.members) for a in answers]
    assert [a.predictions for a in answers] == predictor(photos, top=1)
    none = vs.Predictor(replace(calibrated(), sets=PredictionSets(coverage=0.9, least=(1.0,), images=50)), "eager")
    assert none.answers(none.probabilities(photos[:1]))[0].as_json()["known"] is False
    assert "set" not in Answer(predictions=[("a", 0, 1.0)]).as_json()


def test_saved_and_loaded_but_not_for_another_head_or_size(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ck = calibrated()
    vs.save(ck, tmp_path / "ck")
    assert vs.load(tmp_path / "ck").sets == ck.sets
    assert vs.load(tmp_path / "ck", image_size=TINY.image_size).sets == ck.sets
    assert vs.load(tmp_path / "ck", classes=5).sets is None
    with caplog.at_level(logging.WARNING):
        assert vs.load(tmp_path / "ck", image_size=32).sets is None
        vs.save(replace(ck, labels=CLASSES), tmp_path / "timm", "timm")
    assert "another image size" in caplog.text
    assert "no place for prediction sets" in caplog.text
    assert ck.fingerprint() != replace(ck, sets=None).fingerprint()
    with pytest.raises(CheckpointError, match="sets of 2 classes for 3"):
        calibrated(0.1, 0.2)


def test_damaged_ones_are_refused(tmp_path: Path) -> None:
    vs.save(calibrated(), tmp_path / "ck")
    config = json.loads((tmp_path / "ck" / "config.json").read_text())
    config["sets"]["least"] = ["no number"]
    (tmp_path / "ck" / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="prediction sets"):
        vs.load(tmp_path / "ck")


def test_predict_tells_them(photos: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    vs.save(calibrated(), tmp_path / "ck")
    assert main(["predict", str(tmp_path / "ck"), *photos, "--json", "--csv", str(tmp_path / "all.csv")]) == 0
    told = json.loads(capsys.readouterr().out)["predictions"]
    sets = expected(photos)
    assert [entry["set"] for entry in told] == sets
    assert [entry["known"] for entry in told] == [bool(found) for found in sets]
    with (tmp_path / "all.csv").open(encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == photos
    assert [row["set"] for row in rows] == ["; ".join(found) or "none of these" for found in sets]
    assert main(["predict", str(tmp_path / "ck"), *photos]) == 0
    assert "set, 90 %" in capsys.readouterr().out


@pytest.mark.parametrize("format", ["onnx", "openvino"])
def test_an_export_has_them(format: str, photos: list[str], tmp_path: Path) -> None:
    needs("onnxruntime" if format == "onnx" else "openvino")
    from vitascope.inference.export import export

    export(calibrated(), tmp_path / "out", format)
    predictor = vs.Predictor(tmp_path / "out")
    answers = predictor.answers(predictor.probabilities(photos))
    assert [list(answer.members or ()) for answer in answers] == expected(photos)


def test_the_server_has_them(photos: list[str]) -> None:
    needs("fastapi")
    from serving import served

    with served(calibrated()) as running:
        for photo, found in zip(photos, expected(photos), strict=True):
            answer = running.client.post("/predict", content=Path(photo).read_bytes()).json()["predictions"][0]
            assert (answer["set"], answer["known"]) == (found, bool(found))


def test_evaluate_holds_them_against_the_labels(photos: list[str], tmp_path: Path) -> None:
    from tiny import evaluated

    vs.save(calibrated(), tmp_path / "ck")
    sets = expected(photos)
    found = evaluated(str(tmp_path / "ck"), str(tmp_path / "photos"))["sets"]
    held = np.mean([Path(photo).parent.name in s for photo, s in zip(photos, sets, strict=True)])
    assert found == {
        "coverage": 0.9,
        "can_be_none": True,
        "held": pytest.approx(held),
        "labels": pytest.approx(np.mean(list(map(len, sets)))),
        "none": pytest.approx(np.mean([not s for s in sets])),
    }
