"""JSON descriptions beside weights: bounded, without duplicate names, always an object."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from vitascope import json_text
from vitascope.checkpoints.limits import MAX_HEADER, size_text
from vitascope.errors import CheckpointError
from vitascope.wording import reason


def read_json(path: Path) -> dict[str, Any]:
    """The object in a file; raises `CheckpointError` if it is missing, too large or no JSON object."""
    try:
        size = path.stat().st_size
        if size > MAX_HEADER:
            raise CheckpointError(f"{path}: {size_text(size)} of JSON, at most {size_text(MAX_HEADER)}")
        return parse_json(path.read_bytes(), path)
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: missing; expected the description of the weights beside it") from error
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({reason(error)})") from error


def parse_json(text: bytes, path: Path) -> dict[str, Any]:
    """The object in `text`; raises `CheckpointError` for anything else, duplicate names included."""
    try:
        value = json_text.parse(text, object_pairs_hook=_without_duplicates, parse_constant=_refuse_constant)
    except ValueError as error:  # also no UTF-8, and duplicates
        raise CheckpointError(f"{path}: damaged JSON ({reason(error)})") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path}: JSON holds a {type(value).__name__}, expected an object")
    return value


def dump_json(value: Any) -> bytes:
    """Readable UTF-8 with a line break at the end."""
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for name, value in pairs:
        if name in result:
            raise ValueError(f"name {name!r} occurs twice")
        result[name] = value
    return result


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number")
