"""metrics.jsonl: comparable bit for bit, and cut back to the checkpoint at a resume."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from peers import peer
from vitascope.errors import ConfigError
from vitascope.training import record as record_module
from vitascope.training.pace import Lap
from vitascope.training.record import METRICS, SPEED, Record, read_metrics, time_spent


def test_lines_are_objects_with_their_step(tmp_path: Path) -> None:
    with Record(tmp_path) as record:
        record.metrics(3, {"loss": 0.5})
        record.metrics(4, {"validation": {"top1": 1.0}})
    assert read_metrics(tmp_path) == [{"step": 3, "loss": 0.5}, {"step": 4, "validation": {"top1": 1.0}}]


def test_clock_times_are_kept_apart(tmp_path: Path) -> None:
    with Record(tmp_path) as record:
        record.speed(3, Lap(images=247, training=2.0, wall=5.0))
    assert (tmp_path / METRICS).read_bytes() == b""
    line = json.loads((tmp_path / SPEED).read_text())
    del line["time"]
    assert line == {
        "step": 3, "images": 247, "seconds": 5.0, "training_seconds": 2.0, "images_per_second": 123.5,
    }  # fmt: skip


def test_the_time_spent_is_that_of_all_starts(tmp_path: Path) -> None:
    assert time_spent(tmp_path) == {}
    old = '{"step": 1, "time": 0.0, "images_per_second": 9.0}\n{"step": 1, "ti'
    (tmp_path / SPEED).write_text(old)
    assert time_spent(tmp_path) == {}
    with Record(tmp_path) as record:
        record.speed(9, Lap(images=0, training=0.0, wall=1.0))  # not glued to the line cut short, and lost with it
        record.speed(2, Lap(images=100, training=2.0, wall=10.0))
    with Record(tmp_path) as record:
        record.speed(4, Lap(images=200, training=3.0, wall=4.0))
        record.speed(4, Lap(images=0, training=0.0, wall=6.0))  # the last evaluation
    assert time_spent(tmp_path) == {"seconds": 21.0, "training_seconds": 5.0, "images_per_second": 60.0}


def test_a_resume_cuts_off_what_will_be_done_again(tmp_path: Path) -> None:
    with Record(tmp_path) as record:
        record.metrics(1, {"loss": 1.0})
        record.metrics(2, {"loss": 0.9})
        assert record.forced() == 2
        record.metrics(2, {"validation": {"top1": 0.5}})
        record.metrics(3, {"loss": 0.7})
    with Record(tmp_path, 2, 2, 3):
        pass
    assert len(read_metrics(tmp_path)) == 3
    with Record(tmp_path, 2, 0, 2):  # stopped in the evaluation of step 2, which will be made again
        pass
    assert read_metrics(tmp_path) == [{"step": 1, "loss": 1.0}, {"step": 2, "loss": 0.9}]
    with Record(tmp_path, 1, 0, 1) as record:
        record.metrics(2, {"loss": 0.8})
        assert record.forced() == 2
    assert read_metrics(tmp_path) == [{"step": 1, "loss": 1.0}, {"step": 2, "loss": 0.8}]


def test_a_run_that_starts_anew_has_no_old_lines(tmp_path: Path) -> None:
    (tmp_path / METRICS).write_text("old\n")
    Record(tmp_path).__exit__(None, None, None)
    assert read_metrics(tmp_path) == []


def test_lost_lines_are_said_and_not_filled_up(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with Record(tmp_path, 8, 0, 5) as record:
        record.metrics(9, {"loss": 1.0})
    assert read_metrics(tmp_path) == [{"step": 9, "loss": 1.0}]
    assert "has lost 5 of 5 lines, cut or damaged" in caplog.text


@pytest.mark.parametrize(
    "damage",
    [
        lambda whole: whole[:-7],  # cut in the last line
        lambda whole: whole[:-7] + b"\0" * 7,  # as a power failure leaves it
        lambda whole: whole[:-7] + b"\n\xff\xfe[1, 2]\n5\n{}\n",
        lambda whole: whole.replace(b'"step": 3', b'"step": "3"'),
    ],
)
def test_damaged_lines_are_left_out_said_and_gone_after_a_resume(
    damage: Callable[[bytes], bytes], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Record(tmp_path) as record:
        for step in (1, 2, 3):
            record.metrics(step, {"loss": 1.0})
    path = tmp_path / METRICS
    path.write_bytes(damage(path.read_bytes()))
    left = [{"step": 1, "loss": 1.0}, {"step": 2, "loss": 1.0}]
    assert read_metrics(tmp_path) == left
    with Record(tmp_path, 3, 0, 3) as record:
        record.metrics(4, {"loss": 0.5})
    assert "has lost 1 of 3 lines, cut or damaged" in caplog.text
    assert [json.loads(line) for line in path.read_text().splitlines()] == [*left, {"step": 4, "loss": 0.5}]


@pytest.mark.parametrize("content", [b"", b"\0" * 50, b"[" * 100_000 + b"\n", b"\xff\xfe\n", b"[]\n5\n"])
def test_a_damaged_speed_jsonl_costs_its_own_lines_alone(content: bytes, tmp_path: Path) -> None:
    (tmp_path / SPEED).write_bytes(content)
    with Record(tmp_path) as record:
        record.speed(2, Lap(images=100, training=2.0, wall=10.0))
    assert time_spent(tmp_path) == {"seconds": 10.0, "training_seconds": 2.0, "images_per_second": 50.0}


def test_a_line_cut_short_by_a_kill_is_left_out(tmp_path: Path) -> None:
    (tmp_path / METRICS).write_text('{"step": 1}\n{"step": 2, "lo')
    assert read_metrics(tmp_path) == [{"step": 1}]
    assert read_metrics(tmp_path / "nothing") == []


def test_tensorboard_that_is_not_there_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "torch.utils.tensorboard", None)
    with pytest.raises(ConfigError, match=r"pip install 'vitascope\[tensorboard\]'"):
        Record(tmp_path, tensorboard=True)


def test_tensorboards_own_reader_finds_every_number(tmp_path: Path) -> None:
    reader = peer("tensorboard.backend.event_processing.event_accumulator")
    with Record(tmp_path, tensorboard=True) as record:
        record.metrics(2, {"loss": 0.5, "validation": {"top1": 0.25}})
        record.metrics(4, {"loss": 0.125})
    events = reader.EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    found = {name: [(e.step, e.value) for e in events.Scalars(name)] for name in events.Tags()["scalars"]}
    assert found == {"loss": [(2, 0.5), (4, 0.125)], "validation/top1": [(2, 0.25)]}


def test_tensorboard_gets_every_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[tuple[str, float, int]] = []

    class Board:
        def add_scalar(self, name: str, value: float, step: int) -> None:
            written.append((name, value, step))

        def close(self) -> None:
            written.append(("closed", 0, 0))

    monkeypatch.setattr(record_module, "tensorboard_writer", lambda: lambda folder: Board())
    with Record(tmp_path, tensorboard=True) as record:
        record.metrics(2, {"loss": 0.5, "validation": {"top1": 0.25}})
    assert written == [("loss", 0.5, 2), ("validation/top1", 0.25, 2), ("closed", 0, 0)]
