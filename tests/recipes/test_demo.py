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

from vitascope.data.open import open_data
from vitascope.errors import ConfigError, Stopped
from vitascope.recipes import demo
from vitascope.recipes.demo import claim_folder, few_labels, run_demo
from vitascope.recipes.demo_chart import chart
from vitascope.recipes.demo_report import percent
from vitascope.recipes.demo_settings import DemoResult, DemoSettings
from vitascope.recipes.run_folder import stored_config

TINY = DemoSettings(
    width=16,
    depth=1,
    heads=2,
    pretrain_size=8,
    fractal_classes=3,
    pretrain_steps=3,
    pretrain_batch=6,
    finetune_size=12,
    finetune_steps=4,
    finetune_batch=8,
    few_per_class=2,
    few_steps=3,
    few_batch=8,
    watched=12,
)


def at(out: Path, **changes: Any) -> DemoSettings:
    return dataclasses.replace(TINY, out=str(out), **changes)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> DemoResult:
    return run_demo(at(tmp_path_factory.mktemp("demo") / "runs" / "demo"))


def test_summary_holds_the_promised_figures(done: DemoResult) -> None:
    out = Path(done.settings.out)
    summary = json.loads((out / "summary.json").read_text())
    assert summary == json.loads(json.dumps(done.summary))
    few = summary["few_labels"]
    shares = [summary["pretrained_top1"], summary["scratch_top1"], few["pretrained_top1"], few["scratch_top1"]]
    assert all(0 <= share <= 1 and share * 450 == pytest.approx(round(share * 450)) for share in shares)
    assert few["per_class"] == 2
    assert summary["seconds"] > 0
    assert summary["seed"] == 0
    assert set(summary["versions"]) == {"vitascope", "python", "torch"}
    for run in ("pretrain", "finetune", "scratch", "few-labels", "few-labels-scratch"):
        assert summary["runs"][run]["images_per_second"] > 0
    assert summary["runs"]["few-labels"]["train_images"] == 20


def test_figures_agree_with_the_runs(done: DemoResult) -> None:
    out = Path(done.settings.out)
    results = {name: json.loads((out / name / "results.json").read_text()) for name in ("finetune", "scratch")}
    assert done.summary["pretrained_top1"] == results["finetune"]["test"]["top1"]
    assert done.summary["scratch_top1"] == results["scratch"]["test"]["top1"]
    assert done.tally.images == 450
    assert np.mean(done.predicted == done.test.labels) == done.summary["pretrained_top1"]


def test_pretrained_and_scratch_differ_only_in_their_beginning(done: DemoResult) -> None:
    out = Path(done.settings.out)
    for ours, plain in (("finetune", "scratch"), ("few-labels", "few-labels-scratch")):
        a, b = stored_config(out / ours), stored_config(out / plain)
        differing = {key for key in a.keys() & b.keys() if a[key] != b[key]}
        assert differing <= {"out", "lr"}
        sizes = [json.loads((out / name / "model" / "config.json").read_text()) for name in (ours, plain)]
        assert sizes[0]["model"] == sizes[1]["model"]


def test_fine_tuning_is_at_a_higher_resolution_with_the_same_patch(done: DemoResult) -> None:
    out = Path(done.settings.out)
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
        assert said[0][1] == done.predicted[index]


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
    html = (Path(done.settings.out) / "report.html").read_text()
    page = _Links()
    page.feed(html)
    assert page.open == []
    assert len(page.sources) > 20
    assert all(source.startswith("data:image/png;base64,") for source in page.sources)
    assert not re.search(r"https?://|@import|url\(", html)
    for share in (done.summary["pretrained_top1"], done.summary["few_labels"]["scratch_top1"]):
        assert percent(share) in page.text
    assert f"vitascope finetune {done.settings.out}/pretrain photos" in page.text
    assert "$" not in page.text


def test_the_same_seed_gives_the_same_figures_and_replaces_the_earlier_demo(done: DemoResult) -> None:
    out = Path(done.settings.out)
    (out / "mine.txt").write_text("kept")
    for thesis in (out / "finetune" / "thesis.txt", out / "pretrain" / "model" / "thesis.txt"):
        thesis.write_text("ten years")
        with pytest.raises(ConfigError, match=r"holds .*thesis.txt"):
            run_demo(done.settings)
        thesis.unlink()
    again = run_demo(done.settings)
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
        claim_folder(at(tmp_path))
    assert "--out" in str(error.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["finetune", name])


def test_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "demo").write_text("")
    with pytest.raises(ConfigError, match="no earlier demo"):
        claim_folder(at(tmp_path / "demo"))


def test_an_interrupted_demo_is_replaced_without_following_links(tmp_path: Path) -> None:
    out, elsewhere = tmp_path / "demo", tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious.txt").write_text("kept")
    claim_folder(at(out))
    (out / "finetune").symlink_to(elsewhere)
    (out / "pretrain").mkdir()
    claim_folder(at(out, seed=3))
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
        run_demo(at(tmp_path / "demo"))
    assert error.value.exit_code == 130
    assert "demo" in error.value.remedy
    assert "--resume" not in error.value.remedy


def test_few_labels_are_balanced_apart_from_the_others_and_follow_the_seed() -> None:
    digits = open_data("digits")
    few = few_labels(digits, TINY)
    assert few.train is not None
    assert few.validation is not None
    assert np.bincount(few.train.labels).tolist() == [2] * 10
    assert len(few.validation) == 12
    assert few.test is digits.test

    def names(source: Any) -> set[str]:
        return {source.describe(i) for i in range(len(source))}

    assert not names(few.train) & names(few.validation)
    assert names(few.train) == names(few_labels(digits, TINY).train)
    assert names(few.train) != names(few_labels(digits, dataclasses.replace(TINY, seed=1)).train)


def test_chart_places_points_inside_its_frame() -> None:
    svg = chart([("ours", [(0, 10), (50, 100)])], (0, 100))
    points = [tuple(map(float, pair.split(","))) for pair in re.search(r'points="([^"]+)"', svg)[1].split()]  # type: ignore[index]
    assert points[0][0] < points[1][0]
    assert points[0][1] > points[1][1]
    assert all(0 <= x <= 360 and 0 <= y <= 230 for x, y in points)
