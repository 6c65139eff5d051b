"""A real browser for tests of the page: the Chromium of this machine, driven by playwright, headless.

Every tab writes down what a page must not do: errors in the console and requests to other hosts.
"""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
PATIENCE = 20_000
"""Milliseconds until something that must happen has not happened."""


@contextmanager
def browser() -> Iterator[Any]:
    """A browser until the context ends, or a skip that says loudly what is absent."""
    program = next(filter(None, map(shutil.which, _NAMES)), None)
    try:
        from playwright.sync_api import expect, sync_playwright
    except ImportError as error:
        _skip(f"cannot import playwright ({error}); pip install playwright")
    if program is None:
        _skip("no Chromium on the PATH; apt install chromium")
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield running
        running.close()


def _skip(reason: str) -> None:
    with warnings.catch_warnings():  # where warnings are errors, this one must still only be shown
        warnings.simplefilter("always")
        warnings.warn(f"NO TEST OF THE PAGE: {reason}", stacklevel=4)
    pytest.skip(reason)


class Tab:
    """A page of its own, with what it did wrong in `errors` and all the addresses it asked for in `requests`."""

    def __init__(self, context: Any) -> None:
        self.page = context.new_page()
        self.page.set_default_timeout(PATIENCE)
        self.errors: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("dialog", self._dialog)
        self.page.on("request", lambda request: self.requests.append(request.url))

    def __getitem__(self, testid: str) -> Any:
        """The element with this data-testid."""
        return self.page.get_by_test_id(testid)

    def open(self, address: str) -> Tab:
        """Goes there and waits until the page has drawn the heads of an image."""
        self.page.goto(address)
        self.settle()
        return self

    def settle(self) -> None:
        """Waits until everything that was asked for is drawn."""
        self.page.wait_for_selector('#page:not([aria-busy="true"]) [data-testid="heads"][aria-busy="false"]')

    def hosts(self) -> set[str]:
        """Where the page asked, "" for files and data: addresses."""
        return {urlsplit(address).netloc for address in self.requests}

    def _console(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.errors.append(message.text)

    def _dialog(self, dialog: Any) -> None:
        self.errors.append(f"dialog: {dialog.message}")
        dialog.dismiss()
