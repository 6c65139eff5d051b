"""Telling one source's images from another's, without decoding them where the source knows better.

A source may have `identity() → str`, which differs whenever an image or the order of images does; all others are
told by their pixels. Labels and names play no part. It may also have `parts() → list[str]`, names and sizes of what
holds the images, which are the same wherever that lies.
"""

from __future__ import annotations

import hashlib
import os

import numpy as np

from vitascope.data.source import Source, Subset


def fingerprint(source: Source) -> str:
    """64 hexadecimal digits that stand for every image of `source` and their order; raises ImageError.

    Files are told by path, size and time of change, the Hub's encoded images by their bytes, generated ones by what
    generates them.
    """
    digest = hashlib.sha256(f"{type(source).__name__} {len(source)}\n".encode())
    if isinstance(source, Subset):
        digest.update(fingerprint(source.source).encode())
        digest.update(np.ascontiguousarray(source.indices, dtype=np.int64).data)
        return digest.hexdigest()
    identity = getattr(source, "identity", None)
    if identity is not None:
        digest.update(identity().encode())
        return digest.hexdigest()
    for index in range(len(source)):
        image = source[index]
        digest.update(f"{image.shape}".encode())
        digest.update(np.ascontiguousarray(image).data)
    return digest.hexdigest()


def contents(source: Source) -> str:
    """64 hexadecimal digits for the classes, labels and files of a source: the same on another machine or disk.

    Files are told by their names below the source's folder and their sizes, so nothing is read; sources without
    files as by `fingerprint`. Raises ImageError.
    """
    if isinstance(source, Subset):
        inner, rest = contents(source.source), np.ascontiguousarray(source.indices, dtype=np.int64).tobytes().hex()
        return joined([inner, rest])
    parts = getattr(source, "parts", None)
    labels = np.ascontiguousarray(source.labels, dtype=np.int64).tobytes().hex()
    return joined([*source.classes, labels, *(parts() if parts is not None else [fingerprint(source)])])


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
