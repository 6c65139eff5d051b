"""The page and the table that a run leaves: the same figures as everywhere, for people."""

from __future__ import annotations

import csv
import json
import re
import shutil
from html import unescape
from pathlib import Path

import pytest

import vitascope as vs
from lessons import taught
from tiny import evaluated, finetune_recipe, image_folder, pretrain_recipe, splits
from tiny_checkpoint import TINY, checkpoint
from vitascope.checkpoints.kept_examples import read_examples
from vitascope.data.source import Splits
from vitascope.recipes.finetune import finetune
from vitascope.recipes.pretrain import pretrain

pytestmark = pytest.mark.usefixtures("cold_cache")


def words(page: Path) -> str:
    return " ".join(unescape(re.sub("<[^>]+>", " ", page.read_text(encoding="utf-8"))).split())


def rows(table: Path) -> list[dict[str, str]]:
    assert table.read_bytes().startswith(b"\xef\xbb\xbf")  # without it spreadsheets garble what is not ASCII
    with table.open(newline="", encoding="utf-8-sig") as file:
        return list(csv.DictReader(file))


def test_what_is_taught_says_one_accuracy_everywhere(tmp_path: Path) -> None:
    vs.save(checkpoint(TINY), tmp_path / "start")
    image_folder(tmp_path / "data" / "train", 48)
    image_folder(tmp_path / "data" / "test", 30, seed=1)
    run = tmp_path / "run"
    results = taught(tmp_path / "start", tmp_path / "data", run).results
    again = evaluated(str(run), str(tmp_path / "data"))
    stored = json.loads((run / "results.json").read_text())
    top1 = again["top1"]
    assert top1 == results["test"]["top1"] == stored["test"]["top1"] == vs.load(run).card["results"]["test"]["top1"]
    kept = read_examples(str(run))
    assert [each.label for each in kept] == ["ant", "bee", "cat", "ant", "bee", "cat"]
    assert {each.split for each in kept} == {"test"}
    assert [path.name for path in (run / "model").iterdir() if "example" in path.name] == []
    said = words(run / "report.html")
    assert f"{100 * top1:.1f} % of the images are named right" in said
    assert f"Judged on {again['images']} images" in said
    low, high = again["interval"]
    assert f"between {100 * low:.0f} and {100 * high:.0f} in 100" in said
    assert "Would more photographs help?" in said
    told = rows(run / "answers.csv")
    of = {split: [row for row in told if row["split"] == split] for split in ("test", "left out")}
    assert {split: len(found) for split, found in of.items()} == {"test": 30, "left out": 48}
    assert sum(row["right"] == "yes" for row in of["test"]) / 30 == top1
    assert sum(row["right"] == "yes" for row in of["left out"]) / 48 == results["loo_top1"]
    for found in of.values():  # mistakes first, of those the most confident
        order = [(row["right"] == "yes", -float(row["probability"]) * (row["right"] == "no")) for row in found]
        assert order == sorted(order)
        assert all((row["truth"] == row["answer"]) == (row["right"] == "yes") for row in found)
        assert all(Path(row["file"]).parent.name == row["truth"] for row in found)


def test_the_page_names_no_other_file_and_keeps_names_from_becoming_markup(tmp_path: Path) -> None:
    vs.save(checkpoint(TINY), tmp_path / "start")
    image_folder(tmp_path / "data", 30)
    (tmp_path / "data" / "cat").rename(tmp_path / "data" / "<img src=x onerror=alert(1)>")
    taught(tmp_path / "start", tmp_path / "data", tmp_path / "run")
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "<img src=x" not in page
    assert "&lt;img src=x" in page
    assert set(re.findall(r'(?:src|href)="([a-z]*:?)', page)) <= {"data:", ""}
    assert "http" not in re.sub(r'xmlns(:\w+)?="[^"]*"', "", page)
    assert len(page) < 1_000_000


def test_a_trained_run_says_one_accuracy_everywhere(tmp_path: Path) -> None:
    start = pretrain(pretrain_recipe(tmp_path / "start"), splits=splits())
    run = finetune(finetune_recipe(tmp_path / "run", start), splits=splits(40, 30)).parent
    found = json.loads((run / "results.json").read_text())["validation"]
    told = rows(run / "answers.csv")
    assert [row["split"] for row in told] == 30 * ["validation"]
    assert sum(row["right"] == "yes" for row in told) / 30 == found["top1"]
    assert {name: c["images"] for name, c in found["per_class"].items()} == {"ant": 10, "bee": 10, "cat": 10}
    said = words(run / "report.html")
    assert f"{100 * found['top1']:.1f} % of the images are named right" in said or "has not learned" in said
    assert "Learning curves" in said


def test_a_start_without_labels_and_a_run_without_images_to_judge_say_so(tmp_path: Path) -> None:
    masked = pretrain(pretrain_recipe(tmp_path / "masked", objective="masked"), splits=splits()).parent
    assert "learned from images alone" in words(masked / "report.html")
    assert not (masked / "answers.csv").exists()
    everything = Splits(train=splits().train)
    unjudged = pretrain(pretrain_recipe(tmp_path / "all", holdout=0.0), splits=everything).parent
    assert "Nothing tells yet how good it is" in words(unjudged / "report.html")
    assert not (unjudged / "answers.csv").exists()


def test_copies_across_splits_are_said_where_the_accuracy_stands(tmp_path: Path) -> None:
    vs.save(checkpoint(TINY), tmp_path / "start")
    image_folder(tmp_path / "data" / "train", 48, seed=2)
    image_folder(tmp_path / "data" / "test", 12, seed=1)
    for file in list((tmp_path / "data" / "test" / "bee").iterdir())[:2]:
        shutil.copy(file, tmp_path / "data" / "train" / "bee" / f"again-{file.name}")
    taught(tmp_path / "start", tmp_path / "data", tmp_path / "run")
    said = words(tmp_path / "run" / "report.html")
    assert "have copies among those learned from (2 groups), which flatters it" in said
    assert "2 groups of images are copies" in said


def test_as_many_examples_are_kept_as_one_asks_for_and_an_earlier_file_goes(tmp_path: Path) -> None:
    vs.save(checkpoint(TINY), tmp_path / "start")
    data = image_folder(tmp_path / "data", 12)
    for count in (2, 0):
        taught(tmp_path / "start", data, tmp_path / "run", keep_examples=count, overwrite=True)
        kept = read_examples(str(tmp_path / "run"))
        assert [(each.label, each.split) for each in kept] == [("ant", "left out"), ("bee", "left out")][:count]
        assert (tmp_path / "run" / "examples.json").exists() == bool(count)


def test_images_of_one_group_widen_the_range_in_words(tmp_path: Path) -> None:
    vs.save(checkpoint(TINY), tmp_path / "start")
    image_folder(tmp_path / "data", 48)
    taught(tmp_path / "start", tmp_path / "data", tmp_path / "run", group=r"(\d)\d\.png")
    assert r"Images of one group ((\d)\d\.png) are alike" in words(tmp_path / "run" / "report.html")


def test_names_that_are_no_utf_8_do_not_cost_the_run(tmp_path: Path) -> None:
    vs.save(checkpoint(TINY), tmp_path / "start")
    image_folder(tmp_path / "data", 24)
    bee = sorted((tmp_path / "data" / "bee").iterdir())[0]  # called an ant, so that it is a mistake, which is named
    bee.rename(tmp_path / "data" / "ant" / "caf\udce9.png")
    taught(tmp_path / "start", tmp_path / "data", tmp_path / "run")
    assert r"caf\udce9.png" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
