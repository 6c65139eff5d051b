"""ONNX Runtime for browsers in tests: what the user's cache holds, or what npm brings into it once."""

from __future__ import annotations

import pytest

from browsing import skip_loudly
from vitascope.cache import cache_folder
from vitascope.errors import ConfigError
from vitascope.web.runtime import BrowserRuntime, browser_runtime

_USERS_CACHE = cache_folder()  # of the user, before conftest.py puts another in its place


def page_runtime() -> BrowserRuntime:
    """Skips, visibly, where it cannot be had."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VITASCOPE_CACHE", str(_USERS_CACHE))
        try:
            return browser_runtime()
        except ConfigError as error:
            skip_loudly(str(error))
