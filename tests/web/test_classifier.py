"""A classifier as a page, in a real browser: `Predictor`'s answers, from a file and from a server, and no request."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

import vitascope as vs
from browsing import LABELS, browser, model
from classifying import PHOTOGRAPHS, Page, page_runtime
from optional import needs
from serving import png
from tiny_checkpoint import checkpoint
from vitascope.checkpoints.checkpoint import Checkpoint
from vitascope.checkpoints.kept_examples import KeptExample
from vitascope.cli import main
from vitascope.errors import ConfigError
from vitascope.evaluation.sets import PredictionSets
from vitascope.inference.files import FilePrediction
from vitascope.inference.partial import as_rows
from vitascope.inference.predictor import Predictor
from vitascope.views.attention_rollout import rollout
from vitascope.web.classifier import write_classifier
from vitascope.web.runtime import BrowserRuntime

needs("onnxruntime")
NEAR, NEAR_FLOAT16, NEAR_JPEG = 1e-3, 2e-3, 2e-2
"""Probabilities: of pixels that browsers decode alike, with weights in float16, and of JPEG files, which each decoder
makes its own pixels of."""
SETS = PredictionSets(coverage=0.9, least=(0.35, 0.4, 0.45), images=40)


@pytest.fixture(scope="module")
def runtime() -> BrowserRuntime:
    return page_runtime()


@pytest.fixture(scope="module")
def knowing() -> Checkpoint:
    """One that may say "none of these"."""
    return checkpoint(model().config, labels=LABELS, sets=SETS)


@pytest.fixture(scope="module")
def folder(runtime: BrowserRuntime, knowing: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("page") / "a page"
    examples = [KeptExample(label="café", split="test", content=png(1))]
    write_classifier(knowing, out, runtime, title="<b>Which?</b>", examples=examples)
    return out


@pytest.fixture(scope="module")
def one_file(runtime: BrowserRuntime, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """By the command; of a model with several labels, in float16, with its own package of the runtime."""
    place = tmp_path_factory.mktemp("one")
    package = place / "node_modules" / "onnxruntime-web" / "dist"
    package.mkdir(parents=True)
    (package / "ort.wasm.bundle.min.mjs").write_bytes(runtime.script)
    (package / "ort-wasm-simd-threaded.wasm").write_bytes(runtime.wasm)
    vs.save(checkpoint(model().config, labels=("a", "b", "c"), activation="sigmoid"), place / "ck")
    words = ["export", str(place / "ck"), str(place / "page.html"), "--format=web", "--one-file", "--precision=float16"]
    assert main([*words, "--runtime", str(place)]) == 0
    assert main([*words, "--runtime", str(place)]) == 2  # it is there
    return place / "page.html"


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    """Of the folder on a static server."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream") as running:
        yield running


@pytest.fixture(scope="module")
def opened(chromium: Any, folder: Path) -> Iterator[Page]:
    page = Page(chromium, (folder / "index.html").as_uri())
    yield page
    page.page.context.close()


@pytest.fixture
def page(opened: Page) -> Iterator[Page]:
    """The folder's page, from a file; at the end it must not have made an error or asked for anything else."""
    yield opened
    opened.blameless()
    if opened["clear"].is_visible():
        opened["clear"].click()


def agrees(rows: list[list[str]], ck: Checkpoint, exact: float = NEAR) -> None:
    """The table is that of `vitascope predict --csv`, but for the last digits of probabilities."""
    predictor = Predictor(ck, "eager")
    answers = predictor.answers(predictor.probabilities(list(PHOTOGRAPHS.values())))
    expected = list(as_rows([FilePrediction(*pair) for pair in zip(PHOTOGRAPHS, answers, strict=True)]))
    assert rows[0] == expected[0]
    for mine, theirs in zip(rows[1:], expected[1:], strict=True):
        near = NEAR_JPEG if theirs[0].endswith("jpg") else exact
        for name, one, other in zip(rows[0], mine, theirs, strict=True):
            if name.startswith("probability"):
                assert abs(float(one) - float(other)) <= near, (mine, theirs)
            else:
                assert one == other, (mine, theirs)


