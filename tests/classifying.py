"""A classifier as a page, in tests: photographs of many kinds, the page in a browser, and what computes in it."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image, ImageCms

from browsing import FILE, PATIENCE, Tab, skip_loudly
from serving import png
from vitascope.cache import cache_folder
from vitascope.data.sample_photographs import sample_photograph
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


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def turned() -> bytes:
    """A photograph that lies on its side, as EXIF says."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return saved(Image.open(io.BytesIO(sample_photograph("flower"))), "JPEG", exif=exif, quality=95)


def see_through() -> bytes:
    colours = np.random.default_rng(5).integers(0, 256, (40, 30, 4), np.uint8)
    return saved(Image.fromarray(colours), "PNG")


def other_colours() -> bytes:
    """A photograph with a colour profile whose red is another's green."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    places = {bytes(profile[at : at + 4]): at for at in range(132, 132 + 12 * profile[131], 12)}
    red, green = (slice(places[name] + 4, places[name] + 12) for name in (b"rXYZ", b"gXYZ"))
    profile[red], profile[green] = profile[green], profile[red]
    return saved(Image.open(io.BytesIO(png(8))), "PNG", icc_profile=bytes(profile))


PHOTOGRAPHS = {
    "noise.png": png(1),
    "larger.png": png(2, (70, 50)),
    "grey.png": saved(Image.open(io.BytesIO(png(3))).convert("L"), "PNG"),
    "see-through.png": see_through(),
    'an "odd", name.png': png(4),
    FILE: png(6, (17, 90)),
    "china.jpg": sample_photograph("china"),
    "turned.jpg": turned(),
    "profile.png": other_colours(),
}


class Page(Tab):
    """One that may ask for nothing but its own files."""

    def __init__(self, chromium: Any, address: str, **context: Any) -> None:
        super().__init__(chromium.new_context(accept_downloads=True, **context))
        self.address = address
        self.page.goto(address)
        self.page.wait_for_selector("#page[data-ready]", timeout=3 * PATIENCE)
        self.settle()

    def settle(self) -> None:
        self.page.wait_for_selector('#page:not([aria-busy="true"])')

    def give(self, photographs: dict[str, bytes]) -> None:
        kinds = {"jpg": "image/jpeg", "png": "image/png", "txt": "text/plain"}
        files = [{"name": n, "mimeType": kinds[n[-3:]], "buffer": content} for n, content in photographs.items()]
        self["files"].set_input_files(files)
        self.settle()

    def table(self) -> list[list[str]]:
        with self.page.expect_download() as waiting:
            self["csv"].click()
        text = Path(waiting.value.path()).read_bytes().decode("utf-8-sig")
        return list(csv.reader(io.StringIO(text, newline="")))

    def blameless(self) -> None:
        assert self.errors == []
        own = urlsplit(self.address)
        for asked in map(urlsplit, self.requests):
            assert asked.scheme in ("data", "blob") or (asked.scheme, asked.netloc) == (own.scheme, own.netloc), asked
