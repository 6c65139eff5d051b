"""JSON descriptions beside weights: bounded, without duplicate names, always an object."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from vitascope import json_text
from vitascope.errors import CheckpointError
from vitascope.wording import reason

LARGEST_JSON = 16 << 20
"""Bytes of a description or of a safetensors file's header; a ViT-H's header takes 60 KB."""


def read_json(path: Path) -> dict[str, Any]:
    """The object in a file; raises `CheckpointError` if it is missing, too large or no JSON object."""
    try:
        with path.open("rb") as file:
            text = file.read(LARGEST_JSON + 1)
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: missing; expected the description of the weights beside it") from error
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({reason(error)})") from error
    if len(text) > LARGEST_JSON:
        raise CheckpointError(f"{path}: more than {LARGEST_JSON >> 20} MiB of JSON, which no description takes")
    return parse_json(text, path)


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
    result = dict(pairs)
    if len(result) < len(pairs):
        name = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"name {name!r} occurs twice")
    return result


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number")
