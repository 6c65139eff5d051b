"""What a study leaves: numbers for programs, tables and verdicts for people, figures; also when little was done."""

from __future__ import annotations

import csv
import dataclasses
import json
import math
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tiny_study import BIT, TINY, VIT, compute, data_scaling, diverged, rows, shrink
from vitascope.checkpoints.run_files import write_json
from vitascope.studies import report as report_module
from vitascope.studies.analysis import Row
from vitascope.studies.cells import row_file
from vitascope.studies.cost import Cost
from vitascope.studies.lineup import LINEUPS, Contender
from vitascope.studies.report import csv_table, summary_table, write_report
from vitascope.studies.settings import Cell, Study
from vitascope.studies.study import Plan

BIG = "ViT-64/8"
COSTS = {
    VIT: Cost(parameters=1000, flops=2e6, images_per_second=500.0),
    BIG: Cost(parameters=4000, flops=8e6, images_per_second=250.4),
    BIT: Cost(parameters=3000, flops=3e6, images_per_second=300.0),
}


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    shrink(monkeypatch)
    monkeypatch.setitem(LINEUPS, "small", (TINY[0], Contender(name=BIG, model="ViT-Ti/8"), TINY[1]))


def report(study: Study, made: list[Row], *, left: int = 0, dropped: int = 0) -> tuple[Path, dict[str, Any]]:
    """The report on these rows, of a plan with so many more cells; its folder and what study.json says."""
    kinds = {contender.name: contender for contender in study.contenders}
    cells = [
        Cell(contender=kinds[one["model"]], size=one["size"], steps=one["steps"], seed=one["seed"]) for one in made
    ]
    for cell, one in zip(cells, made, strict=True):
        write_json(row_file(study.out, cell), one)
    further = [Cell(contender=TINY[0], size=9999, steps=1, seed=seed) for seed in range(left + dropped)]
    plan = Plan(
        cells=(*cells, *further[:left]),
        dropped=tuple(further[left:]),
        done=frozenset(cell.key for cell in cells),
        costs=COSTS,
        seconds={},
        jobs=1,
    )
    result = write_report(study, plan)
    folder = Path(study.out)
    stored = (folder / "study.json").read_text(encoding="utf-8")
    assert json.loads(stored, parse_constant=refuse) == json.loads(json.dumps(result))
    return folder, result


def refuse(name: str) -> float:
    raise AssertionError(f"{name} is not JSON")


def paper(sizes: Iterable[int] = (10, 100, 1000), seeds: int = 2) -> list[Row]:
    """Rows in which ViTs begin below and end above the ResNet."""
    made: list[Row] = []
    for place, size in enumerate(sizes):
        for name, start, slope in ((VIT, 0.2, 0.2), (BIG, 0.1, 0.3), (BIT, 0.4, 0.05)):
            values = tuple(start + slope * place + 0.001 * seed for seed in range(seeds))
            made += rows(name, values, few=values, rise=[0.01] * seeds, size=size)
    return made


