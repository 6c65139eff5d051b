"""`vitascope inspect`: what it writes, whom it refuses, and that nothing of a user's is lost."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import vitascope as vs
from tiny import CLASSES, image_folder
from tiny_checkpoint import TINY, checkpoint
from vitascope.cli import main
from vitascope.cli.commands.inspect import _spread
from vitascope.cli.runs import checkpoint_names

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Saving the figures takes seconds; test_report.py looks at them."""
    monkeypatch.setattr("vitascope.views.report_files.save_figure", lambda figure, path: None)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """a/ and b/ are checkpoints, images/ holds two images."""
    for name in ("a", "b"):
        vs.save(checkpoint(), tmp_path / name)
    (tmp_path / "images").mkdir()
    for n in range(2):
        pixels = np.random.default_rng(n).integers(0, 256, (20, 30, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / f"{n}.png")
    return tmp_path


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def command(*words: str | Path) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(["inspect", *(str(word) for word in words)])
        return code, *capsys.readouterr()

    return command


def test_one_checkpoint_and_ones_own_images(place: Path, run: Run) -> None:
    code, out, err = run(place / "a", place / "images", "--out", place / "o", "--json")
    assert code == 0
    assert json.loads(out)["images"] == 2
    assert out.count("\n") == 1
    report = json.loads((place / "o/report.json").read_text())
    assert [Path(look["name"]).name for look in report["looks"]] == ["0.png", "1.png"]
    assert "inspect.html" in err
    assert "<script" in (place / "o/inspect.html").read_text()


def test_without_images_small_models_see_digits_and_photographs(place: Path, run: Run) -> None:
    assert run(place / "a", "--out", place / "o", "--show", "9")[0] == 0
    names = [look["name"] for look in json.loads((place / "o/report.json").read_text())["looks"]]
    assert names[0] == "handwritten 0"
    assert names[-2:] == ["flower.jpg", "china.jpg"]


def test_several_checkpoints_share_a_page_and_keep_their_own_numbers(place: Path, run: Run) -> None:
    code, out, _ = run(place / "a", place / "b", place / "a", place / "images/0.png", "--out", place / "o", "--json")
    assert code == 0
    reports = json.loads(out)["reports"]
    assert len(set(reports)) == 3
    assert all(Path(report).is_file() for report in reports)
    compared = json.loads(out)["compared"]
    assert compared == json.loads((place / "o/compared.json").read_text())
    assert [run["parameters"] > 0 for run in compared["runs"]] == [True] * 3
    assert "what these learned from differs" in compared["notes"][0]
    assert 'id="data-compared"' in (place / "o/inspect.html").read_text()
    assert run(place / "a", place / "b", place / "images/0.png", "--out", place / "o", "--overwrite")[0] == 0


def test_runs_of_the_same_data_are_judged_on_it(place: Path, run: Run) -> None:
    image_folder(place / "labelled", 6)
    for name in ("a", "b"):
        vs.save(checkpoint(labels=CLASSES, card={"data": str(place / "labelled")}), place / name, overwrite=True)
    code, out, _ = run(place / "a", place / "b", place / "images/0.png", "--out", place / "o", "--json")
    assert code == 0
    assert json.loads(out)["compared"]["images"] == 6
    assert "6 images" in (place / "o/inspect.html").read_text()


def test_models_of_different_sizes_see_the_same_examples(place: Path, run: Run) -> None:
    vs.save(checkpoint(replace(TINY, image_size=(48, 48))), place / "large")
    assert run(place / "a", place / "large", "--out", place / "o")[0] == 0
    for name in ("a", "large"):
        looks = json.loads((place / f"o/{name}/report.json").read_text())["looks"]
        assert [look["name"] for look in looks] == ["flower.jpg", "china.jpg"]


def test_an_unreadable_image_is_named_and_the_rest_is_done(place: Path, run: Run) -> None:
    (place / "images/2.jpg").write_text("no image")
    code, _, err = run(place / "a", place / "images", "--out", place / "o")
    assert code == 2
    assert err.count("2.jpg") == 1
    assert json.loads((place / "o/report.json").read_text())["images"] == 2


@pytest.mark.skipif(sys.platform != "linux", reason="names of any bytes")
def test_a_name_in_another_encoding_is_told_as_it_is(place: Path, run: Run) -> None:
    name = os.fsdecode(b"caf\xe9.png")
    (place / "images/0.png").rename(place / "images" / name)
    assert run(place / "a", place / "images", "--out", place / "o")[0] == 0
    report = json.loads((place / "o/report.json").read_text())
    assert name in [Path(look["name"]).name for look in report["looks"]]
    assert r"caf\udce9.png" in (place / "o/inspect.html").read_text()


def test_large_models_keep_the_layers_there_is_room_for() -> None:
    assert _spread(12, 100) == list(range(12))
    assert _spread(24, 4) == [0, 8, 15, 23]
    assert _spread(12, 2) == [0, 11]
    assert _spread(12, 1) == []
    assert _spread(1, 1) == [0]


def test_nothing_is_overwritten_unasked(place: Path, run: Run) -> None:
    words = (place / "a", place / "images", "--out", place / "o")
    assert run(*words)[0] == 0
    code, _, err = run(*words)
    assert code == 2
    assert "--overwrite" in err
    assert run(*words, "--overwrite")[0] == 0
    code, _, err = run(place / "a", place / "images", "--out", place / "images", "--overwrite")
    assert code == 2
    assert "not ours" in err
    assert len(list((place / "images").iterdir())) == 2


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["/runs/photos"], ["photos"]),
        (["/runs/photos/model"], ["photos"]),
        (["/model"], ["model"]),
        (["/a/x", "/b/x"], ["a", "b"]),
        (["/a/x/y", "/b/x/model"], ["y", "x"]),
        (["/a/x", "/a/x/model"], ["1-x", "2-x"]),
    ],
)
def test_names_of_checkpoints_are_short_and_differ(paths: list[str], names: list[str]) -> None:
    assert checkpoint_names(paths) == names


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--show", "0"], "--show is 0"),
        (["nowhere.png"], "does not exist"),
        (["--image_size", "17"], "17"),
    ],
)
def test_mistakes_cost_one_line(place: Path, run: Run, words: list[str], said: str) -> None:
    code, _, err = run(place / "a", *words, "--out", place / "o")
    assert code == 2
    assert said in err
    assert len(err.strip().splitlines()) == 1
    assert not (place / "o").exists()
