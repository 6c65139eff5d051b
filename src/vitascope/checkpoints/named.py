"""Names of checkpoints, in place of paths: which there are, and what each means; free of torch and of any network."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from vitascope.checkpoints.formats.names import WEIGHT_ENDINGS
from vitascope.checkpoints.starts import OFFICIAL, STARTS
from vitascope.errors import CheckpointError
from vitascope.wording import printable


@dataclass(frozen=True, kw_only=True)
class Located:
    """Where a checkpoint's files are, and where they came from."""

    place: Path
    """A file or a folder."""
    fetched: Mapping[str, Any] = field(default_factory=dict)
    """Of what has a name: the name, its revision or address, the SHA-256 of each file of weights; else empty."""


class UnreachableError(CheckpointError):
    """There is no network, or one is not to be used, and the cache does not hold what is asked for."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of names: one row of the table."""

    typed: str
    """What to type, by example."""
    pattern: str
    """What a name of it looks like; its groups are given to the function, those that are absent as "". """
    fetcher: str
    """MODULE.FUNCTION of `vitascope.checkpoints`, which takes the groups and says where the files are, once they are.
    With `cached=True` it asks no network."""
    like_a_path: bool = False
    """Whether a mistyped path may look like it."""


KINDS: tuple[Kind, ...] = (
    Kind(typed="start", pattern="start", fetcher="ours.fetch"),
    Kind(
        typed="google:augreg/S_16-…",
        pattern=r"google:((?:\w[\w.+-]*/)?\w[\w.+-]*)",
        fetcher="official.fetch",
    ),
    Kind(
        typed="hf:OWNER/NAME[@REVISION][/FILE]",
        pattern=r"hf:(\w[\w.-]*/\w[\w.-]*)(?:@([\w.%-]+))?(?:/([\w.%/-]+))?",
        fetcher="hub.fetch",
    ),
    Kind(
        typed="OWNER/NAME",
        pattern=r"(\w[\w.-]*/\w[\w.-]*)(?:@([\w.%-]+))?()",
        fetcher="hub.fetch",
        like_a_path=True,
    ),
)
_FILES = WEIGHT_ENDINGS | {".json", ".jpg", ".jpeg", ".png", ".webp", ".heic", ".onnx", ".xml", ".yaml", ".tar", ".zip"}
"""Endings of paths, which no repository's name has."""


def is_name(text: str) -> bool:
    """Whether `text`, where nothing of this path exists, is a name that may be fetched."""
    return not os.path.exists(text) and _meaning(text) is not None


def check_known(text: str) -> None:
    """`CheckpointError` for what is neither a path that exists nor a name, before anything is read or fetched."""
    if not os.path.exists(text) and _meaning(text) is None:
        near, folder = nearest(text), text.partition("/")[0]
        if not near and is_name(f"hf:{text}") and os.path.isdir(folder):
            near = f": {folder} is a folder here; hf:{text} means the Hub's"
        near = near or f" ({', '.join(kind.typed for kind in KINDS)}; `vitascope models --starts` lists some)"
        told = "no such file or folder; expected a checkpoint's file, folder or run, or a name"
        raise CheckpointError(f"{printable(text)}: {told}{near}")


def find(text: str, *, cached: bool = False) -> Located:
    """The files of a name, fetched if need be, but `cached` ones alone without any network.

    Raises `CheckpointError` for what is no name, with the nearest, and for what cannot be had (`UnreachableError`
    without a network).
    """
    check_known(text)
    meaning = _meaning(text)
    assert meaning is not None
    kind, groups = meaning
    module, _, function = kind.fetcher.partition(".")
    fetch = cast(Callable[..., Located], getattr(import_module(f"vitascope.checkpoints.{module}"), function))
    return fetch(*groups, cached=cached)


def offline() -> bool:
    """Whether nothing may be asked for outside, as huggingface_hub reads $HF_HUB_OFFLINE."""
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def nearest(text: str) -> str:
    """ "; did you mean 'timm/…'?" by the table of starts, or ""."""
    names = (*(start.name for start in STARTS), *OFFICIAL)
    known = {name: name for name in names}
    for name in names:
        for short in (name.partition(":")[2], name.rpartition("/")[2]):
            known.setdefault(short or name, name)
    near = difflib.get_close_matches(text.removeprefix("hf:"), known, 1, cutoff=0.75)
    return f"; did you mean {known[near[0]]!r}?" if near and known[near[0]] != text else ""


def _meaning(text: str) -> tuple[Kind, tuple[str, ...]] | None:
    """What kind of name it is, and its parts; None where it is rather a path."""
    for kind in KINDS:
        if ".." not in text and (found := re.fullmatch(kind.pattern, text)):  # which no name needs, and leads elsewhere
            parts = tuple(part or "" for part in found.groups())
            return None if kind.like_a_path and _is_rather_a_path(text) else (kind, parts)
    return None


def _is_rather_a_path(text: str) -> bool:
    """Whether OWNER/NAME is more likely a mistyped path, of which nobody outside should hear."""
    if any(text == start.name for start in STARTS):
        return False
    return Path(text).suffix.lower() in _FILES or os.path.isdir(Path(text).parts[0])