def test_the_table_is_tidy(tmp_path: Path) -> None:
    made = paper()
    folder, _ = report(data_scaling(tmp_path / "out", "digits"), made)
    with (folder / "table.csv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    assert list(lines[0]) == ["model", "kind", "parameters", "flops", "size", "steps", "seed", "measure", "value"]
    assert len(lines) == len(made) * 4
    assert len({tuple(line.values())[:-1] for line in lines}) == len(lines)
    for line in lines:
        assert math.isfinite(float(line["value"]))
        cost = COSTS[line["model"]]
        assert (int(line["parameters"]), float(line["flops"])) == (cost.parameters, cost.flops)
    (one,) = [
        line for line in lines
        if (line["model"], line["size"], line["seed"], line["measure"]) == (BIG, "100", "1", "fine-tuned")
    ]  # fmt: skip
    assert (float(one["value"]), one["kind"], one["steps"]) == (0.401, "ViT", "10")
    # By the line-up, then size, then seed: nothing depends on what was done first.
    places = [(line["model"], int(line["size"]), int(line["seed"])) for line in lines[::4]]
    assert places == sorted(places, key=lambda place: ([VIT, BIG, BIT].index(place[0]), place[1], place[2]))


def test_the_order_in_which_runs_ended_leaves_no_trace(tmp_path: Path) -> None:
    study = data_scaling(tmp_path / "out", "digits")
    table = (report(study, paper())[0] / "table.csv").read_bytes()
    again = dataclasses.replace(study, out=str(tmp_path / "again"))
    assert (report(again, paper()[::-1])[0] / "table.csv").read_bytes() == table


def test_study_json_has_settings_costs_tables_crossings_and_verdicts(tmp_path: Path) -> None:
    study = data_scaling(tmp_path / "out", "digits", batch=100)
    _, result = report(study, paper(), left=1, dropped=2)
    assert result["settings"] == study.kept()
    assert result["models"][BIT] == {"kind": "ResNet", **dataclasses.asdict(COSTS[BIT])}
    assert result["runs"] == {"done": 18, "left": 1, "dropped": ["ViT-32_8-9999-1-s1", "ViT-32_8-9999-1-s2"]}
    assert result["diverged"] == []
    assert {entry["measure"] for entry in result["table"]} == {"fine-tuned", "2-shot", "pre-training", "overfit"}
    assert len(result["table"]) == 4 * 3 * 3
    (entry,) = [e for e in result["table"] if (e["measure"], e["model"], e["size"]) == ("fine-tuned", VIT, 100)]
    assert (entry["mean"], entry["seeds"]) == (pytest.approx(0.4005), 2)
    assert 0 < entry["half"] < 0.01
    crossed = [(c["measure"], c["model"], c["other"]) for c in result["crossovers"]]
    assert crossed == [("fine-tuned", VIT, BIT), ("fine-tuned", BIG, BIT), ("2-shot", VIT, BIT), ("2-shot", BIG, BIT)]
    # −0.2, −0.05, +0.1: a third of the way from 100 to 1,000.
    assert result["crossovers"][0]["size"] == pytest.approx(100 * 10 ** (1 / 3))
    assert [v["outcome"] for v in result["verdicts"]] == [
        "holds", "does not hold", "holds", "not decidable here", "holds", "holds",
    ]  # fmt: skip


def test_the_readme_has_the_tables_and_the_reading(tmp_path: Path) -> None:
    folder, result = report(data_scaling(tmp_path / "out", "digits", further_targets=("x",)), paper(), dropped=1)
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert "18 runs are done, 0 are left, 1 were dropped for time: ViT-32_8-9999-1-s0." in text
    assert f"| {BIG} | ViT | 0.00 M | 0.008 | 250 |" in text
    told = ("# Study data-scaling: fractals", "on each of 2 targets, of which accuracies are the means")
    for title in (*told, "**Test accuracy after fine-tuning", "**Linear 2-shot test accuracy", "**Validation accuracy"):
        assert title in text
    assert "| | 10 | 100 | 1,000 |" in text
    assert f"| {VIT} | 20.1 ± " in text or f"| {VIT} | 20.0 ± " in text
    assert f"- fine-tuned, {VIT} and {BIT}: at about 215 images (interval: " in text
    assert f"at the largest size {VIT} is ahead" in text
    for verdict in result["verdicts"]:
        assert f"- {verdict['statement']}: **{verdict['outcome']}**." in text
        for claim in verdict["claims"]:
            assert claim["text"] in text
    assert "![data-scaling](data-scaling.png)" in text
    assert "nan" not in text.lower()


def test_figures_are_drawn_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Any] = []
    real = report_module.draw_study

    def draw(*args: Any) -> Any:
        drawn.append(real(*args))
        return drawn[-1]

    monkeypatch.setattr(report_module, "draw_study", draw)
    folder, _ = report(data_scaling(tmp_path / "out", "digits"), paper())
    with Image.open(folder / "data-scaling.png") as image:
        assert image.size[0] > image.size[1] > 300
        colours = {tuple(colour) for _, colour in image.convert("RGB").getcolors(1 << 20)}
    assert {(0x56, 0xB4, 0xE9), (0x00, 0x72, 0xB2), (0xE6, 0x9F, 0x00)} <= colours  # two ViTs, a ResNet
    assert "<svg" in (folder / "data-scaling.svg").read_text(encoding="utf-8")
    (figure,) = drawn
    tuned, _, overfit = figure.axes
    assert [axes.get_ylabel() for axes in figure.axes] == [
        "test accuracy, fine-tuned (%)",
        "test accuracy, 2 per class (%)",
        "rise of validation loss from its least",
    ]
    assert tuned.get_xscale() == "log"
    assert [tick.get_text() for tick in tuned.get_xticklabels()] == ["10", "100", "1,000"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [VIT, BIG, BIT]
    line = tuned.containers[0].lines[0]
    assert line.get_ydata() == pytest.approx([20.05, 40.05, 60.05])  # in per cent
    assert overfit.containers[0].lines[0].get_ydata() == pytest.approx([0.01] * 3)  # in nats
    low, high = tuned.get_xlim()
    assert low < min(line.get_xdata()) < 11
    assert 900 < max(line.get_xdata()) < high


def test_compute_is_drawn_over_operations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Any] = []
    real = report_module.draw_study
    monkeypatch.setattr(report_module, "draw_study", lambda *args: (drawn.append(real(*args)), drawn[-1])[1])
    made = [
        one
        for steps, add in ((10, 0.0), (40, 0.2))
        for name, value in ((VIT, 0.4), (BIT, 0.3))
        for one in rows(name, (value + add, value + add + 0.01), few=[0.1, 0.2], steps=steps)
    ]
    folder, result = report(compute(tmp_path / "out", "digits"), made)
    assert {path.name for path in folder.iterdir()} >= {"compute.png", "compute.svg", "table.csv", "README.md"}
    x = drawn[0].axes[0].containers[0].lines[0].get_xdata()
    assert x[1] / x[0] == pytest.approx(4)
    assert x[0] == pytest.approx(3 * 2e6 * 10 * 8, rel=0.1)
    assert drawn[0].axes[0].get_xlabel() == "operations of pre-training"
    assert result["crossovers"] == []
    assert {entry["steps"] for entry in result["table"]} == {10, 40}
    assert [verdict["claims"][0]["text"] for verdict in result["verdicts"]][1] == "no hybrid was run"
    assert "| | 10 | 40 |" in (folder / "README.md").read_text(encoding="utf-8")


