"""What the page opens with: the run's own photographs, else the package's, and digits only where they may be known."""

from __future__ import annotations

import numpy as np
import pytest

from browsing import CLASS, Tab, browser, model
from serving import png, served
from tiny_checkpoint import checkpoint
from vitascope.checkpoints.kept_examples import KeptExample, small_file
from vitascope.web.engine import Engine
from vitascope.web.examples import examples

PICTURE = small_file(np.full((40, 30, 3), 200, dtype=np.uint8), 100)
KEPT = [KeptExample(label=label, split="test", content=PICTURE) for label in ("rose", "tulip")]


@pytest.mark.parametrize(
    ("side", "labels", "digits"),
    [
        (16, ("0", "1", "2"), True),
        (16, (), True),  # a start without a head knows nothing else either
        (16, ("rose", "tulip"), False),
        (16, ("0", "1", "12"), False),
        (48, ("0", "1", "2"), False),
    ],
)
def test_digits_are_for_models_that_may_know_them(side: int, labels: tuple[str, ...], digits: bool) -> None:
    found = [example.id for example in examples((side, side), labels)]
    assert found[-2:] == ["flower", "china"]
    assert any(id.startswith("digit") for id in found) == digits


def test_a_runs_own_stand_alone() -> None:
    assert [(e.id, e.name) for e in examples((16, 16), ("0",), KEPT)] == [("kept-0", "rose"), ("kept-1", "tulip")]


def test_the_page_has_them_with_their_true_labels() -> None:
    with served(load=lambda: Engine(checkpoint(), max_pixels=10**6, kept=KEPT)) as server:
        model = server.client.get("/api/model").json()
        assert [(e["id"], e["name"]) for e in model["examples"]] == [("kept-0", "rose"), ("kept-1", "tulip")]
        assert all(e["thumbnail"].startswith("data:image/png;base64,") for e in model["examples"])
        assert model["examples_note"] == "Held out, with their true labels:"
        look = server.client.get("/api/examples/kept-1").json()
        assert (look["name"], look["size"]) == ("tulip", [16, 16])


def test_what_was_taught_is_not_called_held_out() -> None:
    kept = [KeptExample(label="rose", split="left out", content=PICTURE)]
    assert Engine(checkpoint(), max_pixels=10**6, kept=kept).examples_note == "Taught, with their labels:"
    assert Engine(checkpoint(), max_pixels=10**6).examples_note == ""


def test_a_runs_own_photographs_stand_in_one_row_that_scrolls_on_a_phone() -> None:
    from playwright.sync_api import expect

    kept = [KeptExample(label=CLASS, split="test", content=png(n)) for n in range(8)]
    with served(load=lambda: Engine(model(), max_pixels=10**6, kept=kept)) as server, browser() as chromium:
        context = chromium.new_context(viewport={"width": 390, "height": 844})
        page = Tab(context).open(server.address)
        expect(page["examples-note"]).to_have_text("Held out, with their true labels:")
        expect(page["example-kept-0"]).to_have_attribute("aria-pressed", "true")
        expect(page["example-kept-7"]).to_have_text(CLASS)
        first, last = (page[f"example-kept-{n}"].bounding_box() for n in (0, 7))
        assert first["y"] == last["y"]
        page["example-kept-7"].click()
        page.settle()
        assert page["example-kept-7"].bounding_box()["x"] < 390
        assert page.page.evaluate("document.documentElement.scrollWidth") <= 390
        assert page.errors == []
        context.close()
