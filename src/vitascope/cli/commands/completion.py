"""`vitascope completion SHELL`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vitascope.cli.completion import Shell, script
from vitascope.cli.console import Console
from vitascope.fields import check_fields


@dataclass(frozen=True, kw_only=True)
class Completion:
    """For which shell."""

    shell: Shell
    """The shell that reads it; the script's first lines say where it is kept."""

    def __post_init__(self) -> None:
        check_fields(self)


def run(asked: Completion, console: Console) -> dict[str, Any]:
    """Prints the script."""
    from vitascope.cli import COMMANDS, described

    text = script(asked.shell, [described(name) for name in COMMANDS])
    if not console.json_only:
        print(text, end="")
    return {"shell": asked.shell, "script": text}
