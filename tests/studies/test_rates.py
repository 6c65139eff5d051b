"""Rates tried before a study: the search, what it is judged on, and that it is done once."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import pytest

from tiny_study import BIT, TINY, VIT, data_scaling, quicker, same_results, target
from vitascope.errors import DivergedError
from vitascope.recipes.run_folder import stored_config
from vitascope.studies import rates
from vitascope.studies import study as study_module
from vitascope.studies.lineup import LINEUPS
from vitascope.studies.rates import known_rates, templates, trials, widened, with_rates
from vitascope.studies.report import write_report
from vitascope.studies.settings import Study
from vitascope.studies.study import plan_study, run_study


@pytest.mark.parametrize(
    ("best", "expected", "tried"),
    [(3e-3, 3e-3, 3), (2e-2, 2.7e-2, 5), (1e-4, 1.11111e-4, 6), (1e-9, 1.23457e-5, 7)],
)
def test_the_best_is_looked_for_beyond_an_end(best: float, expected: float, tried: int) -> None:
    found, scores = widened((3e-3, 1e-3, 9e-3), lambda rate: -abs(math.log(rate / best)))
    assert found == pytest.approx(expected)
    assert len(scores) == tried  # not for ever


def test_of_equals_the_smaller_and_of_one_that_one() -> None:
    assert widened((1.0, 2.0, 4.0), lambda rate: 1.0 if rate > 1 else 0.0)[0] == 2.0
    assert widened((2.0,), lambda rate: 0.0) == (2.0, {2.0: 0.0})
    assert widened((1.0, 2.0), lambda rate: -math.inf)[1] == {1.0: -math.inf, 2.0: -math.inf}


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    quicker(monkeypatch)
    return target(tmp_path / "images")


def done(study: Study) -> dict[str, Any]:
    plan = plan_study(study)
    run_study(study, plan, lambda cell, row: None)
    return write_report(study, plan)


TRIED: dict[str, Any] = {"rates": (1e-3, 3e-3), "finetune_rates": (0.03,), "sizes": (20,), "draws": 1}


def test_each_model_gets_the_rate_that_is_best_on_images_kept_out(images: Path, tmp_path: Path) -> None:
    study = data_scaling(tmp_path / "out", images, **TRIED)
    plan = plan_study(study)
    assert plan.trials > 0
    done(study)
    found = json.loads((tmp_path / "out" / "rates.json").read_text())["models"][VIT]
    tried = found["tried"]["lr"]
    assert {"0.001", "0.003"} <= set(tried)
    assert tried[f"{found['lr']:g}"] == max(tried.values())
    for cell in plan.cells:
        run = tmp_path / "out" / "runs" / cell.key
        assert stored_config(run / "pretrain")["lr"] == found["lr"]
        assert stored_config(run / "finetune")["lr"] == found["finetune_lr"]
    assert templates(plan.cells)[VIT].size == 20
    assert not trials(study, plan.cells)


def test_a_study_killed_in_its_trials_goes_on_to_the_same(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done(data_scaling(tmp_path / "whole", images, **TRIED))
    study, real, calls = data_scaling(tmp_path / "cut", images, **TRIED), rates.once, []

    def crash(*args: Any) -> Any:
        calls.append(args[0].name)
        if len(calls) == 2:
            raise OSError("power cut")
        return real(*args)

    with monkeypatch.context() as patch:
        patch.setattr(rates, "once", crash)
        with pytest.raises(OSError, match="power cut"):
            done(study)
    done(study)
    same_results(tmp_path / "cut", tmp_path / "whole")
    assert (tmp_path / "cut" / "rates.json").read_bytes() == (tmp_path / "whole" / "rates.json").read_bytes()
    (tmp_path / "cut" / "rates.json").write_text("{")
    assert known_rates(study) == {}  # made again, from runs that are done


@pytest.mark.parametrize("better", [True, False])
def test_resnets_are_tuned_by_bits_own_set_up_too(
    better: bool, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(LINEUPS, "small", TINY)
    tried: list[str] = []

    def result(folder: Path, every: int | None, begin: Any) -> dict[str, Any]:
        tried.append(f"{folder.parent.name} {folder.name}")
        return {"validation": {"top1": 0.5 + 0.1 * (better if "bit" in folder.name else 0)}}

    monkeypatch.setattr(rates, "once", result)
    study = data_scaling(tmp_path / "out", images, bit_lr=0.003, sizes=(20,))
    cells = study.grid(48)
    assert [cell.contender.name for cell, *_ in trials(study, cells)] == [BIT]
    own = with_rates(study, cells)
    assert tried == [f"BiT-R14x0.5-20-4 {name}" for name in ("lr-0.001", "finetune-lr-0.03", "finetune-bit-lr-0.003")]
    found = own.finetuning(BIT)
    assert (found["lr"], found["decay"]) == ((0.003, "stairs") if better else (0.03, "cosine"))
    assert own.finetuning(VIT)["decay"] == "cosine"
    assert not trials(study, cells)
    assert with_rates(study, cells) == own
    assert own.rate(BIT, "finetune_lr") == found["lr"]


def test_what_the_user_gave_is_not_tried(images: Path, tmp_path: Path) -> None:
    study = data_scaling(tmp_path / "out", images, own_rates={VIT: {"lr": 0.002, "finetune_lr": 0.02}}, **TRIED)
    assert not trials(study, plan_study(study).cells)
    done(study)
    assert not (tmp_path / "out" / "rates").exists()


@pytest.mark.parametrize(
    ("own", "lr", "decay"), [({"finetune_lr": 0.02}, 0.02, "cosine"), ({"bit_lr": 0.1}, 0.1, "stairs")]
)
def test_the_set_up_of_fine_tuning_that_the_user_gave_goes_before_a_chosen_one(
    own: dict[str, float], lr: float, decay: str, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(LINEUPS, "small", TINY)
    study = data_scaling(
        tmp_path / "out", images, bit_lr=0.003, finetune_rates=(0.01, 0.03), sizes=(20,), own_rates={BIT: own}
    )
    asked = {"lr": [], "finetune_lr": [0.01, 0.03], "bit_lr": [0.003]}
    chosen = {"finetune_lr": 0.01, "bit_lr": 0.003}
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "rates.json").write_text(json.dumps({"asked": asked, "models": {VIT: chosen, BIT: chosen}}))
    assert not trials(study, study.grid(48))
    found = with_rates(study, study.grid(48)).finetuning(BIT)
    assert (found["lr"], found["decay"]) == (lr, decay)


def test_where_all_rates_diverge_the_study_goes_on(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverges(folder: Path, every: int | None, begin: Any) -> dict[str, Any]:
        raise DivergedError("loss nan")

    monkeypatch.setattr(rates, "once", diverges)
    study = data_scaling(tmp_path / "out", images, **TRIED)
    own = with_rates(study, study.grid(48))
    assert own.rate(VIT, "finetune_lr") == study.finetune_lr
    assert not trials(study, study.grid(48))


def test_rates_are_tried_in_the_middle_of_the_whole_grid(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []

    def result(folder: Path, every: int | None, begin: Any) -> dict[str, Any]:
        tried.append(folder.parent.name)
        return {"validation": {"top1": 0.5}}

    monkeypatch.setattr(rates, "once", result)
    monkeypatch.setattr(study_module, "run_cells", lambda *_: None)
    study = data_scaling(tmp_path / "out", images, **{**TRIED, "sizes": (10, 20, 40)})
    plan = plan_study(study)
    cut = dataclasses.replace(plan, cells=plan.cells[:1], dropped=plan.cells[1:])
    run_study(study, cut, lambda cell, row: None)
    assert set(tried) == {"ViT-32_8-20-4"}
