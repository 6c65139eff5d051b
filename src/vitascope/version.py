"""The version, read by the build and written into every run and checkpoint; and the commit, where there is one."""

from __future__ import annotations

import subprocess
from pathlib import Path

__version__ = "0.1.0"

_PATIENCE = 5  # seconds; a run does not wait longer for git


def source_commit(root: Path = Path(__file__).parents[2]) -> dict[str, str | bool]:
    """{"commit": its SHA, "dirty": whether tracked files differ from it}; empty where `root` is no git checkout."""
    if not (root / ".git").exists():  # installed from a wheel, perhaps inside somebody else's repository
        return {}
    try:
        said = [
            subprocess.run(
                ["git", "-C", str(root), *words], capture_output=True, text=True, check=True, timeout=_PATIENCE
            ).stdout.strip()
            for words in (("rev-parse", "HEAD"), ("status", "--porcelain", "--untracked-files=no"))
        ]
    except (OSError, ValueError, subprocess.SubprocessError):  # no git, no commit yet, a checkout git does not trust
        return {}
    return {"commit": said[0], "dirty": bool(said[1])}
