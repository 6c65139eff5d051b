"""An exported folder predicts and is evaluated as the checkpoint is; int8 says what it changed."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import vitascope as vs
from optional import needs
from tiny import CLASSES, evaluated, image_folder, source
from tiny_checkpoint import TINY, checkpoint
from vitascope.checkpoints.checkpoint import Checkpoint
from vitascope.checkpoints.shown import NEW, shown_to
from vitascope.cli import main
from vitascope.data.open import open_data
from vitascope.errors import CheckpointError, ConfigError, ExportError
from vitascope.inference.engines import openvino as engine
from vitascope.inference.export import export
from vitascope.inference.exported import Exported, open_model

needs("openvino")
PHOTOS = [np.random.default_rng(i).integers(0, 256, (20, 30, 3), np.uint8) for i in range(5)]


def named() -> Checkpoint:
    return checkpoint(TINY, labels=CLASSES)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("exported") / "out"
    record = export(named(), out, "openvino")
    assert json.loads((out / "export.json").read_text()) == record
    assert record["precision"] == "float32"
    assert max(record["differences"].values()) < 1e-5
    return out


def test_an_exported_folder_predicts_what_the_checkpoint_does(exported: Path) -> None:
    expected = vs.Predictor(named(), "eager").probabilities(PHOTOS)
    predictor = vs.Predictor(exported, batch=2)
    torch.testing.assert_close(predictor.probabilities(PHOTOS), expected)
    assert predictor(PHOTOS)[0][0][0] in CLASSES


def test_so_does_onnx(tmp_path: Path) -> None:
    needs("onnxruntime")
    export(named(), tmp_path / "out", "onnx")
    expected = vs.Predictor(named(), "eager").probabilities(PHOTOS)
    torch.testing.assert_close(vs.Predictor(tmp_path / "out").probabilities(PHOTOS), expected)


def test_what_judges_each_label_by_itself_goes_on_doing_so(tmp_path: Path) -> None:
    ck = checkpoint(TINY, labels=CLASSES, activation="sigmoid")
    assert export(ck, tmp_path / "out", "openvino")["activation"] == "sigmoid"
    expected = vs.Predictor(ck, "eager").probabilities(PHOTOS)
    torch.testing.assert_close(vs.Predictor(tmp_path / "out").probabilities(PHOTOS), expected)


def test_commands_take_the_folder(exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos = image_folder(tmp_path / "photos", 6)
    vs.save(named(), tmp_path / "ck")
    found = []
    for model in (tmp_path / "ck", exported):
        assert main(["predict", str(model), str(photos), "--json"]) == 0
        predictions = json.loads(capsys.readouterr().out)["predictions"]
        found.append([prediction["labels"][0]["label"] for prediction in predictions])
    assert found[0] == found[1]
    results = [evaluated(str(model), str(photos)) for model in (tmp_path / "ck", exported)]
    results.append(evaluated(str(tmp_path / "ck"), str(photos), engine="openvino"))
    assert all(r["images"] == 6 for r in results)
    assert all(r["loss"] == pytest.approx(results[0]["loss"], rel=1e-4) for r in results)


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda path: vs.Predictor(path, "eager"), "runs on engine openvino, not eager"),
        (lambda path: vs.Predictor(path, device="meta"), "runs on the CPU, not on meta"),
        (lambda path: vs.Predictor(path, precision="bfloat16"), "has its own precision"),
        (lambda path: open_model(path, image_size=32), r"takes images of \(16, 16\)"),
    ],
)
def test_it_is_nothing_but_what_it_is(exported: Path, ask: Callable[[Path], object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ask(exported)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("labels.json", None, "no complete export"),
        ("preprocessor.json", "{", "no complete export"),
        ("export.json", "[]", "no complete export"),
        ("export.json", '{"format": "tflite"}', "format 'tflite', expected onnx or openvino"),
        ("model.xml", "<net/>", r"model\.xml cannot be read"),
    ],
)
def test_a_damaged_folder_is_told(exported: Path, tmp_path: Path, file: str, content: str | None, message: str) -> None:
    shutil.copytree(exported, tmp_path / "out")
    if content is None:
        (tmp_path / "out" / file).unlink()
    else:
        (tmp_path / "out" / file).write_text(content)
    with pytest.raises(CheckpointError, match=message):
        vs.Predictor(tmp_path / "out")


def test_what_disagrees_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other, convert = checkpoint(TINY), engine.convert
    with torch.no_grad():
        other.model.head.linear.bias.add_(1.0)
    monkeypatch.setattr(engine, "convert", lambda ck: convert(other))
    with pytest.raises(ExportError, match="differs from the model"):
        export(named(), tmp_path / "out", "openvino")
    assert not (tmp_path / "out").exists()


def test_int8_says_how_many_labels_stay(tmp_path: Path) -> None:
    needs("nncf")
    record = export(named(), tmp_path / "out", "openvino", precision="int8", calibration=source(40), samples=12)
    assert (record["precision"], record["judged_on"], record["trained_on"]) == ("int8", 12, None)
    assert 0.7 <= record["same_label"] <= 1.0
    assert set(record["top1"]) == {"before", "after"}
    assert 'element_type="i8"' in (tmp_path / "out/model.xml").read_text()
    opened = open_model(tmp_path / "out")
    assert isinstance(opened, Exported)
    expected = vs.Predictor(named(), "eager").probabilities(PHOTOS)
    found = vs.Predictor(opened).probabilities(PHOTOS)
    assert not torch.equal(found, expected)
    torch.testing.assert_close(found, expected, atol=0.1, rtol=0)


@pytest.mark.parametrize("samples", [0, 11])
def test_calibration_leaves_images_to_judge_by(samples: int, tmp_path: Path) -> None:
    needs("nncf")
    with pytest.raises(ConfigError, match=f"samples is {samples}, expected 1 to 10"):
        export(named(), tmp_path / "out", "openvino", precision="int8", calibration=source(20), samples=samples)


def test_options_that_contradict_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["export", str(tmp_path / "ck"), str(tmp_path / "out")]
    assert main([*words, "--precision", "bfloat16"]) == 2
    assert "--precision bfloat16 is not for --format onnx" in capsys.readouterr().err
    assert main([*words, "--format", "openvino", "--precision", "int8"]) == 2
    assert "belong together" in capsys.readouterr().err


def test_the_command_writes_int8_and_says_what_was_trained_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    needs("nncf")
    data = image_folder(tmp_path / "photos", 12)
    train = open_data(str(data)).train
    assert train is not None
    vs.save(replace(named(), shown=shown_to(train, None, NEW, chosen=False)), tmp_path / "ck")
    words = ["--format", "openvino", "--precision", "int8", "--calibration", str(data), "--samples", "4"]
    assert main(["export", str(tmp_path / "ck"), str(tmp_path / "out"), *words, "--json"]) == 0
    said = capsys.readouterr()
    record = json.loads(said.out)  # and no progress bar of the quantiser beside it
    assert record["judged_on"] == record["trained_on"] == 4
    assert "labels stay the same" in said.err
    assert "4 of these images were trained on" in said.err


def test_calibration_needs_no_labels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    needs("nncf")
    photos = sorted(image_folder(tmp_path / "labelled", 12).rglob("*.png"))
    (tmp_path / "photos").mkdir()
    for i, photo in enumerate(photos):
        photo.rename(tmp_path / "photos" / f"{i}.png")
    vs.save(named(), tmp_path / "ck")
    words = ["--format", "openvino", "--precision", "int8", "--calibration", str(tmp_path / "photos"), "--samples", "4"]
    assert main(["export", str(tmp_path / "ck"), str(tmp_path / "out"), *words, "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["judged_on"] == 4
    assert "top1" not in record


def test_without_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nncf", None)
    with pytest.raises(ConfigError, match=r"int8 needs NNCF.*vitascope\[openvino\]"):
        export(named(), tmp_path / "out", "openvino", precision="int8", calibration=source(20), samples=4)
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(ConfigError, match=r"vitascope\[openvino\]"):
        export(named(), tmp_path / "out", "openvino")
