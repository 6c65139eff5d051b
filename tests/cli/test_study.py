"""`vitascope study`: the plan, the run, what is printed for whom, and mistakes answered in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from commanding import Run
from tiny_study import BIT, SOURCE, VIT, shrink, target, words
from vitascope.cli import COMMANDS, main
from vitascope.cli.arguments import Arguments
from vitascope.cli.commands import study
from vitascope.errors import UserError
from vitascope.studies import workers
from vitascope.studies.settings import Compute, DataScaling, Study

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    shrink(monkeypatch)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return target(tmp_path_factory.mktemp("target"))


@pytest.fixture
def nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("a run was started")

    monkeypatch.setattr(workers, "run_cell", refuse)


def settings(*given: str | Path, kind: type[Study] = DataScaling) -> Any:
    """What a command line means."""
    command = study.data_scaling if kind is DataScaling else study.compute
    return Arguments("study", "source target", "x", command).parse([str(word) for word in given])[0]


@pytest.mark.usefixtures("nothing_runs")
def test_a_dry_run_shows_the_plan_and_starts_nothing(tmp_path: Path, images: Path, run: Run) -> None:
    given = [*words("data-scaling", tmp_path / "out", images, sizes=(20, 40), seeds=1, steps=4), "--dry-run"]
    code, out, err = run(*given)
    assert code == 0
    assert "4 of 4 runs left, about " in out + err
    lines = [line for line in out.splitlines() if VIT in line or BIT in line]
    assert len(lines) == 4
    assert "1,000" in out.replace("1000", "1,000")  # images a second
    assert "sets of 40 images are not seen whole" in " ".join((out + err).split())  # 4 steps of 8
    assert not (tmp_path / "out").exists()
    code, out, _ = run(*given, "--json")
    assert code == 0
    assert out.count("\n") == 1
    plan = json.loads(out)
    assert [entry["run"] for entry in plan["left"]] == [
        "ViT-32_8-20-4-s0",
        "BiT-R14x0.5-20-4-s0",
        "ViT-32_8-40-4-s0",
        "BiT-R14x0.5-40-4-s0",
    ]
    assert plan["done"] == 0
    assert plan["seconds_left"] == pytest.approx(sum(entry["seconds"] for entry in plan["left"]), abs=0.3)
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("nothing_runs")
def test_what_a_budget_leaves_out_is_named(tmp_path: Path, images: Path, run: Run) -> None:
    given = [*words("compute", tmp_path / "out", images, steps=(4, 40000), seeds=1), "--dry-run"]
    code, out, err = run(*given, "--time-budget=90s")
    assert code == 0
    assert "left out for time: ViT-32_8-48-40000-s0, BiT-R14x0.5-48-40000-s0" in " ".join((out + err).split())
    assert "2 of 2 runs left" in out + err
    code, out, err = run(*given, "--time-budget=0.01s")
    assert code == 2
    assert err.splitlines()[-1].startswith("vitascope study compute: error: time_budget 0s leaves 0 of 4 runs")


def test_a_study_from_start_to_end_and_again(tmp_path: Path, images: Path, run: Run) -> None:
    out = tmp_path / "out"
    given = words("data-scaling", out, images, sizes=(20, 40), seeds=1, steps=2, models=VIT)
    code, shown, err = run(*given)
    assert code == 0
    said = shown + err
    assert "ViT-32_8-20-2-s0: " in said
    assert "% fine-tuned, about " in said
    assert "fine-tuned, by size" in shown
    assert "2-shot, by size" in shown
    assert f"tables, figures and the reading are in {out}" in " ".join(said.split())
    assert "{" not in shown
    names = {path.name for path in out.iterdir()}
    assert names == {
        "settings.json", "costs.json", "cells", "runs", "study.json", "table.csv", ".lock", "README.md",
        "data-scaling.png", "data-scaling.svg",
    }  # fmt: skip
    table = (out / "table.csv").read_bytes()
    code, shown, _ = run(*given, "--json")  # all is done: it only reports
    assert code == 0
    assert shown.count("\n") == 1
    result = json.loads(shown)
    assert result["runs"] == {"done": 2, "left": 0, "dropped": []}
    assert (out / "table.csv").read_bytes() == table


def test_json_of_a_run_is_one_object(tmp_path: Path, images: Path, run: Run) -> None:
    code, out, _ = run(*words("compute", tmp_path / "out", images, steps=(1, 2), models=VIT), "--json")
    assert code == 0
    assert out.count("\n") == 1
    assert {"settings", "models", "runs", "table", "crossovers", "verdicts"} <= set(json.loads(out))


def test_other_settings_in_the_same_folder_are_refused(tmp_path: Path, images: Path, run: Run) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "settings.json").write_text('{"study": "compute"}')
    code, out, err = run(*words("data-scaling", tmp_path / "out", images))
    assert (code, out) == (2, "")
    assert "was started with other settings (study: data-scaling, was compute" in err
    assert err.count("\n") == 1


def test_the_group_is_shown(run: Run) -> None:
    studies = [name for name in COMMANDS if name.startswith("study ")]
    assert len(studies) == 5
    code, out, err = run("study", "--help")
    assert (code, err) == (0, "")
    for name in COMMANDS:
        assert (f"  {name} " in out) == (name in studies)
    assert run("study", "-h") == (code, out, err)
    code, out, err = run("study")
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert all(name in err for name in studies)
    everything = run("--help")[1]
    assert all(name in everything for name in studies)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("study", "nonsense"), "no command 'study nonsense'; expected one of study data-scaling, study compute"),
        (("study", "computes"), "no command 'study computes'; did you mean 'study compute'?"),
        (("study", "data_scaling"), "did you mean 'study data-scaling'?"),
        (("stuyd", "compute"), "no command 'stuyd'"),
        (("study", "data-scaling", "--out=x"), "SOURCE is missing: what models are pre-trained on"),
        (("study", "data-scaling", SOURCE, "--out=x"), "TARGET is missing: what they are fine-tuned and judged on"),
        (("study", "data-scaling", SOURCE, "digits"), "required: out"),
        (("study", "compute", SOURCE, "digits", "--out=x", "--sizes=1,2"), "did you mean --size"),
        (("study", "data-scaling", SOURCE, "digits", "--out=x", "--sizes=1,two"), "--sizes"),
        (("study", "data-scaling", SOURCE, "digits", "--out=x", "--sizes=20,20"), "each once"),
        (("study", "data-scaling", SOURCE, "digits", "--out=x", "--shots=5,5"), "each once"),
        (("study", "data-scaling", SOURCE, "digits", "--out=x", "--models=ViT-B/16,BiT-R51x1"), "BiT-R51x1"),
        (("study", "data-scaling", SOURCE, "digits", "--out=x", "--jobs=0"), "jobs is 0"),
        (("study", "data-scaling", SOURCE, "digits", "--out=x", "--time-budget=soon"), "90s, 10m or 2h"),
        (("study", "data-scaling", SOURCE, "no-such-data", "--out=x"), "no-such-data"),
        (("study", "data-scaling", "no-such-data", "digits", "--out=x"), "no-such-data"),
        (("study", "data-scaling", SOURCE, "digits", "--out=x"), "too few to keep 1000 of them for validation"),
        (
            ("study", "data-scaling", SOURCE, "digits", "--out=x", "--validation-images=12", "--sizes=20,49"),
            "sizes has 49, but fractals",
        ),
        (
            ("study", "data-scaling", SOURCE, "digits", "--out=x", "--validation-images=12", "--shots=5000"),
            "fewer than 5000 images of",
        ),
    ],
)
@pytest.mark.usefixtures("nothing_runs")
def test_mistakes_are_answered_in_one_line(
    given: tuple[str, ...], said: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = run(*given)
    assert (code, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["study data-scaling", "study compute"])
def test_help_explains_every_setting(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command.split(), "--help-all"]) == 0
    text = capsys.readouterr().out
    for name in ("--models", "--validation-images", "--finetune-steps", "--shots", "--jobs", "--time-budget"):
        assert name in text
    assert "--dry-run" in text
    assert "A line-up (small, paper)" in " ".join(text.split())


@pytest.mark.parametrize(
    "given",
    [
        ("--sizes", "100,400", "--seeds", "3,1", "--shots=5"),
        ("--sizes=100,400", "--seeds=3,1", "--shots", "5"),
        ("--sizes", "[100,400]", "--seeds=[3, 1]", "--shots=[5]"),
        ("--sizes=100,400,", "--seeds", "3,1", "--shots", "5,"),
    ],
)
def test_lists_need_no_brackets(given: tuple[str, ...]) -> None:
    study = settings("a", "b", "--out=x", *given)
    assert (study.sizes, study.seeds, study.shots) == ((100, 400), (3, 1), (5,))


def test_a_single_size_is_a_list_and_a_single_number_is_none() -> None:
    study = settings("a", "b", "--out=x", "--sizes=100", "--steps=5")
    assert (study.sizes, study.steps) == ((100,), 5)
    budgets = settings("a", "b", "--out=x", "--steps", "2500,5000", "--size=100", kind=Compute)
    assert (budgets.steps, budgets.size) == ((2500, 5000), 100)


def test_a_source_with_commas_is_one_text() -> None:
    study = settings(SOURCE, "b", "--out=x", "--further", "fractals:classes=5,size=16")
    assert (study.source, study.further) == (SOURCE, ("fractals:classes=5,size=16",))
    several = settings(SOURCE, "b", "--out=x", '--further=["fractals:classes=5,size=16", "c"]')
    assert several.further == ("fractals:classes=5,size=16", "c")


def test_a_config_file_may_hold_everything_and_options_change_it(tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    values = {"source": SOURCE, "target": "digits", "out": "x", "sizes": [20, 40], "lr": 0.5, "shots": [3]}
    file.write_text(yaml.safe_dump(values))
    study = settings("--config", file, "--sizes=30,60")
    assert (study.source, study.target, study.lr, study.shots) == (SOURCE, "digits", 0.5, (3,))
    assert study.sizes == (30, 60)
    assert settings("other", "--config", file).source == "other"


def test_the_comparison_on_a_gpu_is_a_grid() -> None:
    study = settings("SOURCE", "TARGET", "--config", ROOT / "results" / "comparison" / "large.yaml", "--out=large")
    assert len(study.grid(13_000_000)) == 4 * (4 + 3 + 2)
    assert {contender.kind for contender in study.contenders} == {"ViT", "ResNet"}
    assert (study.precision, study.compile) == ("bfloat16", True)


def test_time_for_rates_is_not_taken_for_that_of_runs(
    tmp_path: Path, images: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]

    def one_run(asked: Study, plan: Any, done: Any, watch: Any) -> None:
        clock[0] += 2000  # both models' trials
        done(plan.left[0], {})
        raise UserError("stop here")

    monkeypatch.setattr("vitascope.studies.study.cell_seconds", lambda *_: 100.0)
    monkeypatch.setattr("vitascope.studies.study.trial_seconds", lambda *_: 1000.0)
    monkeypatch.setattr("vitascope.studies.study.run_study", one_run)
    monkeypatch.setattr(study.time, "monotonic", lambda: clock[0])
    given = words("data-scaling", tmp_path / "out", images, sizes=(20,), seeds=1, steps=4, rates=(1e-3, 3e-3))
    _, out, err = run(*given)
    assert "about 1m35s left" in " ".join((out + err).split())  # of 2,200 s in all, 2,100 told by 2,000


@pytest.mark.usefixtures("nothing_runs")
def test_more_than_a_day_asks_for_consent(
    tmp_path: Path, images: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vitascope.studies.study.cell_seconds", lambda *_: 86400.0)
    given = words("data-scaling", tmp_path / "out", images, sizes=(20,), seeds=1, steps=4)
    code, out, err = run(*given)
    assert code == 2
    assert "2 of 2 runs left, about 2d0h" in " ".join((out + err).split())
    assert "error: about 2d0h; give --time-budget 8h, " in " ".join(err.split())
    assert not (tmp_path / "out").exists()
    assert run(*given, "--dry-run")[0] == 0
