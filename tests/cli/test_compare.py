"""`vitascope compare`: runs first, then perhaps the images to judge them on; tables or one JSON object."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import vitascope as vs
from commanding import Run, refused
from tiny import CLASSES, image_folder
from tiny_checkpoint import checkpoint


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two checkpoints and six images, and the folder that commands run in."""
    for name in ("first", "second"):
        vs.save(checkpoint(labels=CLASSES), tmp_path / name)
    image_folder(tmp_path / "images", 6)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_runs_are_judged_on_the_images_behind_them(place: Path, run: Run) -> None:
    code, out, err = run("compare", "first", "second", "images", "--device", "cpu")
    assert code == 0
    assert "images (train), 6 images" in out
    assert "+0.0 points (" in out
    assert "what was trained on is not known of first, second" in err
    code, out, _ = run("compare", "first", "second", "images", "--json")
    assert code == 0
    assert [each["name"] for each in json.loads(out)["runs"]] == ["first", "second"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["first"], "expected two or more checkpoints"),
        (["first", "images"], "images is none: expected two or more"),
        (["first", "second", "images", "images"], "then perhaps one DATA"),
        (["first", "second", "nowhere"], "nowhere: no such folder"),
        (["first", "second"], "what these learned from differs (first: not known; second: not known)"),
    ],
)
def test_mistakes_are_one_line(place: Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert said in refused(capsys, "compare", *words)
