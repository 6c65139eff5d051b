"""A classifier as a page, in a real browser: `Predictor`'s answers, from a file and from a server, and no request."""

from __future__ import annotations

import csv
import io
import re
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

import vitascope as vs
from browsing import FILE, LABELS, Tab, browser, model
from optional import needs
from page_runtime import page_runtime
from serving import png
from tiny_checkpoint import TINY, checkpoint
from vitascope.checkpoints.checkpoint import Checkpoint
from vitascope.checkpoints.kept_examples import KeptExample
from vitascope.cli import main
from vitascope.data.sample_photographs import sample_photograph
from vitascope.errors import CheckpointError, ConfigError
from vitascope.evaluation.sets import PredictionSets
from vitascope.inference.files import FilePrediction
from vitascope.inference.partial import as_rows
from vitascope.inference.predictor import Predictor
from vitascope.views.attention_rollout import rollout
from vitascope.web import classifier
from vitascope.web.classifier import write_classifier
from vitascope.web.runtime import BrowserRuntime

needs("onnxruntime")
NEAR, NEAR_JPEG = 1e-3, 2e-2
"""Probabilities: of pixels that browsers decode alike, and of JPEG files, of which each decoder makes its own."""
SETS = PredictionSets(coverage=0.9, least=(0.35, 0.4, 0.45), images=40)


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


PHOTOGRAPHS = {
    "noise.png": png(1),
    "larger.png": png(2, (70, 50)),
    "grey.png": saved(Image.open(io.BytesIO(png(3))).convert("L"), "PNG"),
    "see-through.png": see_through(),
    'an "odd", name.png': png(4),
    FILE: png(6, (17, 90)),
    "china.jpg": sample_photograph("china"),
    "turned.jpg": turned(),
}


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
    """By the command; of a model with several labels, and its own package of the runtime."""
    place = tmp_path_factory.mktemp("one")
    package = place / "node_modules" / "onnxruntime-web" / "dist"
    package.mkdir(parents=True)
    (package / "ort.wasm.bundle.min.mjs").write_bytes(runtime.script)
    (package / "ort-wasm-simd-threaded.wasm").write_bytes(runtime.wasm)
    vs.save(checkpoint(model().config, labels=("a", "b", "c"), activation="sigmoid"), place / "ck")
    words = ["export", str(place / "ck"), str(place / "page.html"), "--format", "web", "--one-file"]
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


class Page(Tab):
    """One that asks nothing but its own files."""

    def __init__(self, chromium: Any, address: str, **context: Any) -> None:
        super().__init__(chromium.new_context(accept_downloads=True, **context))
        self.address = address
        self.page.goto(address)
        self.page.wait_for_selector('#page[data-ready]:not([aria-busy="true"])')

    def give(self, photographs: dict[str, bytes]) -> None:
        files = [{"name": name, "mimeType": "", "buffer": content} for name, content in photographs.items()]
        for file in files:
            file["mimeType"] = "image/jpeg" if str(file["name"]).endswith("jpg") else "image/png"
        self["files"].set_input_files(files)
        self.page.wait_for_selector('#page:not([aria-busy="true"])')

    def table(self) -> list[list[str]]:
        with self.page.expect_download() as waiting:
            self["csv"].click()
        text = Path(waiting.value.path()).read_bytes().decode("utf-8-sig")
        return list(csv.reader(io.StringIO(text, newline="")))

    def close(self) -> None:
        assert self.errors == []
        own = urlsplit(self.address)
        for asked in map(urlsplit, self.requests):
            assert asked.scheme in ("data", "blob") or (asked.scheme, asked.netloc) == (own.scheme, own.netloc), asked
        self.page.context.close()


def agrees(rows: list[list[str]], ck: Checkpoint) -> None:
    """The table is that of `vitascope predict --csv`, but for the last digits of probabilities."""
    predictor = Predictor(ck, "eager")
    answers = predictor.answers(predictor.probabilities(list(PHOTOGRAPHS.values())))
    expected = list(as_rows([FilePrediction(*pair) for pair in zip(PHOTOGRAPHS, answers, strict=True)]))
    assert rows[0] == expected[0]
    for mine, theirs in zip(rows[1:], expected[1:], strict=True):
        near = NEAR_JPEG if theirs[0].endswith("jpg") else NEAR
        for name, one, other in zip(rows[0], mine, theirs, strict=True):
            if name.startswith("probability"):
                assert abs(float(one) - float(other)) <= near, (mine, theirs)
            else:
                assert one == other, (mine, theirs)


@pytest.mark.parametrize("place", ["file", "server"])
def test_the_folder_says_what_the_model_says(
    place: str, chromium: Any, folder: Path, address: str, knowing: Checkpoint
) -> None:
    page = Page(chromium, (folder / "index.html").as_uri() if place == "file" else address)
    page.give(PHOTOGRAPHS)
    agrees(page.table(), knowing)
    page.close()


