"""What the user states of a checkpoint whose file leaves it open: names of the classes, mean and deviation."""

from __future__ import annotations

import dataclasses
import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from vitascope import json_text
from vitascope.checkpoints.json_file import LARGEST_JSON, parse_json
from vitascope.errors import CheckpointError, ConfigError
from vitascope.wording import count, reason, some

log = logging.getLogger(__name__)

Labels = Sequence[str] | str | Path
"""Names in the order of the outputs, or a file that `read_labels` reads."""
Statistics = str | float | Sequence[float]
"""A number, one for each channel, or a name such as "imagenet"; see `Preprocess.with_statistics`."""


T = TypeVar("T")


def restated(held: T, labels: Labels | None = None, mean: Statistics | None = None, std: Statistics | None = None) -> T:
    """`held`, a checkpoint or an export, with what is stated in place of its own, or `ConfigError`.

    Warns of a name that several classes have.
    """
    own: Any = held
    names = own.labels
    if labels is not None:
        names = read_labels(Path(labels)) if isinstance(labels, str | Path) else tuple(labels)
        if len(names) != len(own.labels):
            outputs = count(len(own.labels), "output")
            raise ConfigError(f"{count(len(names), 'label')} for a model of {outputs}; give one for each")
    preprocess = own.preprocess.with_statistics(mean, std)
    if twice := [name for name, times in Counter(names).items() if times > 1]:
        log.warning("several classes have the same name, of which data are taken for the first: %s", some(twice, 4))
    result: T = dataclasses.replace(own, labels=names, preprocess=preprocess)
    return result


def read_labels(path: Path) -> tuple[str, ...]:
    """A name a line, a JSON list, or a JSON map from numbers to names or back (timm's class_to_idx); a config.json may
    hold it as id2label or label_names. Raises `ConfigError`.
    """
    try:
        if path.stat().st_size > LARGEST_JSON:
            raise ConfigError(f"{path} is too large for a file of labels; expected one name a line")
        text = path.read_text(encoding="utf-8-sig").strip()
        held = parse_json(text.encode(), path) if text[:1] == "{" else None
        held = json_text.parse(text) if text[:1] == "[" else held
    except (OSError, ValueError, CheckpointError) as error:
        raise ConfigError(f"{path} cannot be read ({reason(error)}); expected one name a line, or JSON") from error
    names = [line.strip() for line in text.splitlines()] if held is None else _in_json(held)
    if not names or not all(isinstance(name, str) and name for name in names):
        raise ConfigError(f"{path} is no file of labels; expected one name a line, a JSON list, or a map from 0, 1, …")
    return tuple(names)


def _in_json(held: Any) -> list[Any]:
    """Names in order; empty for what is neither list nor map of 0, 1, … without a gap."""
    if isinstance(held, list):
        return held
    held = held.get("id2label", held.get("label_names", held))
    if isinstance(held, list):
        return held
    if not isinstance(held, dict):
        return []
    count = len(held)
    if all(type(index) is int for index in held.values()):
        held = {str(index): name for name, index in held.items()}
    return [held.get(str(index)) for index in range(count)]
