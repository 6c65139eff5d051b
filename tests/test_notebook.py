"""What things show of themselves in a notebook: all that one asks first, and no markup of what people named."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
from PIL import Image

import vitascope as vs
from lessons import taught
from tiny import CLASSES, image_folder, pixels, source, splits
from tiny_checkpoint import TINY, checkpoint
from vitascope.data.kept import ArraySource
from vitascope.data.source import Splits, without_labels
from vitascope.views.drawing import figure

EVIL = "<script>alert('x')</script>"


class _Text(HTMLParser):
    """Tags that are open, pictures, and what is read."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open, self.tags, self.text = list[str](), list[str](), ""
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag != "img":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += f"{data} "


def shown(thing: object) -> _Text:
    return _Text(thing._repr_html_())  # type: ignore[attr-defined]


def test_a_checkpoint_says_what_it_is_and_how_right(tmp_path: Path) -> None:
    seen = shown(checkpoint(labels=(EVIL, "b", "c"), card={"task": "fine-tuning", "data": EVIL, "results": {"a": 1}}))
    assert "script" not in seen.tags
    for said in ("ViT 16 wide, 1 deep, patch 8", "16 × 16 pixels", f"3 classes: {EVIL}, b, c", "made by fine-tuning"):
        assert said in " ".join(seen.text.split())
    results = {
        "loo_top1": 0.5,
        "images": 4,
        "loss": 1.0,
        "test": {"top1": 0.75, "images": 8, "loss": 0.5},
        "seconds": 61,
    }
    text = " ".join(shown(checkpoint(card={"results": results})).text.split())
    assert "left out, each in turn top-1 50.0 % (15–85) of 4 loss 1.0000" in text
    assert "test top-1 75.0 %" in text
    assert "took 1m01s" in text
    assert "none; a start to fine-tune" in shown(checkpoint(replace(TINY, classes=0))).text


def test_a_run_that_was_taught_shows_its_figures(tmp_path: Path) -> None:
    vs.save(checkpoint(), tmp_path / "start")
    results = taught(str(tmp_path / "start"), image_folder(tmp_path / "images", 20), tmp_path / "run").results
    text = shown(vs.load(tmp_path / "run")).text
    assert f"top-1 {100 * results['loo_top1']:.1f} %" in text
    assert str(tmp_path / "images") in text


def test_a_source_shows_its_classes_and_an_image_of_each() -> None:
    seen = shown(source(20))
    assert seen.tags.count("img") == 3
    assert "tiny: 20 images, 3 classes" in seen.text
    for name, n in zip(CLASSES, source(20).counts(), strict=True):
        assert f"{name} {n} " in seen.text
    bare = shown(without_labels(source(20)))
    assert "20 images without labels" in bare.text
    assert bare.tags.count("img") == 8


def test_several_labels_and_many_classes_are_shown() -> None:
    images, _ = pixels(4)
    several = ArraySource("s", CLASSES, np.array([[1, 1, 0], [0, 1, 0], [0, 0, 0], [0, 0, 1]], dtype=bool), images)
    seen = shown(several)
    assert "ant, bee" in seen.text
    names = tuple(f"class {i}" for i in range(30))
    many = shown(ArraySource("many", names, np.arange(30), np.zeros((30, 4, 4, 3), np.uint8)))
    assert many.tags.count("img") == 8
    assert "class 18" in many.text
    assert "… and 11 more" in many.text


def test_an_unreadable_image_is_not_shown(tmp_path: Path) -> None:
    data = image_folder(tmp_path / "images", 6)
    (data / "ant" / "0.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    assert shown(vs.open_data(str(data)).train).tags.count("img") == 2


def test_splits_show_a_row_for_each_class() -> None:
    text = " ".join(shown(splits()).text.split())
    assert "class train validation" in text
    assert "ant 7 3 bee 7 3 cat 6 3 all 20 9" in text
    assert "no images" in shown(Splits()).text


def test_predictions_are_a_list_and_show_files_labels_and_bars(tmp_path: Path) -> None:
    predictor = vs.Predictor(checkpoint(labels=(EVIL, "b", "c")))
    Image.fromarray(pixels(1)[0][0]).save(tmp_path / "photo.png")
    found = predictor([tmp_path / "photo.png", np.zeros((20, 20, 3), np.uint8)], top=2)
    assert isinstance(found, list)
    assert json.loads(json.dumps(found)) == [[list(one) for one in best] for best in found]
    assert [len(best) for best in found] == [2, 2]
    seen = shown(found)
    assert "script" not in seen.tags
    text = " ".join(seen.text.split())
    assert "2 images" in text
    assert text.count("photo.png") == 1
    assert f"{100 * found[0][0][2]:.1f} %" in text
    assert "the first 50" in shown(predictor(np.zeros((8, 8, 3), np.uint8)).__class__([found[0]] * 60)).text


def test_figures_show_themselves() -> None:
    drawn = figure(1, 1)
    assert drawn._repr_png_().startswith(b"\x89PNG")  # type: ignore[attr-defined]


def test_nothing_of_a_notebook_is_needed() -> None:
    code = (
        "import sys, vitascope as vs; from vitascope.views.drawing import figure; figure(1, 1)._repr_png_();"
        "vs.open_data('digits')._repr_html_(); sys.exit(not {'IPython', 'matplotlib.pyplot'}.isdisjoint(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
