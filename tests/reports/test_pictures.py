"""Photographs on a run's page: few, small, those that are meant, and whatever happens to one of them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reports import picture, report
from tiny_checkpoint import TINY, checkpoint
from vitascope.data.preprocess import Preprocess
from vitascope.errors import ImageError
from vitascope.models.config import BiTConfig
from vitascope.reports.pictures import Seen, looked_at, mistakes
from vitascope.reports.reported import Suspect
from vitascope.reports.write import write_report_page


@pytest.mark.parametrize("classes", [2, 150])
def test_however_many_images_and_classes_the_page_stays_small(classes: int, tmp_path: Path) -> None:
    suspects = [
        Suspect(file=f"{n}.jpg", label="a", instead="b", wrong=0.9, picture=lambda: picture(1)) for n in range(50)
    ]
    page = write_report_page(tmp_path / "page.html", report(classes, 600, suspects=suspects))
    html = page.read_text(encoding="utf-8")
    assert 12 < html.count("<img ") <= 60
    assert len(html) < 3_000_000
    assert html.count("<tr>") < 120


def test_the_most_confident_mistakes_are_shown_under_what_was_said_of_them() -> None:
    made = report(3, 40)
    judged = made.judged[0]
    _, body = mistakes(made)
    said = re.findall(r"<figcaption>(.*?)</figcaption>", body, re.DOTALL)
    expected = judged.answers.mistakes()[:12]
    assert len(said) == len(expected)
    for text, row in zip(said, expected, strict=True):
        truth, answer = judged.answers.names(row, made.checkpoint.labels)
        assert re.sub(r"\s+", " ", text).startswith(
            f"“{answer}” ({100 * judged.answers.probability[row]:.1f} %), is “{truth}”"
        )
        assert text.endswith(f"photos/{row}.jpg")
    assert body.count("<img ") == 2 * len(said)  # beside where it looked


def test_a_picture_that_cannot_be_had_is_passed_over() -> None:
    def gone(place: int) -> np.ndarray:
        if place % 2:
            raise ImageError(f"{place} is gone")
        return picture(place)

    made = report(3, 40, picture=gone)
    _, body = mistakes(made)
    said = [int(name) for name in re.findall(r"photos/(\d+)\.jpg</figcaption>", body)]
    assert said == [row for row in made.judged[0].answers.mistakes().tolist() if row % 2 == 0][:12]


def test_what_is_seen_is_the_models_part_of_the_photograph() -> None:
    image = np.zeros((200, 400, 3), dtype=np.uint8)
    image[:, 100:300] = 255  # the middle square
    seen = Seen.of(Preprocess(size=(16, 16)), image)
    assert seen.pixels.shape == (16, 16, 3)
    assert seen.small.shape == (160, 160, 3)
    assert seen.small.min() > 200
    squashed = Seen.of(Preprocess(size=(16, 16), fit="squash"), image).small
    assert squashed[:, :30].max() < 5


def test_small_images_are_not_blown_up() -> None:
    assert Seen.of(Preprocess(size=(16, 16)), np.zeros((8, 8, 3), dtype=np.uint8)).small.shape == (16, 16, 3)


def test_grey_models_show_grey() -> None:
    seen = Seen.of(Preprocess(size=(16, 16), channels=1), picture(3))
    assert seen.pixels.shape == (16, 16, 1)
    assert (seen.small[..., 0] == seen.small[..., 2]).all()


@pytest.mark.parametrize(
    "config", [TINY, BiTConfig(image_size=(16, 16), units=(1, 1), base_width=32, classes=3, small_images=True)]
)
def test_where_it_looked_is_the_photograph_under_colours(config: Any) -> None:
    ck = checkpoint(config)
    seen = [Seen.of(ck.preprocess, picture(n)) for n in range(3)]
    looks = looked_at(ck, seen, np.array([0, 1, 2]))
    assert [look.shape for look in looks] == [s.small.shape for s in seen]
    assert all((look != s.small).any() for look, s in zip(looks, seen, strict=True))
