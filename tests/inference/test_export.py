"""An export computes what the model does, for every kind of model and any batch, or is not kept."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from other_kinds import OTHER_KINDS
from tiny_checkpoint import TINY, checkpoint
from vitascope.cli import main
from vitascope.errors import CheckpointError, ConfigError, ExportError
from vitascope.inference.engines import onnx
from vitascope.inference.export import export
from vitascope.models.config import ModelConfig, StemConfig

onnxruntime = pytest.importorskip("onnxruntime", reason="EXPORT IS NOT TESTED: no onnxruntime", exc_type=ImportError)

KINDS: dict[str, ModelConfig] = {
    "plain, not square": replace(TINY, image_size=(16, 24)),
    "mean of patches, registers, no head": replace(
        TINY, class_token=False, pooling="mean", norm="pooled", registers=2, classes=0
    ),
    "hybrid": replace(TINY, image_size=(32, 32), patch=2, stem=StemConfig(units=(1,), width_factor=0.5)),
    **OTHER_KINDS,
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_model_for_any_batch(kind: str, tmp_path: Path) -> None:
    ck = checkpoint(KINDS[kind])
    record = export(ck, tmp_path / "out", "onnx")
    assert max(record["differences"].values()) < 1e-5
    session = onnxruntime.InferenceSession(tmp_path / "out/model.onnx", providers=["CPUExecutionProvider"])
    images = torch.randn(7, 3, *ck.preprocess.size, generator=torch.Generator().manual_seed(9))
    with torch.no_grad():
        expected = ck.model(images).numpy()
    np.testing.assert_allclose(session.run(None, {"images": images.numpy()})[0], expected, atol=1e-4)
    assert json.loads((tmp_path / "out/labels.json").read_text()) == list(ck.labels)
    assert json.loads((tmp_path / "out/export.json").read_text()) == record
    assert json.loads((tmp_path / "out/preprocessor.json").read_text())


def test_what_disagrees_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(ck: object, path: Path, *_: object, **__: object) -> None:
        write(checkpoint(replace(TINY, width=8)), path)

    write = onnx.write
    monkeypatch.setattr(onnx, "write", wrong)
    with pytest.raises(ExportError, match="differs from the model"):
        export(checkpoint(), tmp_path / "out", "onnx")
    assert not (tmp_path / "out").exists()


def test_failures_end_with_another_code_than_mistakes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import vitascope as vs

    def fails(*_: object, **__: object) -> None:
        raise RuntimeError("no such operator\nand much more")

    vs.save(checkpoint(), tmp_path / "ck")
    words = ["export", str(tmp_path / "ck"), str(tmp_path / "out")]
    assert main([*words, "--opset", "3"]) == 2
    assert main([*words, "--tolerance", "0"]) == 2
    monkeypatch.setattr(onnx, "write", fails)
    assert main(words) == 1
    assert "to onnx: no such operator" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_nothing_is_overwritten_unasked(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine.txt").write_text("mine")
    with pytest.raises(CheckpointError, match="overwrite"):
        export(checkpoint(), tmp_path / "out", "onnx")
    assert (tmp_path / "out/mine.txt").read_text() == "mine"


def test_without_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ConfigError, match=r"vitascope\[onnx\]"):
        export(checkpoint(), tmp_path / "out", "onnx")
