"""One way to check the fields of a config: their kinds and ranges are what its annotations say."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from vitascope.errors import ConfigError


@dataclass(frozen=True)
class Range:
    """The numbers that a field may have, both ends included unless `below`."""

    least: float
    most: float = math.inf
    below: bool = False
    """The upper end is not included."""

    def __contains__(self, value: float) -> bool:
        return self.least <= value < self.most if self.below else self.least <= value <= self.most

    def __str__(self) -> str:
        if self.most == math.inf:
            return f"of at least {self.least:,}"
        return f"in [{self.least:,}, {self.most:,})" if self.below else f"from {self.least:,} to {self.most:,}"


@dataclass(frozen=True)
class Several:
    """The tuples that a field may be."""

    least: int = 1
    again: bool = False
    """A value may occur more than once."""

    def __contains__(self, values: tuple[Any, ...]) -> bool:
        return len(values) >= self.least and (self.again or len(set(values)) == len(values))

    def __str__(self) -> str:
        return f"{self.least} or more values{'' if self.again else ', each once'}"


@dataclass(frozen=True)
class Word:
    """What a text is, in the word that help puts in its place."""

    name: str

    def __contains__(self, value: str) -> bool:
        return True


LARGEST_SIDE = 16_384
"""Pixels of an image that a model sees; a file may claim any size, which is refused before memory is taken."""
Count = Annotated[int, Range(1)]
"""How many, one or more."""
Probability = Annotated[float, Range(0, 1, below=True)]
Side = Annotated[int, Range(1, LARGEST_SIDE)]
"""Pixels along a side of an image."""
FileName = Annotated[str, Word("FILE")]
FolderName = Annotated[str, Word("FOLDER")]
DataName = Annotated[str, Word("DATA")]
"""A folder, file or name that `vitascope data` lists."""
CheckpointName = Annotated[str, Word("CHECKPOINT")]
"""A file, a folder, a run, or a name that `vitascope models --starts` lists."""
TimeText = Annotated[str, Word("TIME")]
"""90s, 10m or 2h."""
SizeText = Annotated[str, Word("SIZE")]
"""500M or 2G."""
Units = tuple[Annotated[int, Range(1, 1024)], ...]
"""Bottleneck units in each stage of a ResNet."""


def check_fields(config: Any) -> None:
    """Raises `ConfigError` for the first field of a dataclass whose value is not of the kind or range declared."""
    hints = get_type_hints(type(config), include_extras=True)
    for name in (f.name for f in fields(config)):
        value = getattr(config, name)
        wanted = _unmet(value, hints[name])
        if wanted:
            raise ConfigError(f"{name} is {_shown(value)}, expected {wanted}")


def height_width(value: Any, name: str) -> tuple[int, int]:
    """224, (192, 256) or {"height": 192, "width": 256} → (height, width); raises `ConfigError` for anything else."""
    pair = value
    if isinstance(value, Mapping):
        pair = value.get("height"), value.get("width")
    elif isinstance(value, int):
        pair = value, value
    whole = isinstance(pair, list | tuple) and all(isinstance(n, int) and 0 < n <= LARGEST_SIDE for n in pair)
    if not whole or len(pair) != 2:
        raise ConfigError(
            f"{name} is {_shown(value)}, expected one positive number or (height, width), at most {LARGEST_SIDE}"
        )
    return pair[0], pair[1]


class IdleError(ConfigError):
    """A field has a value that would be ignored."""

    def __init__(self, field: str, default: Any, text: str) -> None:
        super().__init__(text)
        self.field, self.default = field, default


def refuse_idle(config: Any, why: str, *names: str) -> None:
    """Raises `IdleError` where one of the fields `names` has another value than its default: it would be ignored."""
    for f in fields(config):
        if f.name in names and (value := getattr(config, f.name)) != f.default:
            said = f"{f.name} is {_shown(value)}, but {why}; leave it at {_shown(f.default)}"
            raise IdleError(f.name, f.default, said)


def _unmet(value: Any, hint: Any) -> str | None:
    """What was expected; None where the value is that."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        wanted = _unmet(value, arguments[0])
        if wanted or value in arguments[1]:
            return wanted
        return str(arguments[1]) if isinstance(arguments[1], Several) else f"{_words(arguments[0])} {arguments[1]}"
    if origin is Literal:
        return None if value in arguments else f"one of {', '.join(arguments)}"
    if origin is tuple:
        several = arguments[-1] is Ellipsis
        length = min(len(value), _MOST_VALUES) if several and isinstance(value, tuple) else len(arguments)
        if not isinstance(value, tuple) or len(value) != length:
            return f"{'a few' if several else length} values in brackets"
        return next((w for each in value if (w := _unmet(each, arguments[0]))), None)
    if origin is dict:
        return None if isinstance(value, dict) else "names with values"
    if origin in (Union, UnionType):
        wanted_by = {kind: _unmet(value, kind) for kind in arguments}
        said = [wanted for kind, wanted in wanted_by.items() if wanted and kind is not NoneType]
        return None if None in wanted_by.values() else " or ".join(said)
    if hint in (int, float):
        kinds = (int,) if hint is int else (int, float)
        is_number = isinstance(value, kinds) and not isinstance(value, bool)
        return None if is_number and (isinstance(value, int) or math.isfinite(value)) else _words(hint)
    return None if isinstance(value, hint) else _words(hint)


_MOST_VALUES = 1024
"""Of a tuple of any length."""


def _words(kind: type) -> str:
    return {int: "a whole number", float: "a number", bool: "true or false"}.get(kind, f"a {kind.__name__}")


def _shown(value: Any) -> str:
    try:
        text = repr(value)
    except ValueError:  # Python writes no number of more than 4300 digits
        text = "a number of thousands of digits"
    return text if len(text) <= 60 else text[:57] + "…"
