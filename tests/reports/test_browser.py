"""A run's page in a real browser: from a file, on a phone, in the dark, without a network."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from browsing import Tab, browser
from reports import picture, report
from vitascope.reports.reported import Suspect
from vitascope.reports.write import write_report_page

SCREENS = {"desk": (1280, 800), "phone": (390, 844)}
LONG = "a class whose name is as long as nobody would ever write it, and then longer still"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    suspects = [
        Suspect(file="photos/1.jpg", label="a", instead=LONG, wrong=0.9, picture=lambda: picture(1)) for _ in range(3)
    ]
    names = ("<script>document.title = 'taken'</script>", LONG, "x" * 90)
    results = {
        "forecast": [{"images": 80, "top1": 0.9, "interval": [0.8, 0.95]}],
        "gains": {LONG: 0.1},
        "copies": [
            {"files": [f"{'deep/' * 9}a.png", "b.png"], "kind": "near", "splits": ["train", "test"], "classes": [LONG]}
        ],
    }
    made = report(3, 40, names=names, suspects=suspects, results=results, made=[("command", "y" * 300)])
    return write_report_page(tmp_path_factory.mktemp("page") / "report.html", made)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as running:
        yield running


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("screen", SCREENS)
def test_it_opens_from_a_file_and_fits_the_screen(chromium: Any, page: Path, screen: str, scheme: str) -> None:
    width, height = SCREENS[screen]
    context = chromium.new_context(viewport={"width": width, "height": height}, color_scheme=scheme, offline=True)
    tab = Tab(context)
    tab.page.goto(page.as_uri())
    assert tab.errors == []
    assert tab.hosts() == {""}
    assert "taken" not in tab.page.title()
    assert tab.page.evaluate("document.documentElement.scrollWidth") <= width
    assert tab.page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
    ground = tab.page.evaluate("getComputedStyle(document.body).backgroundColor")
    red = int(ground.removeprefix("rgb(").split(",")[0])
    assert (red < 80) == (scheme == "dark")
    assert tab.page.inner_text("main").count("Its most confident mistakes") == 1
    context.close()