def test_what_diverged_is_named_and_has_no_numbers(tmp_path: Path) -> None:
    made = [one for one in paper() if (one["model"], one["size"], one["seed"]) != (BIG, 1000, 1)]
    made.append(diverged(BIG, size=1000, seed=1))
    folder, result = report(data_scaling(tmp_path / "out", "digits"), made)
    assert result["diverged"] == [f"{BIG} 1000 10 seed 1"]
    assert f"Diverged, and therefore without numbers: {BIG} 1000 10 seed 1." in (folder / "README.md").read_text(
        encoding="utf-8"
    )
    assert result["runs"]["done"] == 18
    assert len((folder / "table.csv").read_text(encoding="utf-8").splitlines()) == 1 + 17 * 4
    (entry,) = [e for e in result["table"] if (e["measure"], e["model"], e["size"]) == ("fine-tuned", BIG, 1000)]
    assert entry["seeds"] == 1


@pytest.mark.parametrize("kind", [data_scaling, compute])
def test_when_everything_diverged_there_is_a_report_without_figures(tmp_path: Path, kind: Any) -> None:
    made = [diverged(name, size=size, steps=size) for size in (10, 100) for name in (VIT, BIT)]
    folder, result = report(kind(tmp_path / "out", "digits"), made)
    assert len(result["diverged"]) == 4
    assert result["table"] == result["crossovers"] == []
    assert {verdict["outcome"] for verdict in result["verdicts"]} == {"not decidable here"}
    assert not list(folder.glob("*.png"))
    assert ".png" not in (folder / "README.md").read_text(encoding="utf-8")
    assert len((folder / "table.csv").read_text(encoding="utf-8").splitlines()) == 1


