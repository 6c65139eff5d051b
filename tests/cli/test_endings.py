"""How commands end: mistakes, faults and signals, and what is said on the way."""

from __future__ import annotations

import io
import logging
import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console as Rich

from commanding import Run
from tiny import image_folder
from vitascope.cli import main
from vitascope.cli.console import Console, Counter
from vitascope.errors import DivergedError
from vitascope.wording import count, duration

pytestmark = pytest.mark.usefixtures("no_pictures")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["predict", "{}/nowhere", "{}/images"], "nowhere"),
        (["predict", "{}/run", "{}/absent.png"], "absent.png does not exist"),
        (["predict", "{}/run", "--", "--absent.png"], "--absent.png does not exist"),
        (["predict", "{}/run", "--", "--json"], "--json does not exist"),
        (["predict", "{}/run", "{}/run/checkpoints"], "no images below"),
        (["predict", "{}/run", "{}/images", "--engine=warp"], "choose from 'auto', 'eager'"),
        (["evaluate", "{}/run", "digits"], "does not know"),
        (["evaluate", "{}/run", "{}/images", "--split=test"], "has no test split"),
        (["evaluate", "{}/run", "{}/images", "--device=abacus"], "device 'abacus'"),
        (["fewshot", "{}/run", "{}/images"], "has no test split to be judged on; give --test DATA"),
        (["fewshot", "{}/run", "{}/images", "--test={}/images"], "the very images"),
        (["fewshot", "{}/run", "{}/images", "--test=digits"], "different classes"),
        (["fewshot", "{}/run", "{}/images", "--test={}/nowhere"], "nowhere: no such file or folder"),
        (["fewshot", "{}/run", "{}/images", "--test={}/others", "--shots=7"], "fewer than 7 images of cat (6)"),
        (["fewshot", "{}/run", "{}/images", "--shots=1,0"], "shots is (1, 0), expected a whole number of at least 1"),
        (["fewshot", "{}/run", "{}/images", "--shots=few"], "--shots: Expected int or 'all'. Got value: few"),
        (
            ["fewshot", "{}/run", "{}/images", "--methods=ridge,svm"],
            "choose from 'ridge', 'knn', 'probe'. Got",
        ),
        (["fewshot", "{}/run", "{}/images", "--l2=0"], "expected numbers above 0"),
        (["fewshot", "{}/run", "{}/images", "--seeds=0"], "seeds is 0"),
        (["fewshot", "{}/run", "{}/images", "--batch=0"], "--batch is 0"),
        (["finetune", "{}/images", "{}/images", "--out={}/x"], "images"),
        (["convert", "{}/run", "{}/run/model"], "already"),
        (["convert", "{}/run", "{}/new", "--model=ViT-B/16"], "not the model"),
        (["pretrain", "{}/images", "--out={}/run"], "choose another --out, or give --resume or --overwrite"),
        (["pretrain", "{}/images", "--out={}/images", "--overwrite"], "is not a run"),
        (["pretrain", "{}/images", "--out={}/none", "--resume"], "no run to resume"),
    ],
)
def test_what_the_user_can_mend_is_one_line_and_exit_2(words: list[str], said: str, place: Path, run: Run) -> None:
    before = sorted(str(p) for p in place.rglob("*"))
    code, out, err = run(*(w.replace("{}", str(place)) for w in words))
    assert (code, out) == (2, "")
    last = err.splitlines()[-1]
    assert last.startswith(f"vitascope {words[0]}: error: ")
    assert said in last
    assert "Traceback" not in err
    assert sorted(str(p) for p in place.rglob("*")) == before


