"""The demo at tiny sizes: the same code, a few steps."""

from __future__ import annotations

import dataclasses
import json
import re
import signal
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vitascope.cli import main
from vitascope.data.open import open_data
from vitascope.errors import ConfigError, Stopped
from vitascope.recipes import demo
from vitascope.recipes.demo import DemoResult, claim_folder, demo_recipes, few_labels, run_demo
from vitascope.recipes.demo_page import write_demo_page
from vitascope.recipes.recipe import FinetuneRecipe, PretrainRecipe
from vitascope.recipes.run_folder import stored_config

TINY = {"width": 16, "depth": 1, "heads": 2, "hidden": 64}
FRACTALS = "fractals:classes=3,size=16,instances=6,validation=0"


def tiny(out: Path, seed: int = 0) -> dict[str, PretrainRecipe | FinetuneRecipe]:
    """The demo's runs, a few steps of a small model each."""
    recipes = {}
    for name, recipe in demo_recipes(out, seed).items():
        changes: dict[str, Any] = {"steps": 4, "batch": 8, "log_every": 1, "eval_every": 2, "save_every": 4}
        changes["image_size"] = 8 if name == "pretrain" else 12
        if isinstance(recipe, PretrainRecipe):
            changes["model_fields"] = TINY
        if name == "pretrain":
            changes["data"] = FRACTALS
        recipes[name] = dataclasses.replace(recipe, **changes)
    return recipes


def at(out: Path) -> DemoResult:
    result = run_demo(out, recipes=tiny(out))
    write_demo_page(result)
    return result


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> DemoResult:
    patch = pytest.MonkeyPatch()
    patch.setattr("vitascope.recipes.run.draw_curves", lambda folder: None)
    patch.setattr("vitascope.recipes.run.write_run_report", lambda folder, report: None)
    result = at(tmp_path_factory.mktemp("demo") / "runs" / "demo")
    patch.undo()
    return result


def test_summary_holds_the_promised_figures(done: DemoResult) -> None:
    out = done.out
    summary = json.loads((out / "summary.json").read_text())
    assert summary == json.loads(json.dumps(done.summary))
    few = summary["few_labels"]
    shares = [summary["pretrained_top1"], summary["scratch_top1"], few["pretrained_top1"], few["scratch_top1"]]
    assert all(0 <= share <= 1 and share * 450 == pytest.approx(round(share * 450)) for share in shares)
    assert few["per_class"] == 10
    assert summary["seconds"] > 0
    assert summary["seed"] == 0
    assert set(summary["versions"]) == {"vitascope", "python", "torch"}
    for run in ("pretrain", "finetune", "scratch", "few-labels", "few-labels-scratch"):
        assert summary["runs"][run]["images_per_second"] > 0
    assert summary["runs"]["few-labels"]["train_images"] == 100


def test_figures_agree_with_the_runs(done: DemoResult) -> None:
    out = done.out
    results = {name: json.loads((out / name / "results.json").read_text()) for name in ("finetune", "scratch")}
    assert done.summary["pretrained_top1"] == results["finetune"]["test"]["top1"]
    assert done.summary["scratch_top1"] == results["scratch"]["test"]["top1"]
    assert done.summary["test_images"] == len(done.probabilities) == 450
    assert np.mean(done.probabilities.argmax(axis=1) == done.test.labels) == done.summary["pretrained_top1"]


def test_pretrained_and_scratch_differ_only_in_their_beginning(done: DemoResult) -> None:
    out = done.out
    for ours, plain in (("finetune", "scratch"), ("few-labels", "few-labels-scratch")):
        a, b = stored_config(out / ours), stored_config(out / plain)
        differing = {key for key in a.keys() & b.keys() if a[key] != b[key]}
        assert differing <= {"out", "lr"}
        sizes = [json.loads((out / name / "model" / "config.json").read_text()) for name in (ours, plain)]
        assert sizes[0]["model"] == sizes[1]["model"]


def test_fine_tuning_is_at_a_higher_resolution_with_the_same_patch(done: DemoResult) -> None:
    out = done.out
    before, after = (
        json.loads((out / name / "model" / "config.json").read_text())["model"] for name in ("pretrain", "finetune")
    )
    assert (before["image_size"], after["image_size"]) == ([8, 8], [12, 12])
    assert before["patch"] == after["patch"] == 4
    assert before["representation_size"] == 16
    assert after["representation_size"] is None


