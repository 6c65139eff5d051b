"""Telling a checkpoint from a folder of images without opening either."""

from __future__ import annotations

from pathlib import Path

import pytest

import vitascope as vs
from tiny_checkpoint import checkpoint
from vitascope.checkpoints.locate import is_checkpoint


@pytest.mark.parametrize("format", ["vitascope", "google", "timm", "huggingface"])
def test_what_is_written_looks_like_one(format: str, tmp_path: Path) -> None:
    suffix = {"google": ".npz", "timm": ".safetensors"}.get(format, "")
    vs.save(checkpoint(), tmp_path / f"a{suffix}", format=format)
    assert is_checkpoint(tmp_path / f"a{suffix}")


def test_a_run_looks_like_one(tmp_path: Path) -> None:
    vs.save(checkpoint(), tmp_path / "run/model")
    assert is_checkpoint(tmp_path / "run")
    (tmp_path / "begun/checkpoints").mkdir(parents=True)
    (tmp_path / "begun/model").mkdir()
    assert is_checkpoint(tmp_path / "begun")


def test_a_name_looks_like_one_where_no_such_path_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = ("someone/tiny-vit", "hf:someone/tiny@v1/a.bin", "google:augreg/S_16-i21k", "google:BiT-M-R50x1")
    for name in names:
        assert is_checkpoint(name)
    for path in ("photos", "photos/cat.jpg", "./someone/tiny", "/a/b", "a/b/c", "hf:tiny", "google:", "a\\b/c"):
        assert not is_checkpoint(path)
    (tmp_path / "someone/tiny-vit").mkdir(parents=True)
    assert not is_checkpoint("someone/tiny-vit")
    assert not is_checkpoint("someone/tiny-vat")


def test_images_and_what_is_not_there_do_not(tmp_path: Path) -> None:
    (tmp_path / "images/ant").mkdir(parents=True)
    (tmp_path / "images/ant/0.jpg").write_bytes(b"")
    (tmp_path / "images/notes.txt").write_text("")
    for broken in ("images", "images/ant/model"):
        (tmp_path / broken).mkdir(exist_ok=True)
        (tmp_path / broken / "config.json").write_text("{'a': 1")
    for name in ("images", "images/ant", "images/ant/0.jpg", "images/notes.txt", "nowhere", "nowhere.npz"):
        assert not is_checkpoint(tmp_path / name), name