def unexpected(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr("vitascope.cli.commands.models.run", fail)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (RuntimeError("DataLoader worker (pid 77) is killed by signal: Killed."), "fewer --workers"),
        (RuntimeError("DataLoader worker (pid(s) 7) exited unexpectedly"), "fewer --workers"),
        (RuntimeError("unable to allocate shared memory(shm) for file </torch_1>"), "fewer --workers"),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB\nand more"), "smaller --micro-batch"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), "smaller --micro-batch"),
        (MemoryError(), "smaller --micro-batch"),
        (OSError(28, "No space left on device"), "free some space"),
        (DivergedError("loss nan at step 3"), "loss nan at step 3"),
    ],
)
def test_a_machine_that_fails_is_one_line_with_a_remedy_and_exit_1(
    error: Exception, said: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    unexpected(monkeypatch, error)
    code, out, err = run("models")
    assert (code, out) == (1, "")
    assert err.count("\n") == 1
    assert said in err


def test_a_fault_of_the_program_shows_its_traceback(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    unexpected(monkeypatch, ZeroDivisionError("division by zero"))
    code, _, err = run("models")
    assert code == 1
    assert "Traceback" in err
    assert "please report" in err


def test_ctrl_c_is_130_without_a_traceback(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    unexpected(monkeypatch, KeyboardInterrupt())
    code, _, err = run("models")
    assert (code, err) == (130, "vitascope models: interrupted\n")


def test_sigterm_outside_training_is_143_in_one_line(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr("vitascope.cli.commands.models.run", lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    code, _, err = run("models")
    assert (code, err) == (143, "vitascope models: stopped by SIGTERM\n")
    assert signal.getsignal(signal.SIGTERM) == before


def test_only_the_first_of_several_processes_speaks(place: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    assert run("data") == (0, "", "")
    assert run("data", "--json") == (0, "", "")
    assert run("check", place / "images") == (0, "", "")
    assert "does not exist" in run("predict", place / "run", "absent.png")[2]  # but none fails in silence


def test_library_messages_appear_and_debugging_ones_only_when_asked(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def speak(*_: Any) -> dict[str, Any]:
        log = logging.getLogger("vitascope.somewhere")
        log.debug("details")
        log.info("news")
        log.warning("danger")
        return {}

    monkeypatch.setattr("vitascope.cli.commands.models.run", speak)
    assert run("models")[2] == "news\nwarning: danger\n"
    assert run("models", "--verbose")[2] == "details\nnews\nwarning: danger\n"


def test_names_of_files_are_not_taken_for_markup(tmp_path: Path, place: Path, run: Run) -> None:
    folder = image_folder(tmp_path / "[bold]images[/bold]", 3)
    assert "[bold]images[/bold]" in run("predict", place / "run", folder)[1]


@pytest.mark.parametrize(("seconds", "text"), [(8, "8s"), (59.6, "1m00s"), (75, "1m15s"), (4000, "1h06m")])
def test_durations_are_readable(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_progress_without_a_terminal_is_a_line_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr("vitascope.cli.console.time.monotonic", lambda: now[0])
    counter = Counter(Console(), "reading")
    for done in range(1, 21):
        now[0] += 1.0
        counter(done, 20)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 4
    assert all(re.fullmatch(r"reading: \d+/20  \d+s left, until .*\d\d:\d\d", line) for line in lines)
    assert "2/20" in lines[0]
    assert "12/20" in lines[2]


def test_on_a_terminal_the_bar_is_gone_before_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console()
    screen = io.StringIO()
    console.err = console.out = Rich(file=screen, force_terminal=True, width=80, highlight=False)
    counter = console.counter("reading")
    counter(1, 3)
    console.table("a table", ["name"], [["x"]])
    counter(2, 3)
    counter(3, 3)
    lines = screen.getvalue().split("\n")
    assert any(line.endswith("a table\x1b[0m") and "reading" not in line.rpartition("\x1b[2K")[2] for line in lines)
    assert console._progress is None


def test_a_number_agrees_with_what_it_counts() -> None:
    assert [count(1, "problem"), count(2, "problem"), count(0, "class"), count(1200, "image")] == [
        "1 problem", "2 problems", "0 classes", "1,200 images",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("given", "found"), [({}, "10000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "active"}, None)]
)
def test_threads_do_not_wait_busily_unless_asked_to(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], found: str | None
) -> None:
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert main(["--version"]) == 0
    assert os.environ.get("GOMP_SPINCOUNT") == found
