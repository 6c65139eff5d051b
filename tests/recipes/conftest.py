"""Runs without the picture of their curves, which takes longer than their training."""

from __future__ import annotations

import pytest


@pytest.fixture
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vitascope.recipes.run.draw_curves", lambda folder: None)
