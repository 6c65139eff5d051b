"""One optimiser step: accumulation, mixing, what its randomness depends on, and when it refuses."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

from tiny import FIELDS, PLAIN, RICH, SIDE, source
from vitascope.data.batches import Batch, training_batches
from vitascope.data.preprocess import Preprocess
from vitascope.errors import DivergedError
from vitascope.models.catalogue import create_model
from vitascope.models.vit import ViT
from vitascope.training.job import Job
from vitascope.training.parallel import World
from vitascope.training.state import TrainState, copy_weights, new_state, result_in_model
from vitascope.training.step import compiled_and_shared, training_step
from vitascope.training.train_settings import TrainSettings

ALONE = World()


def job(tmp_path: Path, **changes: Any) -> Job:
    settings = TrainSettings(**{"steps": 4, "batch": 6, "lr": 0.01, "warmup": 0.0, "augment": PLAIN, **changes})
    return Job(
        settings=settings,
        steps=4,
        train=source(),
        validation=None,
        preprocess=Preprocess(size=(SIDE, SIDE)),
        folder=tmp_path,
    )


def model(**changes: Any) -> ViT:
    made = create_model(
        "ViT-Ti/8", **{**FIELDS, "classes": 3, "image_size": SIDE, **changes}, generator=torch.manual_seed(0)
    )
    assert isinstance(made, ViT)
    torch.nn.init.normal_(made.head.linear.weight, std=0.1)  # a zero head would hide the rest from the first step
    return made


def batch(j: Job, step: int = 0) -> Batch:
    return next(training_batches(j.train, j.transform(), j.order(ALONE), step, step + 1))


def stepped(j: Job, net: ViT, steps: int = 2) -> TrainState:
    state = new_state(copy.deepcopy(net), j.settings)
    state.model.train()
    for step in range(steps):
        training_step(j, state, state.model, batch(j, step), ALONE)
    return state


def same(a: TrainState, b: TrainState, **tolerance: float) -> bool:
    pairs = zip(a.model.parameters(), b.model.parameters(), strict=True)
    return all(torch.allclose(x, y, **tolerance) if tolerance else torch.equal(x, y) for x, y in pairs)


@pytest.mark.parametrize("micro", [1, 2, 4, 5])  # 4 and 5 leave a smaller last part
@pytest.mark.parametrize("augment", [PLAIN, RICH], ids=["labels", "mixed"])
def test_accumulated_gradients_equal_those_of_the_full_batch(tmp_path: Path, micro: int, augment: Any) -> None:
    # SGD, because Adam divides by the gradient and so makes a rounding error of a gradient near 0 a visible step.
    settings = {"optimizer": "sgd", "lr": 0.1, "augment": augment}
    whole = stepped(job(tmp_path, **settings), model())
    parts = stepped(job(tmp_path, micro_batch=micro, **settings), model())
    assert same(whole, parts, rtol=0, atol=1e-6)
    assert parts.counters.loss_sum == pytest.approx(whole.counters.loss_sum, abs=1e-6)


def test_a_micro_batch_is_all_that_the_model_sees_at_once(tmp_path: Path) -> None:
    seen: list[int] = []
    net = model()
    net.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    j = job(tmp_path, micro_batch=4)
    state = new_state(net, j.settings)
    training_step(j, state, net, batch(j), ALONE)
    assert seen == [4, 2]


@pytest.mark.parametrize("micro", [None, 4])
def test_activation_checkpointing_changes_no_bit_of_the_weights(tmp_path: Path, micro: int | None) -> None:
    net, states = model(dropout=0.3, stochastic_depth=0.5), []
    runs = [0, 0]
    for on in (False, True):
        j = job(tmp_path, micro_batch=micro, checkpoint_activations=on)
        state = new_state(copy.deepcopy(net).train(), j.settings)
        runner = compiled_and_shared(state.model, j.settings, ALONE)
        state.model.encoder.blocks[0].register_forward_pre_hook(lambda *_, on=on: runs.__setitem__(on, runs[on] + 1))
        for step in range(3):
            training_step(j, state, runner, batch(j, step), ALONE)
        states.append(state)
    assert same(*states)
    assert runs[True] == 2 * runs[False] > 0


def test_what_other_runs_of_a_process_compiled_is_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or the ninth model of one class would be left as it is, silently (`recompile_limit`)."""
    calls: list[str] = []
    monkeypatch.setattr(torch.compiler, "reset", lambda: calls.append("reset"))
    monkeypatch.setattr(torch, "compile", lambda net: calls.append("compile") or net)
    net = model()
    assert compiled_and_shared(net, job(tmp_path, compile=True).settings, ALONE) is net
    assert calls == ["reset", "compile"]


