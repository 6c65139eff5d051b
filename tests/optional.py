"""Tests of packages that need not be installed."""

from __future__ import annotations

from importlib.util import find_spec

import pytest


def needs(package: str) -> None:
    """Skips, visibly, the test or the file that calls it where `package` is absent. Does not import it."""
    if find_spec(package) is None:
        pytest.skip(f"NOT TESTED: no {package}", allow_module_level=True)
