"""Runs compared: on images that none was trained on, with the accuracy that `evaluate` gives, and what differs."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import vitascope as vs
from lessons import taught
from tiny import evaluated, finetune_recipe, image_folder, pretrain_recipe
from vitascope.errors import DataError
from vitascope.recipes.compare import as_tables, beside, compare
from vitascope.recipes.contenders import Contender, contender
from vitascope.recipes.finetune import finetune
from vitascope.recipes.pretrain import pretrain

pytestmark = pytest.mark.usefixtures("no_pictures")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`images`, and three runs that learned from them: two with other images held out, and one from the first."""
    place = tmp_path_factory.mktemp("compare")
    patch = pytest.MonkeyPatch()
    patch.setattr("vitascope.recipes.run.draw_curves", lambda folder: None)
    patch.setattr("vitascope.recipes.run.write_run_report", lambda folder, report: None)
    data = str(image_folder(place / "images", 40, seed=3))
    pretrain(pretrain_recipe(place / "first", data=data, holdout=0.25, steps=30, lr=0.01))
    pretrain(pretrain_recipe(place / "second", data=data, holdout=0.25, seed=1))
    finetune(finetune_recipe(place / "third", place / "first", data=data, holdout=0.25, image_size=32))
    patch.undo()
    return place


def of(place: Path, *names: str) -> list[Contender]:
    return [contender(str(place / name), name) for name in names]


def test_accuracies_are_those_of_evaluate_and_differences_are_paired(place: Path) -> None:
    found = compare(of(place, "first", "third"))
    alone = [evaluated(str(place / name), str(place / "images")) for name in ("first", "third")]
    assert found["images"] == alone[0]["images"] == 10
    assert [run["top1"] for run in found["runs"]] == pytest.approx([one["top1"] for one in alone])
    assert found["runs"][0]["interval"] == alone[0]["interval"]
    against = found["runs"][1]["against_first"]
    assert against["difference"] == pytest.approx(alone[1]["top1"] - alone[0]["top1"])
    assert 10 * against["difference"] == pytest.approx(against["gained"] - against["lost"])
    assert found["runs"][0]["against_first"] is None
    assert found["notes"] == ["judged on the 10 images that were held out of 40"]
    assert json.loads(json.dumps(found)) == found


def test_where_other_images_were_held_out_the_common_ones_count(place: Path) -> None:
    shown = [vs.load(place / name).shown for name in ("first", "second")]
    assert shown[0] is not None
    assert shown[1] is not None
    common = np.intersect1d(shown[0].validation, shown[1].validation)
    assert 0 < len(common) < 10
    found = compare(of(place, "first", "second"))
    assert found["images"] == len(common)
    assert "held out differ (first 10, second 10 of the 40 images)" in found["notes"][0]


def test_what_it_costs_and_in_which_options_they_differ(place: Path) -> None:
    found = compare(of(place, "first", "second", "third"))
    costs = found["runs"]
    assert costs[0]["parameters"] == sum(p.numel() for p in vs.load(place / "first").model.parameters())
    assert costs[2]["gflop"] > 3 * costs[0]["gflop"] > 0
    results = json.loads((place / "second" / "results.json").read_text())
    assert costs[1]["seconds"] == results["seconds"]
    assert all(run["images_per_second"] > 0 for run in costs)
    options = found["options"]
    assert options["seed"] == [0, 1, 0]
    assert options["image_size"] == [[16, 16], [16, 16], [32, 32]]
    assert options["task"][2] == "fine-tuning"
    assert not {"out", "data", "batch", "device", "checkpoint"} & options.keys()


def test_other_data_judges_whom_it_was_not_shown(place: Path, tmp_path: Path) -> None:
    other = image_folder(tmp_path / "other", 12, seed=8)
    seen = sorted((place / "images" / "ant").iterdir())[:6]
    for file in seen:
        shutil.copy(file, other / "ant" / f"again {file.name}")
    found = compare(of(place, "first", "third"), str(other))
    trained = vs.load(place / "first").shown
    assert trained is not None
    assert 12 <= found["images"] < 18
    taught(place / "first", place / "images", tmp_path / "taught")
    found = compare([*of(place, "first"), contender(str(tmp_path / "taught"), "taught")], str(other))
    assert found["images"] == 12


def test_what_all_were_trained_on_judges_nobody(place: Path, tmp_path: Path) -> None:
    taught(place / "first", place / "images", tmp_path / "taught")
    with pytest.raises(DataError, match=r"every one of the 40 images .* \(first on 30, taught on 40\): name other"):
        compare([*of(place, "first"), contender(str(tmp_path / "taught"), "taught")])


def test_what_is_not_known_is_said(place: Path, tmp_path: Path) -> None:
    vs.save(replace(vs.load(place / "first"), shown=None, card={}), tmp_path / "bare")
    found = compare([*of(place, "first"), contender(str(tmp_path / "bare"), "bare")])
    assert "what was trained on is not known of bare" in found["notes"][1]
    assert found["runs"][1]["seconds"] is None
    assert found["runs"][1]["against_first"]["difference"] == 0


def test_who_was_chosen_by_the_images_is_told(place: Path) -> None:
    first, third = of(place, "first", "third")
    chosen = replace(third, results={**third.results, "validation": {"chosen_on": True}})
    assert compare([first, chosen])["notes"][1:] == [
        "third was chosen by 10 of these images, which flatters it a little"
    ]
    assert first.model.shown is not None
    best = replace(first, model=replace(first.model, shown=replace(first.model.shown, chosen=True)))
    assert compare([best, third])["notes"][1:] == ["first was chosen by 10 of these images, which flatters it a little"]


def test_runs_of_different_data_need_data_to_be_judged_on(place: Path, tmp_path: Path) -> None:
    taught(place / "first", image_folder(tmp_path / "others", 9, seed=5), tmp_path / "taught")
    with pytest.raises(DataError, match=r"what these learned from differs \(first: .*images; taught: .*others\)"):
        compare([*of(place, "first"), contender(str(tmp_path / "taught"), "taught")])


def test_classes_that_one_does_not_know_are_told_with_its_name(place: Path, tmp_path: Path) -> None:
    other = image_folder(tmp_path / "other", 6)
    (other / "ant").rename(other / "zebra")
    with pytest.raises(DataError, match=r"^first: .*zebra"):
        compare(of(place, "first", "third"), str(other))


def test_unreadable_images_are_left_out_of_all(place: Path, tmp_path: Path) -> None:
    other = image_folder(tmp_path / "other", 6, seed=8)
    (other / "ant" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    found = compare(of(place, "first", "second"), str(other))
    assert found["images"] == 6
    assert found["notes"][-1] == "1 of the images cannot be read and are left out"


def test_tables_say_all_of_it_and_without_images_what_there_is(place: Path) -> None:
    found = compare(of(place, "first", "third"))
    judged, costs, options = as_tables(found)
    assert judged[0] == f"{place / 'images'} (train), 10 images"
    assert judged[1] == ["", "top-1", "against first", "p (McNemar)"]
    assert judged[2][0][2:] == ["–", "–"]
    assert "points (" in judged[2][1][2]
    assert costs[1] == ["", "model", "parameters", "GFLOP", "training", "images/s"]
    assert ["image_size", "16, 16", "32, 32"] in options[2]
    without = beside(of(place, "first", "third"), "why")
    assert [title for title, _, _ in as_tables(without)] == ["what it costs", "options that differ"]
    assert without["notes"] == ["why"]
