"""`vitascope demo`."""

from __future__ import annotations

from typing import Any

from vitascope.cli.console import Console
from vitascope.cli.parser import Parser


def arguments(parser: Parser) -> None:
    """See `vitascope.cli.Command`."""
    parser.add("--out", default="runs/demo", help="the demo's folder; an earlier demo in it is replaced")


def run(args: Any, parser: Parser, console: Console) -> dict[str, Any]:
    """See `vitascope.cli.Command`."""
    raise NotImplementedError
