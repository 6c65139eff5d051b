"""`vitascope data`."""

from __future__ import annotations

from typing import Any

from vitascope.cli.console import Console


def run(console: Console) -> dict[str, Any]:
    """Shows the catalogue of data."""
    from vitascope.data.open import CATALOGUE

    # Two columns, so that a narrow terminal need not break what is to be typed.
    needs = {entry.name: f"; needs {entry.needs}" if entry.needs else "" for entry in CATALOGUE}
    rows = [[entry.typed, f"{entry.holds}; splits: {entry.splits}{needs[entry.name]}"] for entry in CATALOGUE]
    console.table("data", ["type, for example", "what it is"], rows)
    names = ("name", "typed", "holds", "splits", "needs")
    return {"data": [{name: getattr(entry, name) for name in names} for entry in CATALOGUE]}
