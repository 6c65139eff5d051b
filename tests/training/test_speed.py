"""Measuring before training: memory by formula, a step by the clock, and the model stays as it was."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import torch

from tiny import FIELDS, SIDE, source
from vitascope.data.preprocess import Preprocess
from vitascope.errors import ConfigError
from vitascope.layers.encoder import Encoder
from vitascope.models.bit import BiT
from vitascope.models.catalogue import create_model
from vitascope.models.memory import training_memory
from vitascope.models.vit import ViT
from vitascope.training import speed
from vitascope.training.job import Job
from vitascope.training.parallel import World
from vitascope.training.train_settings import TrainSettings


def job(**changes: Any) -> Job:
    return Job(
        settings=TrainSettings(**{"batch": 4, "precision": "float32", **changes}),
        steps=1,
        train=source(),
        validation=source(9),
        preprocess=Preprocess(size=(SIDE, SIDE)),
        folder=Path("run"),
    )


def model(**changes: Any) -> ViT | BiT:
    torch.manual_seed(0)
    return create_model("ViT-Ti/8", **{**FIELDS, "classes": 3, "image_size": SIDE, **changes})


class Machine:
    """Gradients that take `cost` seconds, of the number of images and of how many times were before."""

    def __init__(self, patch: pytest.MonkeyPatch, cost: Any) -> None:
        self.now = 0.0
        self.asked: list[int] = []
        real = speed.gradients

        def gradients(trial: Job, net: Any, batch: Any, *rest: Any) -> Any:
            self.asked.append(len(batch[0]))
            found = real(trial, net, batch, *rest)
            self.now += cost(len(batch[0]), len(self.asked))
            return found

        patch.setattr(speed, "gradients", gradients)
        patch.setattr(time, "perf_counter", lambda: self.now)


def test_a_step_is_measured_from_one_image_up_and_leaves_the_model_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, lambda images, count: 0.01 + 0.001 * images)
    measured = model(dropout=0.3).eval()
    before = {name: tensor.clone() for name, tensor in measured.state_dict().items()}
    assert speed.measure_step(job(batch=20), measured, World()) == (pytest.approx(0.03), 20)
    assert sorted(set(machine.asked)) == [1, 4, 16, 20]
    assert all(torch.equal(tensor, before[name]) for name, tensor in measured.state_dict().items())
    assert all(parameter.grad is None for parameter in measured.parameters())
    assert not measured.training


def test_what_an_image_costs_beyond_the_first_is_in_proportion(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, lambda images, count: 0.4 + 0.05 * images)
    step, _ = speed.measure_step(job(batch=512), model(), World())
    assert max(machine.asked) == 16  # after two seconds nothing larger is tried
    assert step == pytest.approx(0.4 + 0.05 * 512)


def test_where_threads_wait_for_others_one_image_is_not_taken_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    Machine(monkeypatch, lambda images, count: 1.8 + 0.01 * images)
    assert speed.measure_step(job(batch=64), model(), World())[0] == pytest.approx(1.8 + 0.64, rel=0.6)


def test_the_shortest_of_several_times_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    Machine(monkeypatch, lambda images, count: 0.1 if count % 4 == 2 else 0.2)
    assert speed.measure_step(job(batch=1), model(), World())[0] == pytest.approx(0.1)


def test_where_threads_hinder_each_other_one_of_them_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    used: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", used.append)
    machine = Machine(monkeypatch, lambda images, count: images * (0.04 if used[-1] == 1 else 3.0))
    assert speed.measure_step(job(batch=64), model(), World())[0] == pytest.approx(64 * 0.04, rel=0.2)
    assert machine.asked[:2] == [1, 1]
    assert used[-1] == 2  # as before


def test_an_image_that_takes_long_is_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, lambda images, count: 50.0)
    assert speed.measure_step(job(batch=512), model(), World())[0] == pytest.approx(50.0 * 512)
    assert machine.asked == [1]


def test_steps_with_fewer_tokens_are_measured_beside_whole_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    real = Encoder.forward
    monkeypatch.setattr(Encoder, "forward", lambda self, x, *more: seen.append(x.shape[1]) or real(self, x, *more))
    times = {0.0: 3.0, 0.5: 1.0}
    monkeypatch.setattr(speed, "_PROBE", 0.0)
    real_parts = speed._gradients_of

    def parts(trial: Job, net: Any, images: int, dropped: float, world: World) -> float:
        real_parts(trial, net, images, dropped, world)
        return times[dropped]

    monkeypatch.setattr(speed, "_gradients_of", parts)
    whole = (SIDE // 8) ** 2
    assert speed.measure_step(job(batch=1), model(), World())[0] == 3.0
    assert set(seen) == {1 + whole}
    assert speed.measure_step(job(batch=1, drop_tokens=0.5, drop_tokens_for=0.75), model(), World())[0] == 1.5
    assert set(seen) == {1 + whole, 1 + whole // 2}


def test_where_a_gpus_memory_ends_the_micro_batch_is_halved(monkeypatch: pytest.MonkeyPatch) -> None:
    def gradients(trial: Job, net: Any, batch: Any, *_: Any) -> torch.Tensor:
        if len(batch[0]) > 2:
            raise RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried")
        return torch.zeros(())

    monkeypatch.setattr(speed, "gradients", gradients)
    assert speed.measure_step(job(batch=20), model(), World())[1] == 2


def full(*_: Any) -> None:
    raise torch.OutOfMemoryError("CUDA out of memory")


def wrong(*_: Any) -> None:
    raise RuntimeError("shapes do not match")


@pytest.mark.parametrize(
    ("fault", "kind", "said"),
    [(full, ConfigError, "not even one image fits"), (wrong, RuntimeError, "shapes do not match")],
)
def test_only_a_full_memory_is_taken_for_one(
    monkeypatch: pytest.MonkeyPatch, fault: Any, kind: type[Exception], said: str
) -> None:
    monkeypatch.setattr(speed, "gradients", fault)
    with pytest.raises(kind, match=said):
        speed.measure_step(job(), model(), World())


def free(patch: pytest.MonkeyPatch, size: float) -> None:
    patch.setattr(speed, "free_memory", lambda device: size / speed._MARGIN + 1)


@pytest.mark.parametrize("checkpointed", [False, True])
@pytest.mark.parametrize("name", ["ViT-Ti/4", "BiT-R50x1", "R+ViT-Ti/16"])
def test_the_micro_batch_is_halved_until_it_fits_by_formula(
    monkeypatch: pytest.MonkeyPatch, name: str, checkpointed: bool
) -> None:
    small = {"units": (1, 1, 1, 1)} if name.startswith("BiT") else {"depth": 2}
    net = create_model(name, image_size=32, classes=3, **small)
    monkeypatch.setattr(speed, "gradients", wrong)  # nothing is tried

    def need(micro: int) -> float:
        return training_memory(net.config, micro, checkpoint_activations=checkpointed, accumulated=micro < 64).peak

    j = job(batch=64, checkpoint_activations=checkpointed)
    free(monkeypatch, need(64))
    assert speed.fitting_micro_batch(j, net, World()) == (64, need(64))
    free(monkeypatch, need(16))
    assert speed.fitting_micro_batch(j, net, World()) == (16, need(16))
    free(monkeypatch, 0.0)
    with pytest.raises(ConfigError, match=r"one image at a time takes about [\d.]+ [GM]B of memory, 0 MB are free"):
        speed.fitting_micro_batch(j, net, World())


def test_a_micro_batch_that_does_not_fit_is_refused_with_one_that_does(monkeypatch: pytest.MonkeyPatch) -> None:
    net = create_model("ViT-Ti/4", image_size=32, depth=2, classes=3)
    free(monkeypatch, training_memory(net.config, 8, accumulated=True).peak)
    with pytest.raises(ConfigError, match=r"micro_batch 32 does not fit the .* that are free; 8 does"):
        speed.fitting_micro_batch(job(batch=64, micro_batch=32), net, World())
    assert speed.fitting_micro_batch(job(batch=64, micro_batch="auto"), net, World())[0] == 8


def test_processes_share_the_free_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    net = create_model("ViT-Ti/4", image_size=32, depth=2, classes=3)
    need = training_memory(net.config, 16, accumulated=True).peak
    monkeypatch.setattr(World, "largest", lambda self, value: value)
    free(monkeypatch, 2 * need)
    assert speed.fitting_micro_batch(job(batch=128), net, World(size=2))[0] == 16


@pytest.mark.parametrize(("part", "fewer"), [(1.0, True), (0.75, False)])
def test_the_steps_with_most_tokens_have_to_fit(monkeypatch: pytest.MonkeyPatch, part: float, fewer: bool) -> None:
    found = [
        speed.fitting_micro_batch(job(**changes), model(), World())[1]
        for changes in ({}, {"drop_tokens": 0.5, "drop_tokens_for": part})
    ]
    assert (found[1] < found[0]) == fewer