def test_the_page_begins_with_an_example_and_speaks_of_it(page: Page, knowing: Checkpoint) -> None:
    from playwright.sync_api import expect

    expect(page["example"]).to_have_text("café")
    expect(page["examples-note"]).to_have_text("Held out, with their true labels:")
    expect(page.page.locator("h1")).to_have_text("<b>Which?</b>")
    predictor = Predictor(knowing, "eager")
    members = predictor.answers(predictor.probabilities(png(1)))[0].members
    assert members is not None
    said = " or ".join(members) if members else "None of these"
    expect(page["spoken"]).to_have_text(re.sub("\u2028", " ", said))
    expect(page["about"]).not_to_contain_text("nothing else")  # "none of these" is possible


def test_the_folder_says_what_the_model_says(page: Page, knowing: Checkpoint) -> None:
    page.give(PHOTOGRAPHS)
    agrees(page.table(), knowing)


def test_it_says_the_same_from_a_server(chromium: Any, address: str, knowing: Checkpoint) -> None:
    page = Page(chromium, address)
    page.give(PHOTOGRAPHS)
    agrees(page.table(), knowing)
    page.blameless()
    page.page.context.close()


def test_one_file_says_what_the_model_says(chromium: Any, one_file: Path) -> None:
    page = Page(chromium, one_file.as_uri(), offline=True)
    page.give(PHOTOGRAPHS)
    agrees(page.table(), vs.load(one_file.parent / "ck"), exact=NEAR_FLOAT16)
    assert {urlsplit(address).scheme for address in page.requests} <= {"file", "data", "blob"}
    page.blameless()
    page.page.context.close()


def test_where_it_looked_is_the_rollout(page: Page, knowing: Checkpoint) -> None:
    from playwright.sync_api import expect

    page.give({"noise.png": PHOTOGRAPHS["noise.png"]})
    page["map-rollout"].check()
    shares = 100 * rollout(knowing.model, knowing.preprocess(PHOTOGRAPHS["noise.png"])[None]).numpy()
    assert shares.min() < 9.9 < 10 < shares.max()
    expect(page["legend"]).to_contain_text(f"{shares.min():.1f} %")
    expect(page["legend"]).to_contain_text(f"{shares.max():.0f} %")
    page["map-none"].check()
    expect(page["legend"]).to_be_hidden()


def test_what_cannot_be_read_costs_no_other_its_answer(page: Page) -> None:
    from playwright.sync_api import expect

    page.give({"torn.png": png()[:60], "good.png": png(7)})
    page.give({"later.png": png(8)})
    header, *table = page.table()
    rows = [dict(zip(header, row, strict=True)) for row in table]
    assert [(row["file"], bool(row["label"])) for row in rows] == [
        ("torn.png", False),
        ("good.png", True),
        ("later.png", True),
    ]
    assert [row["error"] for row in rows] == ["This browser cannot read it as an image.", "", ""]
    assert re.fullmatch(r"3 photographs: .*, 1 cannot be read\.", page["sum"].text_content())
    page["row"].first.click()
    expect(page["spoken"]).to_have_text("Cannot be read")
    expect(page["answer"]).to_contain_text("torn.png: This browser cannot read it as an image.")
    page["clear"].click()
    assert page["row"].count() == 0


def test_files_that_are_no_images_are_counted(page: Page) -> None:
    from playwright.sync_api import expect

    page.give({"notes.txt": b"?", "list.txt": b"?", "one.png": png(1)})
    expect(page["notice-says"]).to_have_text("2 files left out: they are no images.")
    expect(page["row"]).to_have_count(1)
    page.give({"notes.txt": b"?"})
    expect(page["notice-says"]).to_have_text("1 file left out: it is no image.")


