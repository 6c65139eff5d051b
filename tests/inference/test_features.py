"""Features for others: the model's own, by any engine, in files that others read."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

import vitascope as vs
from optional import needs
from tiny import image_folder
from tiny_checkpoint import TINY, checkpoint
from vitascope.cli import main
from vitascope.errors import CheckpointError, ImageError
from vitascope.inference.features import Embedder
from vitascope.models.config import BiTConfig, ModelConfig

CONFIGS: dict[str, ModelConfig] = {
    "ViT": TINY,
    "MLP head": replace(TINY, representation_size=5),
    "headless": replace(TINY, classes=0),
    "ResNet": BiTConfig(image_size=(16, 16), units=(1, 1, 1, 1), base_width=32, classes=3, small_images=True),
}


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    image_folder(tmp_path / "photos", 7, seed=5)
    return sorted((tmp_path / "photos").rglob("*.png"))


def expected(config: ModelConfig, photos: list[Path]) -> np.ndarray:
    ck = checkpoint(config)
    with torch.no_grad():
        return ck.model.features(torch.stack([ck.preprocess(photo) for photo in photos])).numpy()


@pytest.mark.parametrize("kind", CONFIGS)
def test_they_are_what_the_last_layer_sees(kind: str, photos: list[Path]) -> None:
    ck = checkpoint(CONFIGS[kind])
    found = vs.features(ck, photos)
    assert found.dtype == np.float32
    assert np.allclose(found, expected(CONFIGS[kind], photos), atol=1e-6)
    # Convolutions of another batch may be other ones, which round otherwise; so in the same batches.
    in_threes = np.concatenate([expected(CONFIGS[kind], photos[start : start + 3]) for start in (0, 3, 6)])
    assert np.allclose(Embedder(checkpoint(CONFIGS[kind]), batch=3)(photos), in_threes, atol=1e-6)
    assert vs.features(ck, []).shape == (0, ck.config.features)
    assert vs.features(ck, photos[0]).shape == (1, ck.config.features)
    assert ck.labels == checkpoint(CONFIGS[kind]).labels  # the checkpoint is as it was
    assert ck.model.config == CONFIGS[kind]


def test_another_engine_computes_the_same(photos: list[Path]) -> None:
    needs("openvino")
    assert np.allclose(Embedder(checkpoint(), "openvino")(photos), expected(TINY, photos), atol=1e-4)


@pytest.mark.parametrize("ending", [".parquet", ".npz"])
def test_the_command_writes_a_file(
    ending: str, photos: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    vs.save(checkpoint(), tmp_path / "ck")
    (tmp_path / "photos" / "broken.png").write_bytes(b"broken")
    out = tmp_path / f"features{ending}"
    words = ["embed", str(tmp_path / "ck"), str(tmp_path / "photos"), "--out", str(out)]
    assert main([*words, "--json"]) == 2  # one could not be read, and is named
    said = capsys.readouterr()
    assert json.loads(said.out) == {"out": str(out), "images": 7, "width": TINY.features}
    if ending == ".npz":
        held = np.load(out, allow_pickle=False)
        files, rows = held["files"].tolist(), held["features"]
    else:
        table = pq.read_table(out)
        files, rows = table["file"].to_pylist(), np.array(table["features"].to_pylist(), dtype=np.float32)
    assert files == list(map(str, photos))
    assert np.allclose(rows, expected(TINY, photos), atol=1e-6)
    assert main(words) == 2
    assert "exists" in capsys.readouterr().err


def test_what_cannot_be_is_told(photos: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    vs.save(checkpoint(), tmp_path / "ck")
    assert main(["embed", str(tmp_path / "ck"), str(photos[0]), "--out", str(tmp_path / "x.csv")]) == 2
    assert ".parquet or .npz" in capsys.readouterr().err
    with pytest.raises(ImageError):
        vs.features(checkpoint(), b"broken")
    bad = checkpoint()
    with torch.no_grad():
        bad.model.encoder.norm.weight.fill_(float("nan"))  # type: ignore[union-attr]
    with pytest.raises(CheckpointError, match="not finite"):
        vs.features(bad, photos)
