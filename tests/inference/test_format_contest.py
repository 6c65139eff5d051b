"""All formats on the same images: a table, and the one to take is kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import vitascope as vs
from optional import needs
from tiny import CLASSES, image_folder, source
from tiny_checkpoint import TINY, checkpoint
from vitascope.cli import main
from vitascope.errors import ConfigError, ExportError
from vitascope.inference import format_contest
from vitascope.inference.format_contest import MODEL, TABLE, choose, contest
from vitascope.inference.judge import Judge


def row(name: str, milliseconds: float, megabytes: float, after: float = 0.9, **more: Any) -> dict[str, Any]:
    top1 = {"before": 0.9, "after": after}
    found = {"name": name, "format": name.split()[0], "milliseconds": milliseconds, "megabytes": megabytes}
    return {**found, "top1": top1, "same_label": after, **more}


def test_the_fastest_that_is_good_enough_is_taken_and_of_as_fast_ones_the_smallest() -> None:
    model = {"name": MODEL, "milliseconds": 0.1, "megabytes": 0.1, "same_label": 1.0}
    rows = [model, row("pt2 float32", 0.5, 1), row("onnx float32", 2, 80), row("onnx int8", 1, 20, after=0.85)]
    assert choose(rows, 1.0) == "onnx float32"
    assert choose(rows, 5.0) == "onnx int8"
    assert choose([*rows, row("openvino bfloat16", 2.05, 40)], 1.0) == "openvino bfloat16"
    assert choose([*rows, row("openvino bfloat16", 2.5, 40)], 1.0) == "onnx float32"
    unknown = [{"name": "onnx int8", "format": "onnx", "milliseconds": 1, "megabytes": 1, "same_label": 0.97}]
    with pytest.raises(ExportError, match=r"no more than 1 points \(all lose more\)"):
        choose(unknown, 1.0)
    with pytest.raises(ExportError, match="onnx float32: no extra"):
        choose([{"name": "onnx float32", "format": "onnx", "failed": "no extra"}], 1.0)


def test_the_table_has_what_can_be_made_and_says_why_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needs("onnxruntime")
    ck = checkpoint(TINY, labels=CLASSES)
    each = [("onnx", "float32"), ("onnx", "int8"), ("openvino", "float32"), ("pt2", "float32")]
    monkeypatch.setattr(format_contest, "candidates", lambda: iter(each))

    def missing(precision: str) -> None:
        raise ConfigError("run: pip install it")

    monkeypatch.setattr(format_contest.RUNTIMES["openvino"], "library", missing)
    judge = Judge(ck, source(12, seed=3))
    found = contest(ck, tmp_path / "out", judge, source(30), samples=8, drop=100.0)
    rows = {row["name"]: row for row in found["formats"]}
    assert list(rows) == [MODEL, *(" ".join(pair) for pair in each)]
    assert rows["openvino float32"]["failed"] == "run: pip install it"
    assert rows[MODEL]["same_label"] == rows["pt2 float32"]["same_label"] == 1.0
    for name in (MODEL, "onnx float32", "onnx int8", "pt2 float32"):
        assert min(rows[name][key] for key in ("milliseconds", "images_per_second", "megabytes")) > 0
        assert rows[name]["top1"]["before"] == rows[MODEL]["top1"]["after"]
    assert found["take"] in ("onnx float32", "onnx int8")
    assert json.loads((tmp_path / "out" / TABLE).read_text()) == found
    assert not [path for path in (tmp_path / "out").iterdir() if path.is_dir()]
    image = source(1)[0]
    expected = vs.Predictor(ck, "eager").probabilities([image])
    torch.testing.assert_close(vs.Predictor(tmp_path / "out").probabilities([image]), expected, atol=0.1, rtol=0)


def test_the_command_shows_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    needs("onnxruntime")
    monkeypatch.setattr(format_contest, "candidates", lambda: iter([("onnx", "float32")]))
    photos = image_folder(tmp_path / "photos", 9)
    vs.save(checkpoint(TINY, labels=CLASSES), tmp_path / "ck")
    words = ["export", str(tmp_path / "ck"), str(tmp_path / "out"), "--compare", str(photos)]
    assert main(words) == 0
    said = capsys.readouterr()
    assert "formats on 7 images" in said.out  # the other two of its one split calibrate
    assert "onnx float32" in said.out
    assert "take onnx float32" in said.err
    assert main(words) == 2  # it is there
    assert "--overwrite" in capsys.readouterr().err
    assert main([*words, "--overwrite", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["take"] == "onnx float32"
    for wrong in (["--precision", "int8"], ["--format", "pt2"], ["--verify", str(photos)], ["--rollout"]):
        assert main([*words, "--overwrite", *wrong]) == 2
        assert "--compare makes every format" in capsys.readouterr().err
    assert main([*words, "--overwrite", "--one-file"]) == 2
    assert "belongs to --format web" in capsys.readouterr().err
    assert main(["export", str(tmp_path / "ck"), str(tmp_path / "no"), "--compare", str(tmp_path / "nothing")]) == 2
    vs.save(checkpoint(TINY, labels=CLASSES, activation="none"), tmp_path / "regression")
    assert main(["export", str(tmp_path / "regression"), str(tmp_path / "no"), "--compare", str(photos)]) == 2
    assert "regression model" in capsys.readouterr().err
    assert not (tmp_path / "no").exists()
