"""`vitascope data`."""

from __future__ import annotations

from typing import Any

from vitascope.cli.console import Console
from vitascope.cli.parser import Parser


def arguments(parser: Parser) -> None:
    """See `vitascope.cli.Command`."""


def run(args: Any, parser: Parser, console: Console) -> dict[str, Any]:
    """See `vitascope.cli.Command`."""
    from vitascope.data.open import CATALOGUE

    rows = [[entry.name, entry.typed, entry.holds, entry.splits, entry.needs or "–"] for entry in CATALOGUE]
    console.table("data", ["name", "type, for example", "what it is", "splits", "needs"], rows)
    names = ("name", "typed", "holds", "splits", "needs")
    return {"data": [{name: getattr(entry, name) for name in names} for entry in CATALOGUE]}
