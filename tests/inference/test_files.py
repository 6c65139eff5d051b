"""Many files: the same predictions as one by one, in order, with little held at a time."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import vitascope as vs
from tiny import FIELDS, SIDE
from vitascope.checkpoints.checkpoint import Checkpoint
from vitascope.data.preprocess import Preprocess
from vitascope.inference.files import predict_files
from vitascope.models.catalogue import create_model


def predictor(batch: int = 4) -> vs.Predictor:
    torch.manual_seed(0)
    model = create_model("ViT-Ti/8", **FIELDS, classes=3, image_size=SIDE)
    torch.nn.init.normal_(model.head.linear.weight, std=0.3)
    preprocess = Preprocess(size=(SIDE, SIDE), crop_fraction=0.8)
    return vs.Predictor(
        Checkpoint(model=model.eval(), preprocess=preprocess, labels=("a", "b", "c")),
        engine="eager",
        batch=batch,
    )


def photographs(folder: Path, n: int) -> list[Path]:
    rng = np.random.default_rng(0)
    files = [folder / f"{i:03}.{'png' if i % 3 else 'jpg'}" for i in range(n)]
    for i, file in enumerate(files):
        Image.fromarray(rng.integers(0, 256, (20 + i, 40 - i, 3), dtype=np.uint8)).save(file)
    return files


def test_files_are_predicted_as_one_by_one(tmp_path: Path) -> None:
    files = photographs(tmp_path, 11)
    files[6].write_bytes(b"broken")
    ours = predictor()
    for file, result in zip(files, predict_files(ours, files), strict=True):
        assert result.file == str(file)
        if file == files[6]:
            assert result.answer is None
            assert files[6].name in str(result.error)
            continue
        (expected,) = ours(file)
        assert result.answer is not None
        found = result.answer.predictions
        assert [p[:2] for p in found] == [p[:2] for p in expected]
        np.testing.assert_allclose([p[2] for p in found], [p[2] for p in expected], atol=1e-6)


def test_a_batch_without_a_readable_file_needs_no_model(tmp_path: Path) -> None:
    files = [tmp_path / f"{i}.jpg" for i in range(5)]
    assert all("no such file" in str(result.error) for result in predict_files(predictor(2), files))
    assert list(predict_files(predictor(), [])) == []


def test_only_a_few_batches_are_read_ahead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = photographs(tmp_path, 20)
    ours, read, most = predictor(2), set(), []
    resize = Preprocess.resize
    lock = threading.Lock()

    def counted(self: Preprocess, array: Any) -> np.ndarray:
        with lock:
            read.add(array.shape)
        return resize(self, array)

    monkeypatch.setattr(Preprocess, "resize", counted)
    for done, _ in enumerate(predict_files(ours, files), 1):
        most.append(len(read) - done)
    assert max(most) <= 6


def test_an_error_of_the_model_ends_the_threads(tmp_path: Path) -> None:
    ours = predictor()

    def broken(inputs: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("out of order")

    ours.engine = broken  # type: ignore[assignment]
    before = threading.active_count()
    with pytest.raises(RuntimeError, match="out of order"):
        list(predict_files(ours, photographs(tmp_path, 20)))
    assert threading.active_count() == before