def test_files_are_dropped_or_pasted(page: Page) -> None:
    from playwright.sync_api import expect

    transfer = page.page.evaluate_handle(
        """bytes => {
          const held = new DataTransfer();
          held.items.add(new File([new Uint8Array(bytes)], "given.png", { type: "image/png" }));
          return held;
        }""",
        list(png(3)),
    )
    for event in ("dragover", "drop"):
        page.page.dispatch_event("body", event, {"dataTransfer": transfer})
    expect(page["row"]).to_have_count(1)
    page.page.evaluate("held => document.dispatchEvent(new ClipboardEvent('paste', { clipboardData: held }))", transfer)
    expect(page["row"]).to_have_count(2)
    page.settle()
    assert len({tuple(row) for row in page.table()[1:]}) == 1


def test_the_camera_is_answered_and_a_picture_can_be_kept(page: Page) -> None:
    from playwright.sync_api import expect

    page["camera"].click()
    expect(page["camera-view"]).to_be_visible()
    expect(page["spoken"]).to_be_visible()
    page["keep"].click()
    expect(page["row"]).to_have_count(1)
    page["camera"].click()
    expect(page["camera-view"]).to_be_hidden()
    expect(page["empty"]).to_be_visible()
    page["row"].click()
    expect(page["seen"]).to_be_visible()


def test_a_photograph_that_the_browser_has_no_room_for_stops_no_other(page: Page) -> None:
    page.page.evaluate(
        """() => {
          const held = CanvasRenderingContext2D.prototype;
          const before = held.getImageData;
          held.getImageData = function () { held.getImageData = before; throw new RangeError("no room"); };
        }"""
    )
    page.give({"large.png": png(1), "small.png": png(2)})
    assert [row[-1] for row in page.table()[1:]] == ["no room", ""]
    assert page.page.locator("[aria-busy]").count() == 0


def test_a_camera_that_is_asked_for_twice_is_shown_once_and_stopped_whole(page: Page) -> None:
    from playwright.sync_api import expect

    page.page.evaluate(
        """() => {
          const devices = navigator.mediaDevices, before = devices.getUserMedia.bind(devices);
          window.streams = [];
          devices.getUserMedia = async (wanted) => { const one = await before(wanted); streams.push(one); return one; };
        }"""
    )
    page["camera"].dblclick()
    expect(page["camera-view"]).to_be_visible()
    page["camera"].click()
    expect(page["camera-view"]).to_be_hidden()
    states = page.page.evaluate("streams.flatMap(one => one.getTracks()).map(track => track.readyState)")
    assert set(states) == {"ended"}


def test_a_phone_in_the_dark_needs_no_sideways_scrolling(page: Page) -> None:
    page.page.set_viewport_size({"width": 390, "height": 844})
    page.page.emulate_media(color_scheme="dark")
    page.give({"noise.png": png(1), "a-very-long-name-without-any-place-to-break-it" * 3 + ".png": png(2)})
    page["map-rollout"].check()
    assert page.page.evaluate("document.documentElement.scrollWidth") <= 390
    light = page.page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
    assert max(light) < 64


def test_licences_lie_beside_the_page_and_in_it(folder: Path, one_file: Path) -> None:
    names = {path.name for path in (folder / "licences").iterdir()}
    assert names == {"onnxruntime-LICENSE.txt", "onnxruntime-ThirdPartyNotices.txt"}
    assert "Permission is hereby granted" in (folder / "licences/onnxruntime-LICENSE.txt").read_text()
    assert "Permission is hereby granted" in one_file.read_text("utf-8")


def test_only_an_earlier_page_is_replaced(folder: Path, one_file: Path, tmp_path: Path) -> None:
    from vitascope.checkpoints.output import check_output

    mine = tmp_path / "mine.html"
    mine.write_text("<html>")
    for path in (folder, one_file):
        check_output(path, "page", overwrite=True)
    for path in (mine, one_file.parent):
        with pytest.raises(ConfigError, match="not a page"):
            check_output(path, "page", overwrite=True)
