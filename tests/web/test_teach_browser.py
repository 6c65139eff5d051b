"""The page for teaching in a real browser: boxes, what came of them, and a run that answers as the page did."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from browsing import Desk, browser
from serving import Served, png, served
from tiny import image_folder
from tiny_checkpoint import checkpoint
from vitascope.cli import main
from vitascope.evaluation.sets import PredictionSets
from vitascope.recipes.asked import Teach
from vitascope.recipes.teach import teach_run

CLASSES = ("ant", "bee", "cat")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VITASCOPE_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return image_folder(tmp_path_factory.mktemp("images"), 24)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream") as running:
        yield running


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    with served(teach=True) as running:
        yield running


@pytest.fixture
def desk(chromium: Any, server: Served) -> Iterator[Callable[[], Desk]]:
    """Opens tabs; at the end none may have made an error or asked another host."""
    context = chromium.new_context(accept_downloads=True)
    desks: list[Desk] = []

    def open_desk() -> Desk:
        desks.append(Desk(context, server))
        return desks[-1]

    yield open_desk
    for each in desks:
        assert each.errors == []
        assert each.hosts() <= {server.address.removeprefix("http://"), ""}
    context.close()


def of_class(images: Path, name: str) -> list[Path]:
    return sorted((images / name).iterdir())


def test_teach_forget_reload_save_and_predict_the_same(
    desk: Callable[[], Desk], images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from playwright.sync_api import expect

    page = desk()
    page.call("Kind 1", "ant")
    page.call("Kind 2", "bee")
    page.drop('.box[data-name="ant"]', of_class(images, "ant"))
    page.drop('.box[data-name="bee"]', of_class(images, "bee"))
    expect(page["top1"]).to_be_visible()
    page["new-box"].click()
    page.call("Kind 1", "cat")
    page.drop('.box[data-name="cat"]', of_class(images, "cat"))
    expect(page["per-class"].locator("li")).to_have_count(3)
    page["new-box"].click()
    page.call("Kind 1", "moth")
    (tmp_path / "moths").mkdir()
    for number in range(3):
        (tmp_path / "moths" / f"{number}.png").write_bytes(png(40 + number))
    page.drop('.box[data-name="moth"]', sorted((tmp_path / "moths").iterdir()))
    expect(page["per-class"].locator("li")).to_have_count(4)
    page.box("moth").get_by_role("button", name="Forget the box moth").click()
    page.settle()
    expect(page["per-class"].locator("li")).to_have_count(3)
    before = page["top1"].text_content()

    page.page.reload()
    page.settle()
    page.says("top1", str(before))
    for name in CLASSES:
        expect(page.box(name).locator("img")).to_have_count(8)

    with zipfile.ZipFile(io.BytesIO(page.save())) as archive:
        archive.extractall(tmp_path)
    for number in range(4):
        content = png(60 + number)
        file = tmp_path / f"new-{number}.png"
        file.write_bytes(content)
        page.attempt(file.name, content)
        expect(page["answers"].locator("li")).to_have_count(3)
        shown = page["answers"].locator(".bar-label").all_text_contents()
        numbers = page["answers"].locator(".bar-number").all_text_contents()
        assert main(["predict", str(tmp_path / "taught"), str(file), "--json", "--device", "cpu"]) == 0
        (said,) = json.loads(capsys.readouterr().out)["predictions"]
        assert shown == [label["label"] for label in said["labels"]]
        for text, label in zip(numbers, said["labels"], strict=True):
            assert float(text.removesuffix(" %").removeprefix("< ")) == pytest.approx(
                100 * label["probability"], abs=0.51
            )
        spoken = page["spoken"].text_content()
        if not said["known"]:
            assert spoken == "None of these"
        elif len(said["set"]) == 1:
            assert spoken == said["set"][0]


def test_a_saved_run_is_opened_again_and_one_of_the_command_too(
    desk: Callable[[], Desk], images: Path, tmp_path: Path
) -> None:
    from playwright.sync_api import expect

    first = desk()
    for number, name in enumerate(CLASSES[:2], start=1):
        first.add(f"Kind {number}", of_class(images, name))
        first.call(f"Kind {number}", name)
    expect(first["top1"]).to_be_visible()
    said = str(first["top1"].text_content())
    (tmp_path / "taught.zip").write_bytes(first.save())
    second = desk()
    second["run-file"].set_input_files(tmp_path / "taught.zip")
    second.settle()
    second.says("top1", said)
    expect(second.box("ant").locator(".faceless").first).to_have_text(of_class(images, "ant")[0].name)
    with zipfile.ZipFile(tmp_path / "taught.zip") as archive:
        archive.extractall(tmp_path)
    asked = Teach(checkpoint=str(tmp_path / "taught"), data=str(images), out=str(tmp_path / "two"), device="cpu")
    teach_run(asked)
    second["run-file"].set_input_files([tmp_path / "two" / name for name in ("taught.safetensors", "results.json")])
    second.settle()
    expect(second["per-class"].locator("li")).to_have_count(3)
    with zipfile.ZipFile(tmp_path / "packed.zip", "w", zipfile.ZIP_DEFLATED) as archive:  # as other programs do
        for path in (tmp_path / "two").rglob("*"):
            archive.write(path, path.relative_to(tmp_path))
    second["undo"].click()
    second.settle()
    expect(second["per-class"].locator("li")).to_have_count(2)
    second["run-file"].set_input_files(tmp_path / "packed.zip")
    second.settle()
    expect(second["per-class"].locator("li")).to_have_count(3)
    (tmp_path / "notes.zip").write_bytes(b"hello")
    second["run-file"].set_input_files(tmp_path / "notes.zip")
    second.says("notice-says", "“notes.zip” is no zip file, or not all of it.")


def test_photographs_are_moved_taken_out_and_come_back(desk: Callable[[], Desk], images: Path) -> None:
    from playwright.sync_api import expect

    page = desk()
    page.add("Kind 1", of_class(images, "ant"))
    page.add("Kind 2", of_class(images, "bee"))
    page.box("Kind 1").locator(".thumb").nth(0).click()
    page.box("Kind 1").locator(".thumb").nth(3).click()
    expect(page["chosen"]).to_contain_text("2 photographs chosen")
    page["move-to"].select_option("Kind 2")
    page["move"].click()
    page.settle()
    expect(page.box("Kind 2").locator("img")).to_have_count(10)
    page.box("Kind 2").locator(".thumb").nth(1).focus()
    page.page.keyboard.press("Space")
    page["take-out"].focus()
    page.page.keyboard.press("Enter")
    page.settle()
    expect(page.box("Kind 2").locator("img")).to_have_count(9)
    for _ in range(2):
        page["undo"].click()
        page.settle()
    expect(page.box("Kind 1").locator("img")).to_have_count(8)
    expect(page.box("Kind 2").locator("img")).to_have_count(8)
    expect(page["chosen"]).to_be_hidden()


def test_a_suspect_is_shown_and_moved(desk: Callable[[], Desk], tmp_path: Path) -> None:
    from playwright.sync_api import expect

    page, images = desk(), image_folder(tmp_path / "images", 180)
    ants, bees = of_class(images, "ant"), of_class(images, "bee")
    page.add("Kind 1", ants)
    page.add("Kind 2", [*bees[:-1]])
    page.add("Kind 1", bees[-1:])  # the mistake
    expect(page["suspect"]).to_have_count(1)
    expect(page["suspect"]).to_contain_text("In Kind 1, looks like Kind 2.")
    page["suspect"].get_by_role("button", name=re.compile("is right where it is")).click()
    expect(page["suspect"]).to_have_count(0)
    page.page.reload()
    page.settle()
    page["suspect"].get_by_role("button", name=re.compile("^Move")).click()
    page.settle()
    expect(page["suspect"]).to_have_count(0)
    expect(page.box("Kind 2")).to_contain_text("60 photographs")


def test_names_are_text_and_what_is_no_photograph_is_told(desk: Callable[[], Desk], images: Path) -> None:
    from playwright.sync_api import expect

    page = desk()
    nasty = "<img src=x onerror=alert(1)>"
    page.call("Kind 1", nasty)
    page.add(nasty, of_class(images, "ant"))
    page.add("Kind 2", of_class(images, "bee"))
    assert page.page.locator("img[src=x]").count() == 0
    expect(page["per-class"].locator(".bar-label").first).to_have_text(nasty)
    page.call("Kind 2", nasty)
    page.says("notice-says", f"There is a box “{nasty}” already.")
    broken = {"name": "torn.png", "mimeType": "image/png", "buffer": png()[:80]}
    page.box("Kind 2").locator("input[type=file]").set_input_files([broken])
    expect(page["notice-says"]).to_contain_text("torn.png")
    expect(page.box("Kind 2").locator("img")).to_have_count(8)


def test_a_photograph_that_is_too_large_is_told_and_the_others_are_taught(chromium: Any, images: Path) -> None:
    from playwright.sync_api import expect

    with served(teach=True, max_bytes=6000) as small:
        context = chromium.new_context()
        page = Desk(context, small)
        large = {"name": "large.png", "mimeType": "image/png", "buffer": png(1, (60, 60))}
        others = [{**large, "name": f.name, "buffer": f.read_bytes()} for f in of_class(images, "ant")]
        page.box("Kind 1").locator("input[type=file]").set_input_files([*others[:3], large, *others[3:]])
        expect(page["notice-says"]).to_contain_text("large.png: The body is larger than 6,000 bytes")
        expect(page.box("Kind 1").locator("img")).to_have_count(8)
        assert all("413" in error for error in page.errors)
        context.close()


def test_two_tabs_teach_apart(desk: Callable[[], Desk], images: Path) -> None:
    from playwright.sync_api import expect

    one, two = desk(), desk()
    one.add("Kind 1", of_class(images, "ant"))
    two.add("Kind 1", of_class(images, "bee")[:2])
    expect(one.box("Kind 1").locator("img")).to_have_count(8)
    two.page.reload()
    two.settle()
    expect(two.box("Kind 1").locator("img")).to_have_count(2)


def test_the_camera_is_tried_and_fills_a_box(desk: Callable[[], Desk], images: Path) -> None:
    from playwright.sync_api import expect

    page = desk()
    page.add("Kind 1", of_class(images, "ant"))
    page.add("Kind 2", of_class(images, "bee"))
    page["camera"].click()
    expect(page["camera-view"]).to_be_visible()
    expect(page["spoken"]).to_be_visible()
    page["keep"].click()
    expect(page.box("Kind 1").locator("img")).to_have_count(9)
    page["camera"].click()
    expect(page["camera-view"]).to_be_hidden()


def test_the_pages_lead_to_each_other_and_one_shows_the_prediction_set(chromium: Any) -> None:
    from playwright.sync_api import expect

    sets = PredictionSets(coverage=0.9, least=(1.0,), images=50)
    with served(checkpoint(sets=sets), teach=True) as calibrated:
        context = chromium.new_context()
        page = Desk(context, calibrated)
        page["tab-look"].click()
        page.page.wait_for_selector('#page:not([aria-busy="true"]) [data-testid="heads"][aria-busy="false"]')
        expect(page["set"]).to_have_text(re.compile("None of theseAt least 90 of 100"))
        page["tab-teach"].click()
        page.settle()
        assert page.page.title() == "Teach · Vitascope"
        assert page.errors == []
        context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_needs_no_sideways_scrolling(chromium: Any, server: Served, images: Path, scheme: str) -> None:
    context = chromium.new_context(viewport={"width": 390, "height": 844}, color_scheme=scheme)
    page = Desk(context, server)
    page.add("Kind 1", of_class(images, "ant"))
    page.call("Kind 1", "a-very-long-name-of-a-class-that-has-no-place-to-be-broken-at-all")
    page.add("Kind 2", of_class(images, "bee"))
    page.attempt("new.png", png(5))
    page.page.locator(".thumb").first.click()
    assert page.page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.errors == []
    context.close()
