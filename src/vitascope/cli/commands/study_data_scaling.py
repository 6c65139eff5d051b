"""`vitascope study data-scaling SOURCE TARGET --out DIR`."""

from __future__ import annotations

from typing import Any

from vitascope.cli.console import Console
from vitascope.cli.runs import Schedule
from vitascope.cli.studies import run_and_show
from vitascope.studies.settings import DataScaling


def run(study: DataScaling, schedule: Schedule, console: Console) -> dict[str, Any]:
    """Does what of the study is not done yet."""
    return run_and_show(study, schedule, console)
