"""The ablations by name."""

from __future__ import annotations

from vitascope.studies.ablation import head, optimiser, positions, self_supervision, shape
from vitascope.studies.ablation.variant import Kind

ABLATIONS: dict[str, Kind] = {
    "positions": positions.KIND,
    "head": head.KIND,
    "shape": shape.KIND,
    "optimiser": optimiser.KIND,
    "self-supervision": self_supervision.KIND,
}
"""A new one is a file with a `KIND`, and a row."""
