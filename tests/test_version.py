"""The commit a run was made with: said of a checkout, and left out anywhere else."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from vitascope import version
from vitascope.version import source_commit

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


def git(folder: Path, *words: str) -> str:
    named = ["-c", "user.name=T", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    return subprocess.run(
        ["git", "-C", str(folder), *named, *words], capture_output=True, text=True, check=True
    ).stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    git(tmp_path, "init", "--quiet")
    (tmp_path / "a.py").write_text("1")
    git(tmp_path, "add", "a.py")
    git(tmp_path, "commit", "--quiet", "-m", "first")
    return tmp_path


def test_a_checkout_says_its_commit_and_whether_files_differ(checkout: Path) -> None:
    head = git(checkout, "rev-parse", "HEAD")
    (checkout / "untracked").write_text("data")
    assert source_commit(checkout) == {"commit": head, "dirty": False}
    (checkout / "a.py").write_text("2")
    assert source_commit(checkout) == {"commit": head, "dirty": True}


def test_anything_else_says_nothing(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = checkout / "site-packages"  # of an environment inside somebody's repository
    inner.mkdir()
    assert source_commit(inner) == {}
    empty = checkout / "empty"
    empty.mkdir()
    git(empty, "init", "--quiet")
    assert source_commit(empty) == {}

    def late(*words: object, **options: object) -> None:
        raise subprocess.TimeoutExpired("git", 5)

    monkeypatch.setattr(version.subprocess, "run", late)
    assert source_commit(checkout) == {}
