"""A real browser for tests of the page: the Chromium of this machine, driven by playwright, headless.

Every tab writes down what a page must not do: errors in the console and requests to other hosts.
"""

from __future__ import annotations

import re
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

import pytest

from serving import Served, png
from tiny_checkpoint import checkpoint
from vitascope.checkpoints.checkpoint import Checkpoint
from vitascope.models.config import ViTConfig
from vitascope.views.look import Look

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
PATIENCE = 20_000
"""Milliseconds until something that must happen has not happened."""


@contextmanager
def browser(*options: str) -> Iterator[Any]:
    """A browser until the context ends, or a skip that says loudly what is absent."""
    program = next(filter(None, map(shutil.which, _NAMES)), None)
    try:
        from playwright.sync_api import expect, sync_playwright
    except ImportError as error:
        skip_loudly(f"cannot import playwright ({error}); pip install playwright")
    if program is None:
        skip_loudly("no Chromium on the PATH; apt install chromium")
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", *options])
        yield running
        running.close()


def skip_loudly(reason: str) -> NoReturn:
    with warnings.catch_warnings():  # where warnings are errors, this one must still only be shown
        warnings.simplefilter("always")
        warnings.warn(f"NO TEST OF THE PAGE: {reason}", stacklevel=4)
    pytest.skip(reason)


CONFIG = ViTConfig(image_size=(16, 16), patch=4, width=16, depth=2, heads=2, hidden=24, classes=3)
CLASS = "<script>alert('class')</script>"
FILE = "<img src=x onerror=alert('file')>.png"
LABELS = (CLASS, "cat & dog", "</script>\u2028")
IMAGE, OTHER = png(1), png(2)


def model(config: ViTConfig = CONFIG) -> Checkpoint:
    return checkpoint(config, labels=LABELS)


def expected(found: Look, layer: int, head: int, row: int, column: int) -> str:
    """What the tile of a head says, computed here; all counted from 1."""
    weights = found.attention(layer - 1)[head - 1]
    token = found.config.prefix + (row - 1) * found.grid[1] + column - 1
    patches = weights[token, found.config.prefix :]
    at = int(patches.argmax())
    share = f"{100 * patches[at]:.0f}" if patches[at] >= 0.0995 else f"{100 * patches[at]:.1f}"
    where = f"row {at // found.grid[1] + 1}, column {at % found.grid[1] + 1}"
    return f"Head {head}, layer {layer}: most, {share} %, to {where}"


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

    def address_holds(self, *parts: str) -> None:
        """Waits until the address has all of these; `wait_for_function` would evaluate, which the page forbids."""
        self.page.wait_for_url(lambda address: all(part in urlsplit(address).fragment for part in parts))

    def hosts(self) -> set[str]:
        """Where the page asked, "" for files and data: addresses."""
        return {urlsplit(address).netloc for address in self.requests}

    def _console(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.errors.append(message.text)

    def _dialog(self, dialog: Any) -> None:
        self.errors.append(f"dialog: {dialog.message}")
        dialog.dismiss()


class Desk(Tab):
    """A tab that teaches."""

    def __init__(self, context: Any, server: Served) -> None:
        super().__init__(context)
        self.page.goto(f"{server.address}/teach")
        self.settle()

    def settle(self) -> None:
        self.page.wait_for_selector('#page:not([aria-busy="true"]) .teach:not(.hidden)')

    def box(self, name: str) -> Any:
        return self.page.locator(f'.box[data-name="{name}"]')

    def add(self, name: str, files: list[Path]) -> None:
        self.box(name).locator("input[type=file]").set_input_files(files)
        self.settle()

    def call(self, old: str, new: str) -> None:
        field = self.box(old).locator(".box-name")
        field.fill(new)
        field.press("Enter")
        self.settle()

    def drop(self, selector: str, files: list[Path]) -> None:
        """As a person's mouse does; files by their content."""
        held = [[file.name, list(file.read_bytes())] for file in files]
        transfer = self.page.evaluate_handle(
            """files => {
              const held = new DataTransfer();
              for (const [name, bytes] of files)
                held.items.add(new File([new Uint8Array(bytes)], name, { type: "image/png" }));
              return held;
            }""",
            held,
        )
        # Watched from before: quick work is over before anybody could look.
        begun = self.page.evaluate_handle(
            """() => {
              const page = document.getElementById("page");
              const heard = { attributes: true, attributeFilter: ["aria-busy"] };
              return { heard: new Promise((done) => new MutationObserver(done).observe(page, heard)) };
            }"""
        )
        for event in ("dragover", "drop"):
            self.page.dispatch_event(selector, event, {"dataTransfer": transfer})
        begun.evaluate("({ heard }) => heard.then(() => true)")
        self.settle()

    def says(self, testid: str, words: str | re.Pattern[str]) -> None:
        from playwright.sync_api import expect

        expect(self[testid]).to_have_text(words)

    def attempt(self, name: str, content: bytes) -> str:
        from playwright.sync_api import expect

        self["try-file"].set_input_files({"name": name, "mimeType": "image/png", "buffer": content})
        expect(self["tried"]).to_be_visible()
        expect(self["spoken"]).to_be_visible()
        return str(self["spoken"].text_content())

    def save(self) -> bytes:
        with self.page.expect_download() as waiting:
            self["save"].click()
        return Path(waiting.value.path()).read_bytes()
