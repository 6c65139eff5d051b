"""`vitascope enough`: now, twice, four times; which class gains most; and that too few images are said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import vitascope as vs
from commanding import Run, refused
from tiny import image_folder
from tiny_checkpoint import checkpoint


def test_tables_a_figure_and_json(tmp_path: Path, run: Run) -> None:
    vs.save(checkpoint(), tmp_path / "start")
    data, figure = image_folder(tmp_path / "images", 60, seed=3), tmp_path / "new" / "curve.png"
    code, out, err = run("enough", data, "--start", tmp_path / "start", "--figure", figure)
    assert code == 0
    assert [row.split()[-4] for row in out.splitlines() if "as many" in row] == ["120", "240"]
    assert all(name in out for name in ("now, each image by the others", "twice as many", "four times as many", "bee"))
    assert "for a linear head on this start" in err
    assert figure.read_bytes().startswith(b"\x89PNG")
    code, _, err = run("enough", data, "--start", tmp_path / "start", "--figure", figure)
    assert code == 2
    assert "choose another --figure file" in err


def test_too_few_are_said_and_there_is_no_figure(tmp_path: Path, run: Run) -> None:
    vs.save(checkpoint(), tmp_path / "start")
    data, figure = image_folder(tmp_path / "images", 12), tmp_path / "curve.png"
    code, out, err = run("enough", data, "--start", tmp_path / "start", "--figure", figure)
    assert code == 0
    assert "nothing is foretold: there are 12 images, expected at least 40" in err
    assert "twice" not in out
    assert not figure.exists()
    code, out, _ = run("enough", data, "--start", tmp_path / "start", "--json")
    assert json.loads(out)["forecast"] == []


def test_a_class_of_few_images_is_where_to_begin(tmp_path: Path, run: Run) -> None:
    vs.save(checkpoint(), tmp_path / "start")
    data = image_folder(tmp_path / "images", 60, seed=3)
    for file in sorted((data / "bee").iterdir())[3:]:
        file.unlink()
    code, out, err = run("enough", data, "--start", tmp_path / "start")
    assert code == 0
    assert "too few to say" in out
    assert "begin with the classes of fewer than 6 images: bee (3)" in err
    code, out, _ = run("enough", data, "--start", tmp_path / "start", "--json")
    assert set(json.loads(out)["gains"]) == {"ant", "cat"}


def test_no_data_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert "no such folder" in refused(capsys, "enough", "nowhere")
