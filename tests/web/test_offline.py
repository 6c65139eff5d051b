"""The page as a file, in a real browser: everything is inside, and nothing is asked of any network."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from browsing import CLASS, CONFIG, FILE, IMAGE, OTHER, Tab, browser, expected, model
from tiny_checkpoint import look
from vitascope.checkpoints.checkpoint import Checkpoint
from vitascope.models.config import ViTConfig
from vitascope.views.look import scope
from vitascope.web.offline import write_page
from vitascope.web.payload import layer_payload, look_payload, model_payload


def for_page(ck: Checkpoint, name: str, second: tuple[int, ...] = ()) -> dict[str, Any]:
    """Two images, with all layers of the first and those of the `second` that are named."""
    looks = []
    for n, (file, content) in enumerate(((FILE, IMAGE), ("other.png", OTHER))):
        found = look(ck, content)
        layers = {str(layer): layer_payload(found, layer) for layer in (second if n else range(2))}
        looks.append({**look_payload(found, f"image-{n}", file), "layers": layers})
    return {"model": model_payload(scope(ck), name), "looks": looks}


def test_the_page_as_a_file_works_without_any_network(tmp_path: Path) -> None:
    from playwright.sync_api import expect

    finer = ViTConfig(image_size=(32, 16), patch=4, width=16, depth=2, heads=4, hidden=24, classes=3)
    table = {"title": FILE, "columns": ["", "top-1"], "rows": [[CLASS, "50.0 %"], ["finer", "75.0 %"]]}
    compared = {"tables": [table], "notes": ["judged on 4 images"]}
    models = [for_page(model(), CLASS), for_page(model(finer), "finer", (1,))]
    write_page(tmp_path / "inspect.html", models, compared)
    with browser() as chromium:
        context = chromium.new_context(offline=True)
        page = Tab(context).open((tmp_path / "inspect.html").as_uri())
        assert page["model-name"].all_text_contents() == [CLASS, "finer"]
        assert page["file"].count() == 0
        above = page["compared"]
        assert above.locator("th[scope=row]").all_text_contents() == [CLASS, "finer"]
        assert above.locator("td").all_text_contents() == ["50.0 %", "75.0 %"]
        expect(above).to_contain_text("judged on 4 images")
        first, second = page["column-0"], page["column-1"]
        first.get_by_test_id("grid").focus()
        page.page.keyboard.press("ArrowRight")
        page.page.keyboard.press("[")
        expect(first.get_by_test_id("selected")).to_have_text("Asking the patch in row 2, column 3 of 4 × 4")
        expect(second.get_by_test_id("selected")).to_have_text("Asking the patch in row 4, column 3 of 8 × 4")
        for column, config, row in ((first, CONFIG, 2), (second, finer, 4)):
            label = expected(look(model(config), IMAGE), 1, 2, row, 3)
            expect(column.get_by_test_id("head-2")).to_have_attribute("aria-label", label)
        page.address_holds("layer=1", "patch=2,3")
        link = page.page.evaluate("location.href")
        again = Tab(context).open(link)
        expect(again["column-1"].get_by_test_id("selected")).to_contain_text("row 4, column 3")
        again["example-image-1"].click()
        expect(first.get_by_test_id("heads-status")).to_have_text("")
        expect(again["column-0"].get_by_test_id("heads-status")).to_contain_text("first images only")
        expect(again["column-1"].get_by_test_id("heads-status")).to_contain_text("holds layers 2 of this image")
        for each in (page, again):
            assert each.errors == []
            assert {re.match(r"\w+:", address)[0] for address in each.requests} <= {"file:", "data:"}  # type: ignore[index]
        context.close()
