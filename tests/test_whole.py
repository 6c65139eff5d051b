"""Files written wholly or not at all, by one process or several."""

from __future__ import annotations

from pathlib import Path

import pytest

from vitascope.whole import umask, written_whole


def test_the_file_is_there_at_the_end_only(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file"
    with written_whole(path) as temporary:
        temporary.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o777 == 0o666 & ~umask()
    assert [p.name for p in path.parent.iterdir()] == ["file"]


def test_an_error_leaves_the_old_and_no_temporary(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def interrupted() -> None:
        with written_whole(path) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_two_writers_at_once_do_not_disturb_each_other(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with written_whole(path) as one, written_whole(path) as two:
        one.write_text("one")
        two.write_text("two")
    assert path.read_text() == "one"  # the later to finish
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
