"""A run that was stopped and resumed is the run that was not: bit for bit, on a CPU."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tiny import RICH, pretrain_recipe, splits
from vitascope.data import batches
from vitascope.errors import Stopped
from vitascope.recipes import plan
from vitascope.recipes import run as run_module
from vitascope.recipes.pretrain import pretrain
from vitascope.training import loop, objective
from vitascope.training.state import saved_states

pytestmark = pytest.mark.usefixtures("no_pictures")

EVERYTHING: dict[str, Any] = {
    "augment": RICH,
    "dropout": 0.1,
    "stochastic_depth": 0.3,
    "label_smoothing": 0.1,
    "weight_decay": 0.1,
    "layer_decay": 0.8,
    "ema": 0.9,
    "drop_tokens": 0.5,
    "drop_tokens_for": 0.5,
    "steps": 11,  # 20 images in steps of 6: epochs begin within steps 3, 6, 9
}


def contents(out: Path) -> dict[str, str]:
    """Everything that is a run's result: the last state file by file, the record, the model."""
    last = saved_states(out / "checkpoints")[-1]
    files = [*last.iterdir(), out / "metrics.jsonl", out / "model" / "model.safetensors"]
    best = out / "checkpoints" / "best.safetensors"
    files += [best] if best.exists() else []
    return {str(file.relative_to(out)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def whole(folder: Path, **changes: Any) -> dict[str, str]:
    out = folder / "whole"
    pretrain(pretrain_recipe(out, **changes), splits=splits())
    return contents(out)


def stopped_run(
    folder: Path,
    stops: list[int],
    stop_after: Callable[[int], None],
    resumed: dict[str, Any] | None = None,
    **changes: Any,
) -> dict[str, str]:
    out = folder / "stopped"
    recipe = pretrain_recipe(out, **changes)
    for number, stop in enumerate(stops):
        stop_after(stop)
        with pytest.raises(Stopped, match=f"SIGTERM: saved at step {stop} of {recipe.steps}") as caught:
            pretrain(recipe, splits=splits(), resume=number > 0)
        assert caught.value.exit_code == 143
        assert not (out / "model").exists()
        recipe = dataclasses.replace(recipe, **(resumed or {}))
    pretrain(recipe, splits=splits(), resume=True)
    return contents(out)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "muon"])
@pytest.mark.parametrize(
    "stops",
    [[1], [4, 5], [10], [2, 3, 7]],
    ids=["after-the-first-step", "twice-in-one-epoch", "before-the-last-step", "at-and-around-epoch-edges"],
)
def test_a_resumed_run_is_the_uninterrupted_run(
    tmp_path: Path, stop_after: Callable[[int], None], stops: list[int], optimizer: str
) -> None:
    changes = {**EVERYTHING, "optimizer": optimizer}
    expected = whole(tmp_path, **changes)
    assert len(expected) == 6  # model, optimizer, ema, counters; record; result
    assert stopped_run(tmp_path, stops, stop_after, **changes) == expected


def test_a_stop_exactly_at_an_epochs_edge_loses_nothing(tmp_path: Path, stop_after: Callable[[int], None]) -> None:
    changes = {**EVERYTHING, "batch": 5, "steps": 9}  # epochs of four steps
    assert stopped_run(tmp_path, [4, 8], stop_after, **changes) == whole(tmp_path, **changes)


def test_a_stop_in_the_warm_up_loses_nothing(tmp_path: Path, stop_after: Callable[[int], None]) -> None:
    changes = {**EVERYTHING, "warmup": 0.8, "log_every": 1}
    assert stopped_run(tmp_path, [3], stop_after, **changes) == whole(tmp_path, **changes)
    lines = [json.loads(line) for line in (tmp_path / "stopped" / "metrics.jsonl").read_text().splitlines()]
    rates = [line["lr"] for line in lines if "lr" in line]
    assert rates[:6] == sorted(set(rates[:6]))  # it was one


def test_a_batch_larger_than_the_data_resumes(tmp_path: Path, stop_after: Callable[[int], None]) -> None:
    changes = {**EVERYTHING, "batch": 47, "steps": 4}
    assert stopped_run(tmp_path, [1, 3], stop_after, **changes) == whole(tmp_path, **changes)


def test_the_best_weights_survive_a_stop(tmp_path: Path, stop_after: Callable[[int], None]) -> None:
    changes = {**EVERYTHING, "keep": "best", "eval_every": 1, "lr": 0.02}
    expected = whole(tmp_path, **changes)
    assert "checkpoints/best.safetensors" in expected
    assert stopped_run(tmp_path, [3, 8], stop_after, **changes) == expected


def test_workers_may_change_at_a_resume(tmp_path: Path, stop_after: Callable[[int], None]) -> None:
    expected = whole(tmp_path, **EVERYTHING)
    assert stopped_run(tmp_path, [5], stop_after, resumed={"workers": 2}, **EVERYTHING) == expected


def test_intervals_of_saving_and_memory_may_change_at_a_resume(
    tmp_path: Path, stop_after: Callable[[int], None]
) -> None:
    resumed = {"save_every": 2, "keep_checkpoints": 1, "memory_budget": "0"}
    assert stopped_run(tmp_path, [5], stop_after, resumed=resumed, **EVERYTHING) == whole(tmp_path, **EVERYTHING)