def test_ten_images_are_predicted_from_files(done: DemoResult) -> None:
    assert [label for _, label, _ in done.samples] == list(range(10))
    for path, label, said in done.samples:
        index = int(re.search(r"test-(\d+)\.png", path.name)[1])  # type: ignore[index]
        assert done.test.labels[index] == label
        assert said[0][1] == done.probabilities[index].argmax()


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.sources: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "img", "br", "line", "polyline", "circle"):
            self.open.append(tag)
        self.sources += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_report_is_one_well_formed_file(done: DemoResult) -> None:
    html = (done.out / "report.html").read_text()
    page = _Links()
    page.feed(html)
    assert page.open == []
    assert len(page.sources) > 20
    assert all(source.startswith(("data:image/png;base64,", "#")) for source in page.sources)
    assert not re.search(r"https?://|@import|url\((?!#)", html)
    for share in (done.summary["pretrained_top1"], done.summary["few_labels"]["scratch_top1"]):
        assert f"{100 * share:.1f} %" in page.text
    assert f"vitascope finetune {done.out}/pretrain photos" in page.text
    assert "$" not in page.text


def test_the_same_seed_gives_the_same_figures_and_replaces_the_earlier_demo(done: DemoResult) -> None:
    out = done.out
    (out / "mine.txt").write_text("kept")
    for thesis in (out / "finetune" / "thesis.txt", out / "pretrain" / "model" / "thesis.txt"):
        thesis.write_text("ten years")
        with pytest.raises(ConfigError, match=r"holds .*thesis.txt"):
            at(done.out)
        thesis.unlink()
    again = at(done.out)
    clock = {"seconds", "runs"}
    assert {k: v for k, v in again.summary.items() if k not in clock} == {
        k: v for k, v in done.summary.items() if k not in clock
    }
    assert (out / "mine.txt").read_text() == "kept"


@pytest.mark.parametrize("name", ["notes.txt", "summary.json", "demo.json"])
def test_a_folder_with_something_else_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text('{"thesis": 1}')
    (tmp_path / "finetune").mkdir()
    with pytest.raises(ConfigError, match="no earlier demo") as error:
        claim_folder(tmp_path)
    assert "--out" in str(error.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["finetune", name])


def test_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "demo").write_text("")
    with pytest.raises(ConfigError, match="no earlier demo"):
        claim_folder(tmp_path / "demo")


def test_an_interrupted_demo_is_replaced_without_following_links(tmp_path: Path) -> None:
    out, elsewhere = tmp_path / "demo", tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious.txt").write_text("kept")
    claim_folder(out)
    (out / "finetune").symlink_to(elsewhere)
    (out / "pretrain").mkdir()
    claim_folder(out, seed=3)
    assert [path.name for path in out.iterdir()] == ["demo.json"]
    assert json.loads((out / "demo.json").read_text())["settings"]["seed"] == 3
    assert (elsewhere / "precious.txt").exists()


def test_a_signal_stops_it_with_its_exit_code_and_a_remedy_that_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object, **__: object) -> None:
        raise Stopped(signal.SIGINT, "SIGINT: saved at step 1 of 3")

    monkeypatch.setattr(demo, "pretrain", stopped)
    with pytest.raises(Stopped) as error:
        run_demo(tmp_path / "demo")
    assert error.value.exit_code == 130
    assert "demo" in error.value.remedy
    assert "--resume" not in error.value.remedy


def test_few_labels_are_balanced_apart_from_the_others_and_follow_the_seed() -> None:
    digits = open_data("digits")
    few = few_labels(digits, 0)
    assert few.train is not None
    assert few.validation is not None
    assert np.bincount(few.train.labels).tolist() == [10] * 10
    assert len(few.validation) == 300
    assert few.test is digits.test

    def names(source: Any) -> set[str]:
        return {source.describe(i) for i in range(len(source))}

    assert not names(few.train) & names(few.validation)
    assert names(few.train) == names(few_labels(digits, 0).train)
    assert names(few.train) != names(few_labels(digits, 1).train)


def test_the_demos_recipes_are_those_of_its_results() -> None:
    recipes = demo_recipes(Path("runs/demo"))
    steps = {name: (recipe.steps, recipe.batch, recipe.lr, recipe.eval_every) for name, recipe in recipes.items()}
    assert steps == {
        "pretrain": (3600, 32, 1e-3, None),
        "finetune": (400, 64, 1.5e-3, 50),
        "scratch": (400, 64, 1.5e-3, 50),
        "few-labels": (150, 50, 3e-3, 18),
        "few-labels-scratch": (150, 50, 1.5e-3, 18),
    }


@pytest.mark.usefixtures("no_pictures")
def test_the_command_shows_what_came_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo, "demo_recipes", tiny)
    assert main(["demo", "--out", str(tmp_path / "demo"), "--seed=2"]) == 0
    out, err = capsys.readouterr()
    assert "1,211 (all)" in out
    assert "[6/6] evaluating, predicting" in err
    assert f"open {tmp_path / 'demo' / 'report.html'} in a browser" in " ".join(err.split())
    assert "vitascope check photos" in err
    assert json.loads((tmp_path / "demo" / "summary.json").read_text())["seed"] == 2