def test_one_size_is_a_table_without_crossings(tmp_path: Path) -> None:
    folder, result = report(data_scaling(tmp_path / "out", "digits"), paper(sizes=(10,), seeds=1))
    assert result["crossovers"] == []
    assert {verdict["outcome"] for verdict in result["verdicts"]} == {"not decidable here"}
    assert all(entry["half"] is None for entry in result["table"])
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert "Where ViTs pass" not in text
    assert f"| {VIT} | 20.0 % (1) |" in text
    assert (folder / "data-scaling.png").is_file()


def test_sets_that_are_not_seen_whole_are_named(tmp_path: Path) -> None:
    said = []
    for number, sizes in enumerate(((2, 80), (10, 160))):  # 10 steps of 8 images
        folder, _ = report(data_scaling(tmp_path / str(number), "digits"), paper(sizes=sizes))
        said.append((folder / "README.md").read_text(encoding="utf-8"))
    assert "an image is seen 1 times where that is least, 40 where it is most." in said[0]
    assert "not seen whole" not in said[0]
    assert "0.5 times where that is least, 8 where it is most. Below once, a set is not seen whole" in said[1]


def test_a_vit_that_falls_behind_is_not_said_to_run_beside(tmp_path: Path) -> None:
    made = [*rows(VIT, (0.5, 0.5), size=10), *rows(BIT, (0.4, 0.4), size=10)]
    made += [*rows(VIT, (0.5, 0.51), size=100), *rows(BIT, (0.6, 0.6), size=100)]
    text = (report(data_scaling(tmp_path / "out", "digits"), made)[0] / "README.md").read_text(encoding="utf-8")
    assert f"{VIT} and {BIT}: the first does not pass the second within the sizes; at the largest size {BIT}" in text


def test_one_side_is_a_table_without_crossings(tmp_path: Path) -> None:
    for number, kinds in enumerate(({"ViT"}, {"ResNet"})):
        made = [one for one in paper() if one["kind"] in kinds]
        folder, result = report(data_scaling(tmp_path / str(number), "digits"), made)
        assert result["crossovers"] == []
        assert {verdict["outcome"] for verdict in result["verdicts"]} == {"not decidable here"}
        assert {entry["model"] for entry in result["table"]} == {one["model"] for one in made}
        assert (folder / "data-scaling.svg").is_file()


def test_one_seed_has_crossings_without_an_interval(tmp_path: Path) -> None:
    folder, result = report(data_scaling(tmp_path / "out", "digits"), paper(seeds=1))
    first = result["crossovers"][0]
    assert (first["low"], first["high"], first["ahead"]) == (None, None, 0)
    assert "(interval: the smallest size to beyond the largest); at the largest size neither is ahead" in (
        folder / "README.md"
    ).read_text(encoding="utf-8")
    assert {verdict["outcome"] for verdict in result["verdicts"]} == {"not decidable here"}


def test_summary_of_places_and_seeds() -> None:
    made = rows(VIT, (0.25, 0.75), size=10) + rows(VIT, (0.5,), size=20)
    entries = [entry for entry in summary_table(made, "size") if entry["measure"] == "fine-tuned"]
    assert [(e["size"], e["mean"], e["seeds"]) for e in entries] == [(10, 0.5, 2), (20, 0.5, 1)]
    # s = √(2·0.25²) of one degree of freedom, whose t is 12.706
    assert entries[0]["half"] == pytest.approx(12.7062 * math.sqrt(0.125) / math.sqrt(2), rel=1e-5)
    assert entries[1]["half"] == pytest.approx(12.7062 * math.sqrt(0.125), rel=1e-5)


def test_numbers_in_the_csv_have_six_digits() -> None:
    text = csv_table(rows(VIT, (1 / 3,)), {VIT: {"parameters": 7, "flops": 9.0}}, "size")
    assert text.splitlines()[1] == f"{VIT},ViT,7,9.0,100,10,0,fine-tuned,0.333333"


def test_settings_of_studies_need_no_torch() -> None:
    code = (
        "import sys, vitascope.studies.settings, vitascope.studies.lineup as l; l.lineup('small')[2].kind; "
        "raise SystemExit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, env=dict(os.environ)).returncode == 0
