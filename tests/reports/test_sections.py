"""What the sections of a run's page say beyond the figures."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from vitascope.reports.reported import use_commands
from vitascope.reports.sections import forecast


@pytest.mark.parametrize(
    ("by", "said"), [("", "<p>With 48 images"), ("the taught head", "<p>By the taught head: with")]
)
def test_a_forecast_of_another_model_says_whose_it_is(by: str, said: str) -> None:
    told = {"images": 48, "top1": 0.9, "interval": [0.8, 0.95]}
    report: Any = SimpleNamespace(foretold_by=by, results={"forecast": [told], "gains": {}})
    assert said in forecast(report)[1]


def test_an_export_is_served_and_has_no_inside() -> None:
    told = [command for _, command in use_commands("runs/inspect", exported=True)]
    assert "vitascope serve runs/inspect" in told
    assert not any(command.startswith("vitascope inspect") for command in told)