def test_two_threads_resume_as_exactly_as_one(tmp_path: Path, stop_after: Callable[[int], None]) -> None:
    changes = {**EVERYTHING, "steps": 3, "holdout": 0.0}
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert stopped_run(tmp_path, [1], stop_after, **changes) == whole(tmp_path, **changes)
    finally:
        torch.set_num_threads(before)


def test_a_run_that_crashed_goes_on_from_its_last_save(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changes = {**EVERYTHING, "save_every": 3, "keep": "best", "eval_every": 2}
    expected = whole(tmp_path, **changes)
    real = loop.training_step

    def crash(job: Any, state: Any, *rest: Any) -> None:
        if state.counters.step == 8:
            raise OSError("cosmic ray")
        real(job, state, *rest)

    out = tmp_path / "crashed"
    with monkeypatch.context() as patch:
        patch.setattr(loop, "training_step", crash)
        with pytest.raises(OSError, match="cosmic ray"):
            pretrain(pretrain_recipe(out, **changes), splits=splits())
    # The record is ahead of the save at step 6; its lines beyond that are written again, not twice.
    assert [path.name for path in saved_states(out / "checkpoints")] == ["step-00000003", "step-00000006"]
    assert '"step": 8' in (out / "metrics.jsonl").read_text()
    pretrain(pretrain_recipe(out, **changes), splits=splits(), resume=True)
    assert contents(out) == expected


def test_a_signal_during_evaluation_saves_and_evaluates_again_after_the_resume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = {**EVERYTHING, "eval_every": 4, "batch": 3}  # nine validation images in three batches
    expected = whole(tmp_path, **changes)
    out = tmp_path / "stopped"
    real, evaluated = loop.evaluate, []

    def interrupted(*args: Any, each_batch: Callable[[int], None], **options: Any) -> Any:
        def then(done: int) -> None:
            evaluated.append(done)
            if len(evaluated) == 5:  # the second batch of the second evaluation
                os.kill(os.getpid(), signal.SIGTERM)
            each_batch(done)

        return real(*args, each_batch=then, **options)

    monkeypatch.setattr(loop, "evaluate", interrupted)
    with pytest.raises(Stopped, match="saved at step 8 of 11"):
        pretrain(pretrain_recipe(out, **changes), splits=splits())
    assert evaluated == [3, 6, 9, 3, 6]  # the third batch was not waited for
    pretrain(pretrain_recipe(out, **changes), splits=splits(), resume=True)
    assert evaluated[5:] == [3, 6, 9, 3, 6, 9]
    assert contents(out) == expected


def test_a_run_stopped_while_its_result_is_judged_is_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(run_module, "_evaluate_result", lambda *_: os.kill(os.getpid(), signal.SIGINT))
        with pytest.raises(KeyboardInterrupt):
            pretrain(pretrain_recipe(out, **EVERYTHING), splits=splits())
    pretrain(pretrain_recipe(out, **EVERYTHING), splits=splits(), resume=True)
    assert contents(out) == whole(tmp_path, **EVERYTHING)


def test_a_finished_run_resumed_again_stays_as_it_is(tmp_path: Path) -> None:
    expected = whole(tmp_path, **EVERYTHING)
    pretrain(pretrain_recipe(tmp_path / "whole", **EVERYTHING), splits=splits(), resume=True)
    assert contents(tmp_path / "whole") == expected


def test_no_image_is_seen_twice_or_left_out_around_a_stop(
    tmp_path: Path, stop_after: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, int]] = []
    real = batches.Order.items

    def items(order: batches.Order, step: int) -> list[tuple[int, int]]:
        seen.extend(real(order, step))
        return real(order, step)

    monkeypatch.setattr(batches.Order, "items", items)
    monkeypatch.setattr(plan, "measure_step", lambda *_: (1.0, 4))  # which looks at the first images too
    stopped_run(tmp_path, [3, 6], stop_after, steps=10, batch=4)
    for epoch in (0, 1):
        assert sorted(index for e, index in seen if e == epoch) == list(range(20))


def test_the_step_it_goes_on_from_is_reported(
    tmp_path: Path, stop_after: Callable[[int], None], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "vitascope")
    stopped_run(tmp_path, [4], stop_after, steps=6)
    assert "resumed from step 4 of 6" in caplog.text


def test_another_seed_is_another_run(tmp_path: Path) -> None:
    # What makes the equalities above mean something.
    assert whole(tmp_path, **EVERYTHING) != whole(tmp_path / "b", **{**EVERYTHING, "seed": 1})


def test_a_stop_between_the_parts_of_a_step_leaves_it_undone_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = {**EVERYTHING, "micro_batch": 2}  # three parts a step
    expected = whole(tmp_path, **changes)
    real, parts = objective.cross_entropy, 0

    def counted(*args: Any) -> Any:
        nonlocal parts
        parts += 1
        if parts == 5:
            os.kill(os.getpid(), signal.SIGTERM)
        return real(*args)

    out = tmp_path / "stopped"
    with monkeypatch.context() as patch:
        patch.setattr(objective, "cross_entropy", counted)
        with pytest.raises(Stopped, match="SIGTERM: saved at step 1 of 11"):
            pretrain(pretrain_recipe(out, **changes), splits=splits())
        assert parts == 5
    pretrain(pretrain_recipe(out, **changes), splits=splits(), resume=True)
    assert contents(out) == expected
