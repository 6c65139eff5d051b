"""Libraries that only some people need: what to install is said where one of them is missing or broken."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from vitascope.errors import ConfigError
from vitascope.wording import reason


def needed(what: str, extra: str, *names: str) -> Any:
    """Imports the modules `names` → the first; `ConfigError` naming this package's extra where one cannot be.

    `what` begins the message: "serving needs FastAPI and uvicorn".
    """
    try:
        first, *_ = [import_module(name) for name in names]
    except Exception as error:  # absent, or broken by what it imports in turn
        raise ConfigError(f"{what} ({reason(error)}); run: pip install 'vitascope[{extra}]'") from error
    return first
