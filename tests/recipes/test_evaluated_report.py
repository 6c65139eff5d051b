"""What `evaluate` leaves where it is asked to: a page, a table of all answers, pictures of the mistakes."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import vitascope as vs
from commanding import refused
from lessons import taught
from tiny import evaluated, image_folder
from tiny_checkpoint import TINY, checkpoint
from vitascope.reports.answer_files import _file_name

pytestmark = pytest.mark.usefixtures("cold_cache", "no_pictures")


@pytest.fixture
def taught_run(tmp_path: Path) -> Path:
    vs.save(checkpoint(TINY), tmp_path / "start")
    image_folder(tmp_path / "data", 120)
    wrong = sorted((tmp_path / "data" / "ant").iterdir())[4]
    shutil.move(wrong, tmp_path / "data" / "cat" / "moved.png")
    taught(tmp_path / "start", tmp_path / "data", tmp_path / "run")
    return tmp_path / "run"


def test_all_three_say_what_the_figures_say(taught_run: Path, tmp_path: Path) -> None:
    files = {"csv": tmp_path / "all.csv", "errors": tmp_path / "wrong", "report": tmp_path / "page.html"}
    how = {name: str(path) for name, path in files.items()}
    found = evaluated(str(taught_run), str(tmp_path / "data"), split="train", **how)
    with files["csv"].open(newline="", encoding="utf-8-sig") as file:
        told = list(csv.DictReader(file))
    assert len(told) == found["images"] == 120
    assert sum(row["right"] == "yes" for row in told) / 120 == found["top1"]
    mistakes = [row for row in told if row["right"] == "no"]
    assert told[: len(mistakes)] == mistakes
    [suspected] = [row for row in told if row["label_wrong"]]
    assert Path(suspected["file"]).name == "moved.png"
    assert (suspected["truth"], float(suspected["label_wrong"]) > 0.5) == ("cat", True)
    pictures = sorted(files["errors"].rglob("*.png"))
    assert len(pictures) == len(mistakes) > 0
    by_rank = {int(path.name.split("-")[0]): path for path in pictures}
    for rank, row in enumerate(mistakes, start=1):
        picture = by_rank[rank]
        assert picture.parent.name == row["truth"]
        assert picture.name.split("-")[1:3] == [row["answer"], f"{float(row['probability']):.2f}"]
        assert np.array_equal(Image.open(picture), Image.open(row["file"]))
    page = files["report"].read_text(encoding="utf-8")
    assert f"{100 * found['top1']:.1f} % of the images are named right" in page
    assert "were trained on: no measure of new ones" in page
    assert "Labels that may be wrong" in page


def test_what_is_there_is_not_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "run").mkdir()
    (tmp_path / "data").mkdir()
    for name in ("csv", "errors", "report"):
        told = refused(capsys, "evaluate", tmp_path / "run", tmp_path / "data", f"--{name}", tmp_path / "mine")
        assert f"choose another --{name}" in told
    assert (tmp_path / "mine").read_text() == "mine"


def test_without_mistakes_there_is_an_empty_folder_and_the_page_says_so(tmp_path: Path) -> None:
    vs.save(checkpoint(TINY), tmp_path / "start")
    image_folder(tmp_path / "data" / "train", 60)
    image_folder(tmp_path / "data" / "test", 6, seed=1)
    taught(tmp_path / "start", tmp_path / "data", tmp_path / "run")
    how = {"errors": str(tmp_path / "wrong"), "report": str(tmp_path / "page.html")}
    found = evaluated(str(tmp_path / "run"), str(tmp_path / "data"), **how)
    assert found["top1"] == 1.0
    assert list((tmp_path / "wrong").iterdir()) == []
    assert "No mistakes" in (tmp_path / "page.html").read_text()


def test_unreadable_images_leave_the_rows_of_the_others_theirs(taught_run: Path, tmp_path: Path) -> None:
    """Answers are told apart by their images' places, also where some of a batch are missing."""
    files = sorted((tmp_path / "data").rglob("*.png"))
    for file in files[::7]:
        file.write_bytes(b"no image")
    how = {"csv": str(tmp_path / "all.csv"), "report": str(tmp_path / "page.html"), "on_error": "skip"}
    found = evaluated(str(taught_run), str(tmp_path / "data"), split="train", batch=5, **how)
    assert found["skipped"] == len(files[::7])
    with (tmp_path / "all.csv").open(newline="", encoding="utf-8-sig") as file:
        told = {row["file"]: row for row in csv.DictReader(file)}
    assert sorted(told) == sorted(map(str, set(files) - set(files[::7])))
    predictor = vs.Predictor(taught_run)
    for file in list(told)[:20]:
        label, _, probability = predictor(file)[0][0]
        assert told[file]["answer"] == label
        assert float(told[file]["probability"]) == pytest.approx(probability, abs=1e-4)
        assert told[file]["truth"] == Path(file).parent.name


def test_names_of_any_letters_are_short_enough_for_a_file_system() -> None:
    assert len(_file_name("\u6f22" * 100).encode()) <= 90
    assert _file_name("\u6f22" * 100)[-1] == "\u6f22"
    assert _file_name("a/b: c?") == "a_b_ c_"
    assert _file_name("...") == "_"
