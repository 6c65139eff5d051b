"""Engine "auto" changes where a job pays for it and nowhere else; time is a clock that the engines turn."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

import vitascope as vs
from tiny_checkpoint import checkpoint
from vitascope.errors import ConfigError
from vitascope.inference.engines import auto
from vitascope.inference.engines.auto import Auto, make_engine
from vitascope.inference.engines.pytorch import Engine

IMAGES = torch.zeros(10, 3, 16, 16)


class Machine:
    """Engines that take the seconds an image that they are given, and 6 seconds to make; None cannot be made."""

    def __init__(self, **seconds: float | None) -> None:
        self.now, self.seconds, self.built, self.ran = 0.0, seconds, [], []  # type: ignore[var-annotated]

    def build(self, name: str, *_: object) -> Engine:
        self.built.append(name)
        seconds = self.seconds.get(name)
        if seconds is None:
            raise ConfigError(f"no {name}")
        if name != "eager":
            self.now += 6.0
        return self.engine(name, seconds)

    def engine(self, name: str, seconds: float) -> Callable[[Tensor], Tensor]:
        def run(images: Tensor) -> Tensor:
            self.ran.append(name)
            self.now += (self.seconds[name] or seconds) * len(images)
            return images.sum((1, 2, 3))[:, None]

        return run


@pytest.fixture
def on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[Machine], Auto]:
    monkeypatch.setenv("VITASCOPE_CACHE", str(tmp_path / "cache"))

    def start(machine: Machine) -> Auto:
        monkeypatch.setattr(auto, "build", machine.build)
        monkeypatch.setattr(auto, "time", SimpleNamespace(perf_counter=lambda: machine.now))
        engine = make_engine("auto", checkpoint(), "cpu", "float32", 10)
        assert isinstance(engine, Auto)
        return engine

    return start


Start = Callable[[Machine], Auto]


def find_openvino_faster(on: Start) -> None:
    """An earlier job that was long enough to measure, and to remember what it found."""
    first = on(Machine(eager=1.0, openvino=0.5))
    first.expect(1000)
    first(IMAGES)


def test_a_short_job_stays_eager_and_makes_nothing_else(on: Start) -> None:
    machine = Machine(eager=1.0, openvino=0.1)
    engine = on(machine)
    engine(IMAGES)  # 10 seconds
    assert (machine.built, machine.ran, engine.name) == (["eager"], ["eager"], "eager")


def test_a_long_job_tries_each_once_and_goes_on_with_the_fastest(on: Start) -> None:
    machine = Machine(eager=1.0, openvino=0.5, onnx=0.7)
    engine = on(machine)
    for _ in range(15):
        engine(IMAGES)
    assert engine.name == "openvino"
    assert machine.built == ["eager", "openvino", "onnx"]
    # At 20 images seen, and again at 120: two halves each, after a first image that counts nowhere.
    assert machine.ran == ["eager"] * 2 + ["openvino"] * (3 + 9) + ["onnx"] * 3 + ["openvino"] * 2


def test_a_job_that_says_how_long_it_is_makes_an_engine_before_it_begins(on: Start) -> None:
    machine = Machine(eager=1.0, openvino=0.5)
    engine = on(machine)
    engine.expect(128)
    assert (machine.built, engine.name) == (["eager", "openvino"], "eager")
    images = torch.arange(20.0)[:, None, None, None].expand(20, 1, 1, 1)
    assert engine(images).flatten().tolist() == list(range(20))
    assert engine.name == "openvino"
    # A blank image, which tells roughly; twice a few; and of the others one to begin with, and two halves.
    assert machine.ran == ["eager"] * 3 + ["openvino"] * 3


def test_what_was_thought_long_and_is_not_is_tried_all_the_same_because_it_is_made(on: Start) -> None:
    machine = Machine(eager=0.12, openvino=0.01)
    engine = on(machine)
    engine.expect(128)
    machine.seconds["eager"] = 0.1
    engine(IMAGES)
    assert engine.name == "openvino"


def test_a_job_that_says_it_is_short_is_one_call_a_batch(on: Start) -> None:
    machine = Machine(eager=0.01, openvino=0.005)
    engine = on(machine)
    engine.expect(100)
    engine(IMAGES)
    assert machine.ran == ["eager"]


def test_what_was_found_is_remembered_and_used_where_it_pays(on: Start) -> None:
    find_openvino_faster(on)
    machine = Machine(eager=1.0, openvino=0.5)
    engine = on(machine)
    engine(IMAGES)  # saves 5 seconds and costs 6
    assert machine.built == ["eager"]
    engine(IMAGES)
    engine(IMAGES)  # 20 images have been seen, which would have saved 10
    assert (machine.built, machine.ran) == (["eager", "openvino"], ["eager", "eager", "openvino"])
    machine = Machine(eager=1.0, openvino=0.5)
    engine = on(machine)
    engine.expect(13)
    engine(IMAGES)
    assert machine.ran == ["openvino"]


@pytest.mark.parametrize("others", [{"openvino": 0.97}, {"openvino": 2.0, "onnx": 1.5}, {}])
def test_nothing_is_changed_for_little(on: Start, others: dict[str, float]) -> None:
    machine = Machine(eager=1.0, **others)
    engine = on(machine)
    engine.expect(10_000)
    for _ in range(4):
        engine(IMAGES)
    assert engine.name == "eager"
    assert machine.built == ["eager", "openvino", "onnx"]  # tried once
    again = Machine(eager=1.0, **others)
    engine = on(again)
    engine.expect(10_000)
    engine(IMAGES)
    engine(IMAGES)
    assert again.built == ["eager"]


def test_an_engine_that_is_no_longer_there_costs_a_warning(on: Start, caplog: pytest.LogCaptureFixture) -> None:
    find_openvino_faster(on)
    engine = on(Machine(eager=1.0))
    engine.expect(1000)
    assert engine(IMAGES).shape == (10, 1)
    assert engine.name == "eager"
    assert "openvino cannot be made any more; eager goes on" in caplog.text


@pytest.mark.parametrize("damage", ["{", "[]", '{"KEY": 3}', '{"KEY": {"seconds": {}, "cost": {}}}', '{"KEY": null}'])
def test_a_damaged_memory_is_measured_anew(on: Start, damage: str, tmp_path: Path) -> None:
    find_openvino_faster(on)
    file = tmp_path / "cache" / "engines.json"
    (key,) = json.loads(file.read_text())
    file.write_text(damage.replace("KEY", key))
    machine = Machine(eager=1.0, openvino=0.5)
    engine = on(machine)
    engine.expect(1000)
    engine(IMAGES)
    assert (engine.name, machine.ran[:3]) == ("openvino", ["eager"] * 3)


def test_what_was_measured_is_remembered_for_the_batch_it_was_measured_on(on: Start) -> None:
    first = on(Machine(eager=1.0, openvino=0.5))
    first(IMAGES[:1])  # a warm-up
    first.expect(1000)
    first(IMAGES)
    assert first.name == "openvino"
    machine = Machine(eager=1.0, openvino=0.5)
    engine = on(machine)
    engine.expect(1000)
    engine(IMAGES[:1])
    assert engine.name == "openvino"  # of ten, which are to come, it is
    assert machine.ran == ["openvino"]


def test_a_predictor_tells_how_many_images_come() -> None:
    predictor = vs.Predictor(checkpoint(), batch=2)
    assert isinstance(predictor.engine, Auto)
    told: list[int] = []
    predictor.engine.expect = told.append  # type: ignore[method-assign]
    image = IMAGES[0].permute(1, 2, 0).byte().numpy()
    predictor.probabilities([image] * 5)
    predictor.probabilities(image)
    assert told == [5]
