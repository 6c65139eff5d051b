"""The page in a real browser: what it says, what its address holds, and what it must never do."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import vitascope as vs
from browsing import FILE, IMAGE, LABELS, OTHER, Tab, browser, expected, model
from serving import Served, png, served
from tiny_checkpoint import look


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as running:
        yield running


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    with served(model()) as running:
        yield running


@pytest.fixture
def tab(chromium: Any, server: Served) -> Iterator[Callable[..., Tab]]:
    """Opens tabs of one browser; at the end none may have made an error or asked another host."""
    context = chromium.new_context()
    tabs: list[Tab] = []

    def open_tab(hash: str = "") -> Tab:
        tabs.append(Tab(context))
        return tabs[-1].open(f"{server.address}/{hash}")

    yield open_tab
    for each in tabs:
        assert each.errors == []
        assert each.hosts() <= {server.address.removeprefix("http://"), ""}
    context.close()


def upload(tab: Tab, content: bytes, name: str = "own.png") -> None:
    from playwright.sync_api import expect

    tab["file"].set_input_files({"name": name, "mimeType": "image/png", "buffer": content})
    expect(tab["own-name"]).to_have_text(name)
    tab.settle()


def seen(tab: Tab, head: int) -> str:
    return str(tab[f"head-{head}"].get_attribute("aria-label"))


def click_patch(tab: Tab, row: int, column: int) -> None:
    box = tab["grid"].bounding_box()
    x, y = ((column - 0.5) * box["width"] / 4, (row - 0.5) * box["height"] / 4)
    tab["grid"].click(position={"x": x, "y": y})


def test_an_own_image_is_shown_with_the_models_numbers(tab: Callable[..., Tab]) -> None:
    from playwright.sync_api import expect

    page, found = tab(), look(model(), IMAGE)
    upload(page, IMAGE)
    best = found.predictions[0]
    expect(page["predictions"].locator("li").first).to_contain_text(best[0].replace("\u2028", "").strip()[:8])
    click_patch(page, 2, 3)
    expect(page["selected"]).to_have_text("Asking the patch in row 2, column 3 of 4 × 4")
    for layer in (2, 1):
        expect(page["layer-label"]).to_have_text(f"Layer {layer} of 2")
        for head in (1, 2):
            expect(page[f"head-{head}"]).to_have_attribute("aria-label", expected(found, layer, head, 2, 3))
        page["layer-previous"].click() if layer == 2 else None
    page["head-2"].click()
    expect(page["head-2"]).to_have_attribute("aria-pressed", "true")
    expect(page["map-says"]).to_have_text("Where head 2 in layer 1 looks from row 2, column 3.")
    expect(page["distance-says"]).to_contain_text(f"{found.distance[0][1]:.2f} pixels")


def test_names_of_files_and_classes_are_text(tab: Callable[..., Tab]) -> None:
    page = tab()
    upload(page, IMAGE, FILE)
    assert page["own-name"].text_content() == FILE
    labels = page["predictions"].locator(".bar-label").all_text_contents()
    assert sorted(labels) == sorted(LABELS)
    assert page.page.locator("main script, img[src=x]").count() == 0


def test_a_link_brings_back_the_view_in_another_tab(tab: Callable[..., Tab]) -> None:
    from playwright.sync_api import expect

    first = tab()
    upload(first, IMAGE)
    click_patch(first, 4, 1)
    first["layer-previous"].click()
    first["head-2"].click()
    first["map-rollout"].check()
    first["opacity"].fill("35")
    first["overview-kind-share"].check()
    first.address_holds("look=", "layer=1", "head=2", "patch=4,1", "map=rollout", "opacity=35", "overview=share")
    second = tab(first.page.evaluate("location.hash"))
    expect(second["selected"]).to_contain_text("row 4, column 1")
    expect(second["layer-label"]).to_have_text("Layer 1 of 2")
    expect(second["head-2"]).to_have_attribute("aria-pressed", "true")
    expect(second["map-rollout"]).to_be_checked()
    expect(second["overview-kind-share"]).to_be_checked()
    expect(second["opacity"]).to_have_value("35")
    assert seen(second, 2) == seen(first, 2) == expected(look(model(), IMAGE), 1, 2, 4, 1)


def test_going_back_shows_the_image_before(tab: Callable[..., Tab]) -> None:
    from playwright.sync_api import expect

    page = tab()
    expect(page["example-flower"]).to_have_attribute("aria-pressed", "true")
    page["example-china"].click()
    expect(page["example-china"]).to_have_attribute("aria-pressed", "true")
    page.address_holds("example=china")
    page.page.go_back()
    expect(page["example-flower"]).to_have_attribute("aria-pressed", "true")


def test_an_image_that_comes_late_does_not_replace_what_is_wanted_by_then(tab: Callable[..., Tab]) -> None:
    from playwright.sync_api import expect

    page, held = tab(), list[Any]()
    page["example-china"].click()
    expect(page["example-china"]).to_have_attribute("aria-pressed", "true")
    page.page.route("**/api/examples/flower", lambda route: held.append(route))  # playwright wants a function
    page.page.go_back()
    page.page.wait_for_selector('#page[aria-busy="true"]')
    page.page.go_forward()
    page.settle()
    for route in held:
        route.continue_()
    page.page.wait_for_timeout(400)
    expect(page["example-china"]).to_have_attribute("aria-pressed", "true")
    page.address_holds("example=china")


@pytest.mark.parametrize("nonsense", ["#layer=99&head=77&patch=500,0&opacity=x&map=none", "#example=%3Cb%3E&layer=-1"])
def test_an_address_out_of_range_is_held_within_it(tab: Callable[..., Tab], nonsense: str) -> None:
    page = tab(nonsense)
    assert page["layer-label"].text_content() == "Layer 2 of 2"
    assert seen(page, 2).startswith("Head 2, layer 2")


def test_keys_move_patch_layer_and_head(tab: Callable[..., Tab]) -> None:
    from playwright.sync_api import expect

    page = tab("#patch=1,1")
    page["grid"].focus()
    for key in ("ArrowRight", "ArrowDown", "ArrowDown", "ArrowUp", "ArrowLeft", "ArrowLeft", "["):
        page.page.keyboard.press(key)
    expect(page["selected"]).to_have_text("Asking the patch in row 2, column 1 of 4 × 4")
    expect(page["layer-label"]).to_have_text("Layer 1 of 2")
    page["overview"].focus()
    for key in ("ArrowRight", "ArrowDown"):
        page.page.keyboard.press(key)
    expect(page["overview-says"]).to_contain_text("Layer 2, head 2:")
    for key in (",", "c", "m"):
        page.page.keyboard.press(key)
    expect(page["selected"]).to_have_text("Asking the class token")
    expect(page["map-says"]).to_have_text("Where the class token looks through head 1 in layer 2.")


def test_the_patch_under_the_pointer_is_asked_but_not_kept(tab: Callable[..., Tab]) -> None:
    from playwright.sync_api import expect

    page = tab("#patch=1,1")
    box = page["grid"].bounding_box()
    page.page.mouse.move(box["x"] + box["width"] * 0.9, box["y"] + box["height"] * 0.4)
    expect(page["selected"]).to_contain_text("row 2, column 4")
    expect(page["similarity-says"]).to_have_text("The position of row 2, column 4.")
    page.page.mouse.move(2, 2)
    expect(page["selected"]).to_contain_text("row 1, column 1")
    page.address_holds("patch=1,1")


def test_two_tabs_keep_to_their_own_images(tab: Callable[..., Tab]) -> None:
    from playwright.sync_api import expect

    pages = {content: tab("#patch=1,1") for content in (IMAGE, OTHER)}
    for content, page in pages.items():
        upload(page, content)
    for layer, step in ((1, "layer-previous"), (2, "layer-next")):
        for content, page in pages.items():
            page[step].click()
            label = expected(look(model(), content), layer, 1, 1, 1)
            expect(page["head-1"]).to_have_attribute("aria-label", label)
    assert seen(pages[IMAGE], 1) != seen(pages[OTHER], 1) or seen(pages[IMAGE], 2) != seen(pages[OTHER], 2)


def test_one_layer_is_read_at_a_time(tab: Callable[..., Tab]) -> None:
    from playwright.sync_api import expect

    page = tab()
    assert [r[-8:] for r in page.requests if "/layers/" in r] == ["layers/1"]
    page["lens-1"].click()
    expect(page["head-1"]).to_have_attribute("aria-label", re.compile("layer 1"))
    assert [r[-8:] for r in page.requests if "/layers/" in r] == ["layers/1", "layers/0"]


def test_an_image_the_server_forgot_is_sent_again_or_asked_for(tab: Callable[..., Tab], server: Served) -> None:
    from playwright.sync_api import expect

    page = tab()
    upload(page, IMAGE)
    page.address_holds("look=")
    link = page.page.evaluate("location.hash")
    server.service.looks._held.clear()
    page["layer-previous"].click()
    expect(page["head-1"]).to_have_attribute("aria-label", expected(look(model(), IMAGE), 1, 1, 2, 2))
    expect(page["notice"]).to_be_hidden()
    server.service.looks._held.clear()
    other = tab()
    other.page.evaluate("hash => { location.hash = hash }", link)
    expect(other["notice-says"]).to_have_text(
        "The server no longer holds the image of this link. Choose the image again."
    )
    for each in (page, other):  # a browser writes every answer with status 404 to its console itself
        assert all("404" in error for error in each.errors)
        each.errors.clear()


def test_what_is_no_image_is_refused_in_words(tab: Callable[..., Tab]) -> None:
    from playwright.sync_api import expect

    page = tab()
    page["file"].set_input_files({"name": "<b>notes.txt", "mimeType": "text/plain", "buffer": b"text"})
    expect(page["notice-says"]).to_have_text("“<b>notes.txt” is not an image.")
    page["file"].set_input_files({"name": "torn.png", "mimeType": "image/png", "buffer": IMAGE[:60]})
    expect(page["notice-says"]).to_contain_text("image")
    expect(page["example-flower"]).to_have_attribute("aria-pressed", "true")
    upload(page, OTHER)
    expect(page["notice"]).to_be_hidden()
    assert all("422" in error for error in page.errors)
    page.errors.clear()


def test_colours_are_matplotlibs(tab: Callable[..., Tab]) -> None:
    import matplotlib

    tables = tab().page.evaluate(
        "async () => Object.fromEntries(Object.entries((await import('/static/colormap.js')).TABLES)"
        ".map(([name, table]) => [name, [...table]]))"
    )
    for name, original in (("heat", "magma"), ("even", "viridis")):
        theirs = matplotlib.colormaps[original](np.arange(256))[:, :3] * 255
        assert np.abs(np.reshape(tables[name], (256, 3)) - theirs).max() <= 3.5


def test_a_phone_in_the_dark_needs_no_sideways_scrolling(chromium: Any, server: Served) -> None:
    context = chromium.new_context(viewport={"width": 390, "height": 844}, color_scheme="dark")
    page = Tab(context).open(server.address)
    assert page.page.evaluate("document.documentElement.scrollWidth") <= 390
    light = page.page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
    assert max(light) < 64
    assert page.errors == []
    context.close()


def test_a_trained_model_shows_what_the_paper_saw(chromium: Any) -> None:
    from playwright.sync_api import expect

    start, image = vs.load("start"), png(3, (32, 32))
    found = look(start, image)
    with served(start) as server:
        page = Tab(chromium.new_context()).open(server.address)
        upload(page, image)
        told = dict(zip(*(page["locality"].locator(tag).all_text_contents() for tag in ("dt", "dd")), strict=True))
        alike = {name: float(value.replace("\u2212", "-").rstrip("\u202f\u00a0 %")) for name, value in told.items()}
        # Positions have learned that the image has two dimensions (Figure 7 centre), as docs/gallery.md tells.
        assert alike["Most alike is a neighbour"] > 70
        assert min(alike["Mean similarity in one row"], alike["… in one column"]) > alike["… elsewhere"] + 0.2
        expect(page["layer-label"]).to_have_text("Layer 6 of 6")
        expect(page["head-1"]).to_have_attribute("aria-label", re.compile("^Head 1, layer 6: most, "))
        expect(page["distance-says"]).to_contain_text(f"{found.distance[5][0]:.1f} pixels")
        assert page.errors == []