def test_dropout_is_drawn_from_the_step_and_not_from_what_came_before(tmp_path: Path) -> None:
    j, net = job(tmp_path), model(dropout=0.3, stochastic_depth=0.5)
    torch.manual_seed(1)
    first = stepped(j, net)
    torch.manual_seed(2)
    torch.rand(100)
    second = stepped(j, net)
    assert same(first, second)
    assert not same(first, stepped(job(tmp_path, seed=1), net))


def test_what_the_process_draws_is_left_alone(tmp_path: Path) -> None:
    j = job(tmp_path, drop_tokens=0.5)
    state = new_state(model(dropout=0.3).train(), j.settings)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    training_step(j, state, state.model, batch(j), ALONE)
    assert torch.equal(torch.rand(3), expected)


def test_each_step_draws_its_own_dropout(tmp_path: Path) -> None:
    j = job(tmp_path, lr=1e-12)  # the same weights and the same images at both steps
    net, images = model(dropout=0.3), batch(j)
    state = new_state(net, j.settings)
    for _ in range(2):
        training_step(j, state, net, images, ALONE)
    first = state.counters.loss_sum / 2
    again = new_state(net, j.settings)
    training_step(j, again, net, images, ALONE)
    assert again.counters.loss_sum != pytest.approx(first, abs=1e-6)


def test_a_loss_that_is_not_finite_changes_nothing(tmp_path: Path) -> None:
    j, net = job(tmp_path, ema=0.9), model()
    state = stepped(j, net)
    before = copy.deepcopy({n: p.detach().clone() for n, p in state.model.named_parameters()})
    moments = copy.deepcopy(state.optimizer.state_dict()["state"])
    counters = dataclasses.replace(state.counters)
    state.model.encoder.register_forward_hook(lambda *_: _[2] * float("nan"))
    with pytest.raises(DivergedError, match=r"at step 2 \(learning rate .*lower --lr"):
        training_step(j, state, state.model, batch(j, 2), ALONE)
    assert all(torch.equal(p, before[n]) for n, p in state.model.named_parameters())
    assert state.counters == counters
    for index, slots in state.optimizer.state_dict()["state"].items():
        assert all(torch.equal(value, moments[index][slot]) for slot, value in slots.items())


def test_a_gradient_that_is_not_finite_is_noticed_though_the_loss_is(tmp_path: Path) -> None:
    j, net = job(tmp_path), model()
    state = new_state(net, j.settings)
    before = [p.detach().clone() for p in net.parameters()]
    net.patches.projection.weight.register_hook(lambda gradient: gradient * float("inf"))
    with pytest.raises(DivergedError, match=r"loss \d.*gradient norm (inf|nan)"):
        training_step(j, state, net, batch(j), ALONE)
    assert all(torch.equal(p, b) for p, b in zip(net.parameters(), before, strict=True))


def test_the_average_stands_in_for_the_weights_and_leaves_them(tmp_path: Path) -> None:
    j = job(tmp_path, ema=0.9)
    state = stepped(j, model())
    assert state.ema is not None
    trained = {n: p.detach().clone() for n, p in state.model.named_parameters()}
    with result_in_model(state):
        inside = {n: p.detach().clone() for n, p in state.model.named_parameters()}
    assert all(torch.equal(inside[n], state.ema.tensors[n]) for n in inside)
    assert any(not torch.equal(inside[n], trained[n]) for n in inside)
    assert all(torch.equal(p, trained[n]) for n, p in state.model.named_parameters())


def test_copying_weights_needs_all_of_them(tmp_path: Path) -> None:
    net = model()
    with pytest.raises(KeyError):
        copy_weights(net, {})


def test_dropped_tokens_are_drawn_from_the_step_and_come_back_after_their_part(tmp_path: Path) -> None:
    seen: list[int] = []
    net = model()
    net.encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape[1]))
    j = job(tmp_path, drop_tokens=0.5, drop_tokens_for=0.5)
    states = []
    for _ in range(2):
        state = new_state(copy.deepcopy(net).train(), j.settings)
        for step in range(4):
            training_step(j, state, state.model, batch(j, step), ALONE)
        states.append(state)
    few, all_ = seen[0], seen[2]
    assert few - 1 == (all_ - 1) // 2  # besides the class token
    assert seen == [few, few, all_, all_] * 2
    assert same(*states)
