"""Signals at any moment of a command, from the first line of ours to the last: one line, and 128 + their number."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tiny import PRETRAIN_WORDS, image_folder, start
from vitascope.cli import main

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="asks Linux who listens to signals")
CODES = {signal.SIGTERM: 143, signal.SIGINT: 130}


def listens(process: subprocess.Popen[str]) -> bool:
    """Whether our first line has run: Python itself leaves SIGTERM alone."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    caught = re.search(r"SigCgt:\s*(\w+)", status)
    return caught is not None and bool(int(caught[1], 16) >> (signal.SIGTERM - 1) & 1)


def ended(number: signal.Signals, moment: float, *words: str | Path) -> tuple[int, str, bool]:
    """Exit code and standard error of a command that is sent a signal so many seconds after it listens; too late?"""
    process = start(*words)
    while not listens(process) and process.poll() is None:
        time.sleep(0.001)
    time.sleep(moment)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    return process.returncode, err, process.returncode == 0


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("place")
    image_folder(folder / "images", 60)
    assert main(["pretrain", str(folder / "images"), "--steps=2", *PRETRAIN_WORDS, f"--out={folder / 'run'}"]) == 0
    return folder


def check(place: Path, number: signal.Signals, moment: float) -> str:
    """Sends it to `evaluate`; "late" where the command had ended."""
    code, err, late = ended(number, moment, "evaluate", place / "run", place / "images")
    if late:
        return "late"
    assert code == CODES[number], (moment, err)
    assert len(err.splitlines()) == 1, (moment, err)
    return "stopped"


@pytest.mark.parametrize("number", CODES)
@pytest.mark.parametrize("moment", [0.0, 0.1, 0.6])
def test_a_signal_is_one_line_whenever_it_comes(number: signal.Signals, moment: float, place: Path) -> None:
    assert check(place, number, moment) == "stopped"


def test_what_is_ignored_stays_so(place: Path) -> None:
    process = start("models", preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN))
    until = time.monotonic() + 30
    while not listens(process) and time.monotonic() < until:
        time.sleep(0.001)
    os.kill(process.pid, signal.SIGINT)
    assert "stopped" not in process.communicate(timeout=60)[1]
    assert process.returncode == 0
