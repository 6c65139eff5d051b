"""Learning curves and confusion matrices: what they show and say, on any ground and for any names."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from vitascope.reports.figures import confusion_figure, curves, draw_curves
from vitascope.views.drawing import inline

RESULTS = {"validation": {"baseline": {"class": "bee", "top1": 0.6}}}


def recorded(folder: Path, *lines: dict[str, Any], results: dict[str, Any] | None = None) -> Path:
    folder.mkdir()
    (folder / "metrics.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    if results is not None:
        (folder / "results.json").write_text(json.dumps(results))
    return folder


def trained(step: int, loss: float) -> dict[str, Any]:
    return {"step": step, "epoch": 0.1, "loss": loss, "lr": 0.1}


def judged(step: int, **figures: float) -> dict[str, Any]:
    return {"step": step, "validation": {"images": 10, **figures}}


def test_both_losses_stand_together_and_accuracy_beside_chance(tmp_path: Path) -> None:
    lines = trained(1, 1.0), judged(1, loss=1.5, top1=0.5), trained(2, 0.5), judged(2, loss=1.25, top1=0.75)
    drawn = curves({"": recorded(tmp_path / "run", *lines, results=RESULTS)})
    assert drawn is not None
    loss, score = drawn.axes
    found = {str(line.get_label()): list(np.asarray(line.get_ydata())) for line in loss.lines}
    assert found == {"training": [1.0, 0.5], "validation": [1.5, 1.25]}
    assert [list(np.asarray(line.get_ydata())) for line in score.lines] == [[50.0, 75.0], [60.0, 60.0]]
    assert score.lines[1].get_label() == "always bee: 60 %"
    assert [axes.get_title(loc="left") for axes in drawn.axes] == ["Loss", "Right on images held out"]
    assert [axes.get_ylabel() for axes in drawn.axes] == ["loss", "top-1 (%)"]
    assert score.get_xlabel() == "step"


@pytest.mark.parametrize(("last", "drawn"), [(101, [50, 100]), (140, [50, 100, 140])])
def test_a_last_mean_over_far_fewer_steps_than_the_others_is_left_out(
    tmp_path: Path, last: int, drawn: list[int]
) -> None:
    found = curves({"": recorded(tmp_path / "run", trained(50, 1.0), trained(100, 0.5), trained(last, 2.0))})
    assert found is not None
    assert list(np.asarray(found.axes[0].lines[0].get_xdata())) == drawn


def test_several_runs_are_told_apart_and_share_their_chance(tmp_path: Path) -> None:
    lines = trained(1, 1.0), judged(1, loss=1.5, top1=0.5)
    runs = {name: recorded(tmp_path / name, *lines, results=RESULTS) for name in ("ours", "theirs")}
    drawn = curves(runs)
    assert drawn is not None
    labels = [str(line.get_label()) for line in drawn.axes[1].lines]
    assert labels == ["ours, validation", "theirs, validation", "always bee: 60 %"]
    assert len({line.get_color() for line in drawn.axes[1].lines}) == 3


@pytest.mark.parametrize("figures", [{"loss": 1.0}, {"loss": 1.0, "colours": 0.5}])
def test_without_a_score_there_is_the_loss_alone(tmp_path: Path, figures: dict[str, float]) -> None:
    drawn = curves({"": recorded(tmp_path / "run", trained(1, 1.0), judged(1, **figures), results={"steps": 1})})
    assert drawn is not None
    assert [axes.get_xlabel() for axes in drawn.axes] == ["step"]


def test_what_was_not_held_out_is_said(tmp_path: Path) -> None:
    run = recorded(tmp_path / "run", trained(1, 1.0))
    drawn = curves({"": run})
    assert drawn is not None
    assert drawn.axes[0].get_title(loc="left") == "Loss; nothing was held out"
    path = draw_curves(run)
    assert path is not None
    assert path.read_bytes().startswith(b"\x89PNG")


def test_a_record_without_lines_has_no_curves(tmp_path: Path) -> None:
    assert draw_curves(recorded(tmp_path / "run")) is None
    assert list((tmp_path / "run").glob("*.png")) == []


def cells(confusion: list[list[int]] | np.ndarray, names: tuple[str, ...]) -> list[str]:
    return [text.get_text() for text in confusion_figure(np.asarray(confusion), names, "test").axes[0].texts]


def test_cells_hold_shares_by_row_and_counts_where_classes_are_few() -> None:
    assert cells([[3, 1], [0, 0]], ("ant", "bee")) == ["75 %\n3", "25 %\n1"]  # of no images nothing is said
    many = np.diag(np.full(10, 300))
    many[0, 1] = 1
    assert cells(many, tuple("abcdefghij"))[:2] == ["100 %", "< 1 %"]


def test_the_title_says_which_images_and_how_many_are_right() -> None:
    title = confusion_figure(np.array([[3, 1], [0, 1200]]), ("ant", "bee"), "flowers (test)").get_suptitle()
    assert title.startswith("Confusion, flowers (test)\n1,203 of 1,204 images right")


@pytest.mark.parametrize("k", [2, 10, 100, 300])
def test_names_do_not_overlap_and_cells_have_numbers_only_where_these_fit(k: int) -> None:
    names = tuple(f"a class of the name {i}" for i in range(k))
    drawn = confusion_figure(np.eye(k, dtype=np.int64), names, "test")
    drawn.draw_without_rendering()
    axes = drawn.axes[0]
    boxes = [label.get_window_extent() for label in axes.get_yticklabels()]
    assert len(boxes) == (k if k <= 100 else 0)
    assert all(one.y0 >= other.y1 - 1 for one, other in pairwise(boxes))
    assert len(axes.texts) == (k if k <= 20 else 0)


def test_any_name_can_be_shown() -> None:
    svg = inline(confusion_figure(np.eye(3, dtype=np.int64), ("$a$", "<b>&", "c\n" + 99 * "c"), "x"), "y")
    for said in ("$a$", "&lt;b&gt;&amp;", "…"):
        assert said in svg


def test_in_a_page_a_figure_has_its_ink_and_nothing_that_reaches_out_of_it(tmp_path: Path) -> None:
    lines = trained(1, 1.0), judged(1, loss=1.5, top1=0.5)
    run = recorded(tmp_path / "run", *lines, results=RESULTS)
    drawn, again = curves({"": run}), curves({"": run})
    assert drawn is not None
    assert again is not None
    svg = inline(drawn, 'what it "shows"')
    ElementTree.fromstring(svg)
    assert 'aria-label="what it &quot;shows&quot;"' in svg
    assert not re.search(r"#000000|#333333|#ffffff|<style|https?://|DejaVu|<metadata|<g id", svg)
    assert "currentColor" in svg
    assert svg == inline(again, 'what it "shows"')


def test_a_title_is_no_formula(tmp_path: Path) -> None:
    confusion_figure(np.eye(2, dtype=np.int64), ("a", "b"), r"a$\foo$").savefig(tmp_path / "confusion.png")
    assert (tmp_path / "confusion.png").is_file()
