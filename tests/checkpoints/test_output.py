from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from vitascope.checkpoints.output import atomic_file, atomic_folder, settled
from vitascope.errors import CheckpointError


def write(path: Path, text: str, **options: bool) -> None:
    with atomic_folder(path, **options) as folder:
        (folder / "a").write_text(text)
        (folder / "sub").mkdir()
        (folder / "sub" / "b").write_text(text)


def test_a_folder_appears_whole_and_alone(tmp_path: Path) -> None:
    write(tmp_path / "deep" / "target", "one")
    assert (tmp_path / "deep" / "target" / "sub" / "b").read_text() == "one"
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["target"]
    mask = os.umask(0)
    os.umask(mask)
    assert (tmp_path / "deep" / "target").stat().st_mode & 0o777 == 0o777 & ~mask


def test_nothing_is_there_before_the_block_ends(tmp_path: Path) -> None:
    with atomic_folder(tmp_path / "target") as folder:
        (folder / "a").write_text("half")
        assert not (tmp_path / "target").exists()


def test_an_existing_folder_is_refused_unless_overwritten(tmp_path: Path) -> None:
    write(tmp_path / "target", "one")
    with pytest.raises(CheckpointError, match=r"target.*already.*overwrite"):
        write(tmp_path / "target", "two")
    assert (tmp_path / "target" / "a").read_text() == "one"
    write(tmp_path / "target", "two", overwrite=True)
    assert (tmp_path / "target" / "a").read_text() == "two"
    assert [p.name for p in tmp_path.iterdir()] == ["target"]


def test_an_empty_folder_may_be_filled_and_a_file_is_never_replaced_by_one(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    write(tmp_path / "empty", "one")
    assert (tmp_path / "empty" / "a").read_text() == "one"
    (tmp_path / "file").write_text("mine")
    with pytest.raises(CheckpointError, match="a file of this name"):
        write(tmp_path / "file", "one", overwrite=True)
    assert (tmp_path / "file").read_text() == "mine"


def test_an_error_inside_leaves_the_old_and_no_temporary(tmp_path: Path) -> None:
    write(tmp_path / "target", "one")

    def interrupted() -> None:
        with atomic_folder(tmp_path / "target", overwrite=True) as folder:
            (folder / "a").write_text("two")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert (tmp_path / "target" / "a").read_text() == "one"
    assert [p.name for p in tmp_path.iterdir()] == ["target"]


@pytest.mark.parametrize("writer", [atomic_folder, atomic_file])
def test_disk_full_is_one_clear_line_and_changes_nothing(tmp_path: Path, writer) -> None:  # type: ignore[no-untyped-def]
    target = tmp_path / "target"
    with writer(target) as place:
        (place / "a" if place.is_dir() else place).write_text("one")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with (
            pytest.raises(CheckpointError, match=r"disk full.*free some space") as caught,
            writer(target, overwrite=True) as place,
        ):
            (place / "a" if place.is_dir() else place).write_bytes(b"x" * 100_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "\n" not in str(caught.value)
    assert str(target) in str(caught.value)
    assert (target / "a" if target.is_dir() else target).read_text() == "one"
    assert [p.name for p in tmp_path.iterdir()] == ["target"]


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(CheckpointError, match="cannot be written"):
        write(tmp_path / "file" / "below", "one")


def test_a_file_is_replaced_at_once(tmp_path: Path) -> None:
    target = tmp_path / "a.json"
    for text in ("one", "two"):
        with atomic_file(target) as temporary:
            temporary.write_text(text)
    assert target.read_text() == "two"
    with pytest.raises(CheckpointError, match="already"), atomic_file(target, overwrite=False):
        pass
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_remains_of_killed_writers_are_removed_by_the_next(tmp_path: Path) -> None:
    (tmp_path / ".target.abc.tmp").mkdir()
    (tmp_path / ".target.abc.tmp" / "a").write_text("half")
    (tmp_path / ".other.abc.tmp").mkdir()
    write(tmp_path / "target", "one")
    assert sorted(p.name for p in tmp_path.iterdir()) == [".other.abc.tmp", "target"]


def test_a_kill_between_the_two_renames_is_survived(tmp_path: Path) -> None:
    write(tmp_path / "target", "one")
    (tmp_path / "target").rename(tmp_path / ".target.old")
    assert (settled(tmp_path / "target") / "a").read_text() == "one"
    with pytest.raises(CheckpointError, match="already"):
        write(tmp_path / "target", "two")  # put back first, hence refused
    assert (tmp_path / "target" / "a").read_text() == "one"


def test_a_kill_at_any_system_call_leaves_the_old_or_the_new(tmp_path: Path) -> None:
    """Every call that changes the disk is counted; one child after another is killed before the n-th."""
    script = textwrap.dedent(
        """
        import os, signal, sys
        from pathlib import Path
        from vitascope.checkpoints.output import atomic_folder, settled
        import shutil

        home = Path(sys.argv[1])

        def save(text):
            with atomic_folder(home / "target", overwrite=True) as folder:
                for name in "ab":
                    with open(folder / name, "wb") as stream:
                        for character in text:
                            stream.write(character.encode())
                            stream.flush()
                            os.stat(folder)  # counted: a kill in the middle of a file

        def counted(function, left):
            def wrapper(*args, **kwargs):
                if left[0] == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                left[0] -= 1
                return function(*args, **kwargs)
            return wrapper

        save("old")
        count = 0
        while True:
            child = os.fork()
            if child == 0:
                left = [count]
                for name in ("fsync", "rename", "replace", "stat", "rmdir", "unlink", "mkdir"):
                    setattr(os, name, counted(getattr(os, name), left))
                save("new")
                os._exit(0)
            status = os.waitpid(child, 0)[1]
            place = settled(home / "target")
            found = {(place / name).read_text() for name in "ab"}
            assert found in ({"old"}, {"new"}), (count, found)
            if os.WIFEXITED(status):
                assert os.WEXITSTATUS(status) == 0 and found == {"new"}
                break
            assert os.WTERMSIG(status) == signal.SIGKILL
            save("old")
            assert os.listdir(home) == ["target"], os.listdir(home)
            count += 1
        print(count)
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 15
    assert signal.SIGKILL == 9