def test_one_file_says_what_the_model_says(chromium: Any, one_file: Path) -> None:
    page = Page(chromium, one_file.as_uri(), offline=True)
    page.give(PHOTOGRAPHS)
    agrees(page.table(), vs.load(one_file.parent / "ck"))
    assert {urlsplit(address).scheme for address in page.requests} <= {"file", "data", "blob"}
    page.close()


def test_where_it_looked_is_the_rollout(chromium: Any, folder: Path, knowing: Checkpoint) -> None:
    from playwright.sync_api import expect

    page = Page(chromium, (folder / "index.html").as_uri())
    page.give({"noise.png": PHOTOGRAPHS["noise.png"]})
    page["map-rollout"].check()
    shares = 100 * rollout(knowing.model, knowing.preprocess(PHOTOGRAPHS["noise.png"])[None]).numpy()
    assert shares.min() < 9.9 < 10 < shares.max()
    expect(page["legend"]).to_contain_text(f"{shares.min():.1f} %")
    expect(page["legend"]).to_contain_text(f"{shares.max():.0f} %")
    page.close()


def test_the_page_begins_with_an_example_and_speaks_of_it(chromium: Any, folder: Path, knowing: Checkpoint) -> None:
    from playwright.sync_api import expect

    page = Page(chromium, (folder / "index.html").as_uri())
    expect(page["example"]).to_have_text("café")
    expect(page.page.locator("h1")).to_have_text("<b>Which?</b>")
    predictor = Predictor(knowing, "eager")
    members = predictor.answers(predictor.probabilities(png(1)))[0].members
    assert members is not None
    said = " or ".join(members) if members else "None of these"
    expect(page["spoken"]).to_have_text(re.sub("\u2028", " ", said))
    page.close()


def test_what_cannot_be_read_costs_no_other_its_answer(chromium: Any, folder: Path) -> None:
    page = Page(chromium, (folder / "index.html").as_uri())
    page.give({"torn.png": png()[:60], "good.png": png(7)})
    page.give({"later.png": png(8)})
    rows = [dict(zip(rows[0], row, strict=True)) for rows in [page.table()] for row in rows[1:]]
    assert [(row["file"], bool(row["label"])) for row in rows] == [
        ("torn.png", False),
        ("good.png", True),
        ("later.png", True),
    ]
    assert [row["error"] for row in rows] == ["This browser cannot read it as an image.", "", ""]
    assert re.fullmatch(r"3 photographs: .*, 1 cannot be read\.", page["sum"].text_content())
    page["clear"].click()
    assert page["row"].count() == 0
    page.close()


def test_the_camera_is_answered_and_a_picture_can_be_kept(chromium: Any, folder: Path) -> None:
    from playwright.sync_api import expect

    page = Page(chromium, (folder / "index.html").as_uri())
    page["clear"].is_hidden()
    page["camera"].click()
    expect(page["camera-view"]).to_be_visible()
    expect(page["spoken"]).to_be_visible()
    page["keep"].click()
    expect(page["row"]).to_have_count(1)
    page["camera"].click()
    expect(page["camera-view"]).to_be_hidden()
    page["row"].click()
    expect(page["seen"]).to_be_visible()
    page.close()


def test_a_phone_in_the_dark_needs_no_sideways_scrolling(chromium: Any, folder: Path) -> None:
    page = Page(chromium, (folder / "index.html").as_uri(), viewport={"width": 390, "height": 844}, color_scheme="dark")
    page.give({"noise.png": png(1), "a-very-long-name-without-any-place-to-break-it" * 3 + ".png": png(2)})
    page["map-rollout"].check()
    assert page.page.evaluate("document.documentElement.scrollWidth") <= 390
    light = page.page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
    assert max(light) < 64
    page.close()


def test_licences_lie_beside_the_page_and_in_it(folder: Path, one_file: Path) -> None:
    names = {path.name for path in (folder / "licences").iterdir()}
    assert names == {"onnxruntime-LICENSE.txt", "onnxruntime-ThirdPartyNotices.txt"}
    assert "Permission is hereby granted" in (folder / "licences/onnxruntime-LICENSE.txt").read_text()
    assert "Permission is hereby granted" in one_file.read_text("utf-8")


def test_no_page_of_what_names_nothing_or_is_too_large(
    runtime: BrowserRuntime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(CheckpointError, match="no classes"):
        write_classifier(checkpoint(activation="none"), tmp_path / "out", runtime, title="")
    monkeypatch.setattr(classifier, "LARGEST", 1000)
    with pytest.raises(ConfigError, match="choose a smaller model"):
        write_classifier(checkpoint(TINY), tmp_path / "out", runtime, title="")
    assert not (tmp_path / "out").exists()


def test_only_an_earlier_page_is_replaced(folder: Path, one_file: Path, tmp_path: Path) -> None:
    from vitascope.checkpoints.output import check_output

    mine = tmp_path / "mine.html"
    mine.write_text("<html>")
    for path in (folder, one_file):
        check_output(path, "page", overwrite=True)
    for path in (mine, one_file.parent):
        with pytest.raises(ConfigError, match="not a page"):
            check_output(path, "page", overwrite=True)
