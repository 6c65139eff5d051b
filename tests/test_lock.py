"""One process at a time in a folder, whatever becomes of the folder's other files."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from vitascope.errors import ConfigError
from vitascope.lock import LOCK, locked

TRY = """
import sys
from pathlib import Path
from vitascope.errors import ConfigError
from vitascope.lock import locked
try:
    with locked(Path(sys.argv[1])):
        print("locked", flush=True)
        sys.stdin.read()
except ConfigError as error:
    print(error)
"""

pytestmark = pytest.mark.skipif(os.name == "nt", reason="locks of POSIX")


def attempt(folder: Path) -> str:
    """What a process of its own says that takes the lock and leaves."""
    command = [sys.executable, "-c", TRY, str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=True, input="").stdout.strip()


def test_another_process_waits_outside_until_this_one_has_left(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    said = f"another process is at work in {folder}; wait for it, or choose another --out"
    with locked(folder):
        assert attempt(folder) == said
        with locked(folder):  # what holds it may ask again, as a sweep's last run does
            assert attempt(folder) == said
        assert attempt(folder) == said
        (tmp_path / "link").symlink_to(folder)
        with locked(tmp_path / "link"):
            pass
        assert attempt(tmp_path / "link") != "locked"
    assert attempt(folder) == "locked"
    assert os.listdir(folder) == [LOCK]


def test_another_thread_does_too(tmp_path: Path) -> None:
    met: list[str] = []

    def enter() -> None:
        try:
            with locked(tmp_path):
                met.append("locked")
        except ConfigError as error:
            met.append(str(error))

    with locked(tmp_path):
        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
    assert "another process is at work" in met[0]
    assert attempt(tmp_path) == "locked"


def test_a_killed_process_frees_it_also_with_a_child_that_lives_on(tmp_path: Path) -> None:
    code = TRY.replace("sys.stdin.read()", "import os; os.fork(); sys.stdin.read()")
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stdout.readline() == b"locked\n"
    process.kill()
    process.wait()
    assert attempt(tmp_path) == "locked"  # the child still waits for its input
    process.stdin.close()
    process.stdout.close()


def test_a_file_system_without_locks_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def none(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.lockf", none)
    with locked(tmp_path):
        pass
    assert "this file system has no locks" in caplog.text
