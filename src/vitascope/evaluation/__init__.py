"""Judging a model: metrics as sums, evaluation that counts each image once, few-shot accuracy of frozen features."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vitascope.evaluation.fewshot import fewshot_predict
    from vitascope.evaluation.neighbours import neighbour_predict
    from vitascope.evaluation.probe import probe_predict

__all__ = ["fewshot_predict", "neighbour_predict", "probe_predict"]

# Looked up on first use. No file is called like a function: Python would put the file in its place.
_HOMES = {"fewshot_predict": "fewshot", "neighbour_predict": "neighbours", "probe_predict": "probe"}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"vitascope.evaluation.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'vitascope.evaluation' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
