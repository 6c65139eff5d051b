"""Which number format is chosen: measured once per machine, remembered, and never a reason to fail."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from vitascope import precision
from vitascope.errors import ConfigError
from vitascope.precision import autocast, bfloat16_gain, resolve_precision

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("VITASCOPE_CACHE", str(tmp_path / "cache"))
    bfloat16_gain.cache_clear()
    yield tmp_path / "cache"
    bfloat16_gain.cache_clear()


def measured(monkeypatch: pytest.MonkeyPatch, gain: float) -> list[float]:
    calls: list[float] = []
    monkeypatch.setattr(precision, "_measure_gain", lambda: calls.append(gain) or gain)
    return calls


@pytest.mark.parametrize(
    ("gain", "chosen"), [(5.0, "bfloat16"), (1.3, "bfloat16"), (1.1, "float32"), (0.02, "float32")]
)
def test_bfloat16_is_taken_only_where_it_is_clearly_faster(
    gain: float, chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured(monkeypatch, gain)
    assert resolve_precision("auto", CPU) == chosen


@pytest.mark.parametrize(("native", "chosen"), [(True, "bfloat16"), (False, "float32")])
def test_a_gpu_that_only_emulates_bfloat16_takes_float32(
    native: bool, chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation or native)
    assert resolve_precision("auto", torch.device("cuda")) == chosen


def test_what_is_asked_for_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = measured(monkeypatch, 5.0)
    assert [resolve_precision(name, CPU) for name in ("float32", "bfloat16")] == ["float32", "bfloat16"]
    assert calls == []


@pytest.mark.parametrize("name", ["float16", "double", ""])
def test_other_formats_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="expected one of auto, float32, bfloat16"):
        resolve_precision(name, CPU)


def test_a_machine_is_measured_once(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = measured(monkeypatch, 2.0)
    for _ in range(3):
        bfloat16_gain.cache_clear()  # as another process
        assert bfloat16_gain() == 2.0
    assert len(calls) == 1
    (key, value), *others = json.loads((own_cache / "precision.json").read_text()).items()
    assert (value, others) == (2.0, [])
    assert torch.__version__ in key


@pytest.mark.parametrize("content", ["", "[]", "{", '{"x": 1}', "null"])
def test_a_damaged_memory_is_measured_anew(content: str, own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own_cache.mkdir()
    (own_cache / "precision.json").write_text(content)
    assert len(measured(monkeypatch, 2.0)) == 0
    assert bfloat16_gain() == 2.0
    assert 2.0 in json.loads((own_cache / "precision.json").read_text()).values()


def test_a_cache_that_cannot_be_written_costs_nothing_but_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("VITASCOPE_CACHE", str(tmp_path / "file" / "cache"))
    measured(monkeypatch, 2.0)
    assert bfloat16_gain() == 2.0


def test_measuring_takes_a_fraction_of_a_second_and_gives_a_ratio() -> None:
    assert 0.0 < precision._measure_gain() < 100.0


def test_a_slow_format_is_not_measured_at_length(monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[int] = []
    monkeypatch.setattr(precision, "_gain_at", lambda n: rows.append(n) or 0.05)
    assert precision._measure_gain() == 0.05
    assert len(rows) == 1


def test_products_are_computed_in_the_chosen_format() -> None:
    layer, x = torch.nn.Linear(4, 4), torch.ones(2, 4)
    with autocast("bfloat16", CPU):
        assert layer(x).dtype == torch.bfloat16
    with autocast("float32", CPU):
        assert layer(x).dtype == torch.float32
