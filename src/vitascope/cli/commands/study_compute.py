"""`vitascope study compute SOURCE TARGET --out DIR`."""

from __future__ import annotations

from typing import Any

from vitascope.cli.console import Console
from vitascope.cli.parser import Parser
from vitascope.cli.studies import add_study_arguments, run_and_show
from vitascope.studies.settings import Compute


def arguments(parser: Parser) -> None:
    """See `vitascope.cli.Command`."""
    add_study_arguments(Compute, parser)


def run(args: Any, parser: Parser, console: Console) -> dict[str, Any]:
    """See `vitascope.cli.Command`."""
    return run_and_show(Compute, args, parser, console)
