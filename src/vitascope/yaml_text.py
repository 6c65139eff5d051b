"""YAML from people, read with bounds: no document takes more time or memory than its own length deserves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from vitascope.errors import ConfigError
from vitascope.wording import reason

MAX_CHARACTERS = 1 << 20
"""A run's config has some two thousand."""
MAX_DEPTH = 20
"""Lists and mappings inside each other; a recipe has three."""
MAX_VALUE = 4096
"""Characters of one value; a path has as many."""


def check_yaml(text: str) -> str:
    """`text` itself; raises YAMLError where it is too long, too deep, or repeats a part of itself by an alias (*x)."""
    if len(text) > MAX_CHARACTERS:
        raise yaml.YAMLError(f"{len(text):,} characters, expected at most {MAX_CHARACTERS:,}")
    depth = 0
    for event in yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
        if isinstance(event, yaml.AliasEvent):  # nine lines of them unfold to a billion values
            raise yaml.YAMLError(f"the alias *{event.anchor}, expected plain values; write them out")
        if isinstance(event, yaml.ScalarEvent) and len(event.value) > MAX_VALUE:  # 59:59:59:… is a number, says YAML
            raise yaml.YAMLError(f"a value of {len(event.value):,} characters, expected at most {MAX_VALUE:,}")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise yaml.YAMLError(f"lists or mappings nested more than {MAX_DEPTH} deep")
    return text


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping that a YAML file holds; raises `ConfigError` where it holds none or cannot be read."""
    try:
        values = yaml.safe_load(check_yaml(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ConfigError(f"{path} cannot be read ({reason(error)}); expected a YAML file of options") from error
    if not isinstance(values, dict):
        what = "nothing" if values is None else type(values).__name__
        raise ConfigError(f"{path} holds {what}, expected options, one a line, such as lr: 0.01")
    return values
