"""What decides a head in closed form; free of torch, so that mistakes are told before it is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vitascope.evaluation.sets import Coverage
from vitascope.fields import check_fields

Balance = bool | Literal["auto"]


@dataclass(frozen=True, kw_only=True)
class Teaching:
    """What decides a head in closed form. Raises `ConfigError`."""

    balance: Balance = False
    """Count every class alike, however many images it has; auto: if that makes the leave-one-out macro F1 larger."""
    coverage: Coverage = 0.95
    """Share of images whose prediction set shall hold their label; as many at most are called none of the classes."""
    by_class: bool = False
    """State the coverage of every class by itself."""

    group: str | None = None
    """What is left out together, beside copies: a column of the data's table, such as patient; else a regular
    expression on the images' paths. Its first group (or all that matches) is one patient, plant or video."""

    def __post_init__(self) -> None:
        check_fields(self)
