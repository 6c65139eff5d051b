"""Telling files apart without reading them."""

from __future__ import annotations

import hashlib
import os


def named_size(path: str, name: str | None = None) -> str:
    """A file's name and size; its name alone where it cannot be asked, as reading it will say."""
    try:
        return f"{name or os.path.basename(path)} {os.stat(path).st_size}"
    except OSError:
        return name or os.path.basename(path)


def stamp(path: str) -> str:
    """A file's path, size and time of change; its path alone where it cannot be asked, as reading it will say."""
    try:
        status = os.stat(path)
    except OSError:
        return os.path.abspath(path)
    return f"{os.path.abspath(path)} {status.st_size} {status.st_mtime_ns}"


def joined(parts: list[str]) -> str:
    """Many parts of an identity as one text of fixed length."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(f"{len(part)} {part}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()
