"""The demo at tiny sizes: the same code, a tiny start, a few steps."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import signal
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vitascope as vs
from tiny import PLAIN
from tiny_checkpoint import TINY, checkpoint
from vitascope.cli import main
from vitascope.data.open import open_data
from vitascope.data.source import Splits, View
from vitascope.data.sources import digits
from vitascope.errors import ConfigError, Stopped
from vitascope.recipes import demo, train_choices
from vitascope.recipes import train as training
from vitascope.recipes.asked import Inspect
from vitascope.recipes.demo import claim_folder, few_labels, run_demo
from vitascope.recipes.recipe import FinetuneRecipe
from vitascope.recipes.train_asked import Demo

TEST = 60


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A tiny start, fewer digits, no measuring, four steps in place of a budget."""
    patch, place = pytest.MonkeyPatch(), tmp_path_factory.mktemp("start")
    vs.save(checkpoint(TINY), place / "start")
    usual = train_choices.finetuning

    def short(*words: Any, **where: Any) -> FinetuneRecipe:
        values = {"time_budget": None, "steps": 4, "batch": 6, "precision": "float32", "augment": PLAIN}
        return dataclasses.replace(usual(*words, **where), **values)

    def fewer(*words: Any) -> Splits:
        parts = {n: View(s, np.arange(TEST if n == "test" else 400)) for n, s in whole(*words).present().items()}
        return Splits(**parts)

    whole = digits.open_digits
    patch.setattr(digits, "open_digits", fewer)
    patch.setenv("VITASCOPE_CACHE", str(place / "cache"))
    patch.setattr(demo, "START", str(place / "start"))
    patch.setattr(train_choices, "training_rate", lambda *_, **__: 1000.0)
    patch.setattr(training, "finetuning", short)
    patch.setattr("vitascope.recipes.run.draw_curves", lambda folder: None)
    for room in ("run", "teach", "train"):  # the demo's own page is written all the same
        patch.setattr(f"vitascope.recipes.{room}.write_run_report", lambda folder, report: None)
    yield
    patch.undo()


@pytest.fixture(scope="module")
def done(quick: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("demo") / "runs" / "demo"
    run_demo(Demo(out=str(out), scratch_steps=3))
    return out


def test_figures_agree_with_the_runs(done: Path) -> None:
    summary = json.loads((done / "summary.json").read_text())
    tests = {
        name: json.loads((done / name / "results.json").read_text())["test"]
        for name in ("digits", "few-labels", "few-labels-scratch")
    }
    few = summary["few_labels"]
    assert summary["top1"] == tests["digits"]["top1"]
    assert (few["taught_top1"], few["scratch_top1"]) == tuple(
        tests[name]["top1"] for name in ("few-labels", "few-labels-scratch")
    )
    assert summary["test_images"] == TEST
    assert few["per_class"] == 10
    assert summary["seconds"] > 0
    assert set(summary["versions"]) == {"vitascope", "python", "torch"}


def test_the_few_labels_are_learned_by_the_same_model(done: Path) -> None:
    configs = [
        json.loads((done / name / "model" / "config.json").read_text())["model"]
        for name in ("few-labels", "few-labels-scratch")
    ]
    names = ("image_size", "patch", "width", "depth", "heads", "hidden", "class_token", "pooling")
    assert [configs[0][name] for name in names] == [configs[1][name] for name in names]
    labels = json.loads((done / "few-labels-scratch" / "labels.json").read_text())
    assert labels["train_images"] == json.loads((done / "few-labels" / "results.json").read_text())["images"] == 100


def test_ten_images_lie_there_as_files(done: Path) -> None:
    test = open_data("digits").test
    assert test is not None
    files = sorted((done / "images").iterdir())
    assert len(files) == 10
    for label, file in enumerate(files):
        index = int(re.search(r"test-(\d+)\.png", file.name)[1])  # type: ignore[index]
        assert test.labels[index] == label


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


def test_the_report_is_one_well_formed_file_that_leads_inside(done: Path) -> None:
    html = (done / "report.html").read_text()
    page = _Links()
    page.feed(html)
    assert page.open == []
    assert len(page.sources) > 10
    others = [source for source in page.sources if not source.startswith(("data:image/", "#"))]
    assert others == ["inside/inspect.html"]
    assert not re.search(r"https?://|@import|url\((?!#)", html)
    summary = json.loads((done / "summary.json").read_text())
    for share in (summary["top1"], *(summary["few_labels"][f"{name}_top1"] for name in ("taught", "scratch"))):
        assert f"{100 * share:.1f} %" in page.text
    assert "$" not in page.text


def test_an_earlier_demo_is_replaced_unless_something_else_is_in_it(done: Path, tmp_path: Path) -> None:
    shutil.copytree(done, out := tmp_path / "demo")
    (out / "mine.txt").write_text("kept")
    for thesis in (out / "digits" / "thesis.txt", out / "few-labels" / "model" / "thesis.txt"):
        thesis.write_text("ten years")
        with pytest.raises(ConfigError, match=r"holds .*thesis.txt"):
            claim_folder(out)
        thesis.unlink()
    claim_folder(out)
    assert sorted(path.name for path in out.iterdir()) == ["demo.json", "images", "mine.txt"]


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
    (out / "few-labels").symlink_to(elsewhere)
    (out / "few-labels-scratch").mkdir()
    claim_folder(out, seed=3)
    assert [path.name for path in out.iterdir()] == ["demo.json"]
    assert json.loads((out / "demo.json").read_text())["settings"]["seed"] == 3
    assert (elsewhere / "precious.txt").exists()


def test_a_signal_stops_it_with_its_exit_code_and_a_remedy_that_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object, **__: object) -> None:
        raise Stopped(signal.SIGINT, "SIGINT: saved at step 1 of 3")

    monkeypatch.setattr(demo, "train_run", stopped)
    with pytest.raises(Stopped) as error:
        run_demo(Demo(out=str(tmp_path / "demo")))
    assert error.value.exit_code == 130
    assert "demo" in error.value.remedy
    assert "--resume" not in error.value.remedy


def test_few_labels_are_balanced_apart_from_the_others_and_follow_the_seed() -> None:
    whole = open_data("digits")
    few = few_labels(whole, 0)
    assert few.train is not None
    assert few.validation is not None
    assert np.bincount(few.train.labels).tolist() == [10] * 10
    assert len(few.validation) == 300
    assert few.test is whole.test

    def names(source: Any) -> set[str]:
        return {source.describe(i) for i in range(len(source))}

    assert not names(few.train) & names(few.validation)
    assert names(few.train) == names(few_labels(whole, 0).train)
    assert names(few.train) != names(few_labels(whole, 1).train)


@pytest.mark.usefixtures("quick")
def test_the_command_shows_what_came_out_and_looks_inside(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out, looked = tmp_path / "demo", list[Inspect]()
    monkeypatch.setattr("vitascope.cli.commands.demo.inspect", lambda asked, console: looked.append(asked))
    assert main(["demo", "--out", str(out), "--seed=2", "--scratch_steps=2"]) == 0
    said, err = capsys.readouterr()
    assert "10 labels a digit, from random values" in said
    assert "[4/4] looking inside" in err
    assert f"open {out / 'report.html'} in a browser" in " ".join(err.split())
    assert "vitascope train photos/ --out runs/mine" in err
    assert [(Path(each.checkpoint), Path(each.out)) for each in looked] == [(out / "digits", out / "inside")]
    assert len(list(Path(looked[0].others[0]).iterdir())) == 10
    assert json.loads((out / "summary.json").read_text())["seed"] == 2
