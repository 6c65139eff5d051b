"""Every format in every precision: read again, compared, judged, and kept only if it is good enough."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import vitascope as vs
from optional import needs
from tiny import CLASSES, image_folder, source
from tiny_checkpoint import TINY, checkpoint
from vitascope.checkpoints.checkpoint import Checkpoint
from vitascope.cli import main
from vitascope.data.kept import ArraySource
from vitascope.errors import ConfigError, ExportError
from vitascope.inference.export import export
from vitascope.inference.exported import RUNTIMES
from vitascope.inference.format_names import PRECISIONS
from vitascope.inference.judge import Judge

LIBRARIES = {"onnx": "onnxruntime", "openvino": "nncf"}
EACH = [(name, precision) for name in RUNTIMES for precision in PRECISIONS[name]]


def named() -> Checkpoint:
    return checkpoint(TINY, labels=CLASSES)


@pytest.mark.parametrize(("name", "precision"), EACH)
def test_each_is_what_it_says(name: str, precision: str, tmp_path: Path) -> None:
    if name in LIBRARIES:
        needs(LIBRARIES[name])
    ck = named()
    calibration = source(30) if precision == "int8" else None
    judge = Judge(ck, source(12, seed=3))
    options = {"precision": precision, "calibration": calibration, "samples": 8, "judge": judge, "drop": 40.0}
    record = export(ck, tmp_path / "out", name, **options)
    assert (record["format"], record["precision"], record["judged_on"]) == (name, precision, 12)
    assert record["same_label"] >= 0.75
    assert record["top1"]["before"] - record["top1"]["after"] <= 0.4
    assert set(record["differences"]) == {"1", "2", "7"}
    assert max(record["differences"].values()) <= record["tolerance"]
    if name == "pt2":
        program = torch.export.load(tmp_path / "out/model.pt2").module()
        images = torch.randn(3, 3, 16, 16)
        torch.testing.assert_close(program(images), ck.model(images))
        with pytest.raises(ConfigError, match="may run any program"):
            vs.Predictor(tmp_path / "out")
    else:
        images = [np.random.default_rng(i).integers(0, 256, (20, 30, 3), np.uint8) for i in range(5)]
        found = vs.Predictor(tmp_path / "out").probabilities(images)
        torch.testing.assert_close(found, vs.Predictor(ck, "eager").probabilities(images), atol=0.1, rtol=0)


@pytest.mark.parametrize("precision", ["float16", "int8"])
def test_photographs_in_fewer_bits(precision: str, tmp_path: Path) -> None:
    needs("onnxruntime")
    calibration = source(30) if precision == "int8" else None
    whole = export(named(), tmp_path / "whole", "onnx", form="image")
    export(named(), tmp_path / "out", "onnx", form="image", precision=precision, calibration=calibration, samples=8)
    images = [np.random.default_rng(i).integers(0, 256, (20, 30, 3), np.uint8) for i in range(5)]
    found, expected = (vs.Predictor(tmp_path / folder).probabilities(images) for folder in ("out", "whole"))
    assert not torch.equal(found, expected)
    torch.testing.assert_close(found, expected, atol=0.1, rtol=0)
    session = RUNTIMES["onnx"].session(tmp_path / "out/model.onnx")
    assert session.run(["probabilities"], {"image": images[0]})[0].dtype == np.float32
    assert json.loads(session.get_modelmeta().custom_metadata_map["labels"]) == list(CLASSES)
    assert whole["precision"] == "float32"


def test_what_loses_accuracy_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As of quantisation that went wrong: every image gets the label that the model gives it least."""
    needs("onnxruntime")
    ck, onnx = named(), RUNTIMES["onnx"]
    read = onnx.read
    monkeypatch.setattr(onnx, "read", lambda *how: lambda images: -read(*how)(images))
    monkeypatch.setattr("vitascope.inference.export.NONSENSE", 9.0)
    judge = Judge(ck, source(12, seed=3))
    judge.right = judge.labels  # a model that is always right
    with pytest.raises(
        ExportError, match=r"100\.0 % were right before and \d+\.\d % after.*drop of more than 1 points"
    ):
        export(ck, tmp_path / "out", "onnx", precision="int8", calibration=source(30), samples=8, judge=judge)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"format": "pt2", "precision": "int8"}, "pt2 is written in float32, not in int8"),
        ({"format": "pt2", "form": "image"}, "pt2 takes batches"),
        ({"format": "onnx", "precision": "int8"}, "images calibrate int8"),
        ({"format": "onnx", "calibration": source(9)}, "images calibrate int8"),
        ({"format": "onnx", "tolerance": 0.0}, "tolerance is 0.0"),
    ],
)
def test_what_contradicts_is_refused(how: dict[str, object], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        export(named(), tmp_path / "out", **how)
    assert not (tmp_path / "out").exists()


def test_several_labels_are_judged_image_by_image() -> None:
    ck = checkpoint(TINY, labels=CLASSES, activation="sigmoid")
    images = source(12, seed=3)
    right = ck.model(torch.stack([ck.preprocess(image) for image in images])) >= 0
    several = ArraySource("several", CLASSES, right.numpy(), np.stack(list(images)))
    judge = Judge(ck, several)
    assert judge.of(lambda given: ck.model(given))["top1"] == {"before": 1.0, "after": 1.0}
    one_wrong = torch.tensor([-1.0, 1.0, 1.0])
    found = judge.of(lambda given: ck.model(given) * one_wrong)
    assert found["same_label"] == found["top1"]["after"] == 0.0
    assert Judge(ck, images).of(lambda given: ck.model(given))["top1"]["before"] < 1.0


def test_the_command_verifies(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos = image_folder(tmp_path / "photos", 9)
    vs.save(named(), tmp_path / "ck")
    words = ["export", str(tmp_path / "ck"), str(tmp_path / "out")]
    assert main([*words, "--format", "pt2", "--verify", str(photos), "--json"]) == 0
    said = capsys.readouterr()
    record = json.loads(said.out)
    assert record["judged_on"] == 9
    assert record["same_label"] == 1.0
    assert record["top1"]["before"] == record["top1"]["after"]
    assert "% before" in said.err
    for wrong, told in (
        (["--drop", "3"], "--drop is 3.0, but without --verify"),
        (["--format", "pt2", "--precision", "int8"], "--precision int8 is not for --format pt2"),
        (["--format", "pt2", "--input", "image"], "pt2 takes --input batch"),
        (["--verify", str(tmp_path / "nothing")], "nothing"),
        (["--verify", "digits"], "digits"),
        (["--precision", "int8"], "belong together"),
    ):
        assert main([*words[:2], str(tmp_path / "no"), *wrong]) == 2
        assert told in capsys.readouterr().err
        assert not (tmp_path / "no").exists()
