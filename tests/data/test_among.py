"""Which images of one set are in another: all copies of a picture, whichever set is larger, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.data.test_alike import CHANGES, encoded, scene

from vitascope.data import among as module
from vitascope.data.among import copied
from vitascope.data.copies import find_copies
from vitascope.data.kept import ArraySource
from vitascope.data.open import open_data
from vitascope.data.source import Source, View


def source(pictures: Sequence[Image.Image], name: str = "s") -> ArraySource:
    images = [np.asarray(picture.convert("RGB")) for picture in pictures]
    return ArraySource(name, ("a", "b"), np.arange(len(images)) % 2, images)


def among(mine: Sequence[Image.Image], theirs: Sequence[Image.Image]) -> list[int]:
    return np.flatnonzero(copied(source(mine), source(theirs))[0]).tolist()


def scenes(first: int, count: int) -> list[Image.Image]:
    return [scene(seed) for seed in range(first, first + count)]


@pytest.mark.parametrize("others", [1, 30])
def test_every_copy_of_one_picture_is_found(others: int) -> None:
    """More than are compared at first, by a set that is smaller than theirs, and by one that is larger."""
    again = [encoded(scene(0), quality) for quality in range(20, 60, 5)]
    assert among([*again, *scenes(100, 6)], [scene(0), *scenes(200, others - 1)]) == list(range(8))
    assert among([scene(0), *scenes(200, others - 1)], [*again, *scenes(100, 6)]) == [0]


def test_a_film_is_not_followed_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each image is a near copy of the next, so that the last has nothing of the first."""
    searches: list[bool] = []

    def near_pairs(pictures: np.ndarray, mirrored: bool, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        searches.append(mirrored)
        place = pictures[:, 0, 0] // 5
        pairs = [(row, column) for row in rows for column in columns if place[row] + 1 == place[column]]
        return np.array([] if mirrored else pairs, dtype=np.int64).reshape(-1, 2)

    monkeypatch.setattr(module, "near_pairs", near_pairs)
    pictures = [Image.fromarray(np.full((32, 32), 5 * i, np.uint8)) for i in range(50)]
    again = copied(source(pictures[1:]), source(pictures[:1]))[0]
    assert np.flatnonzero(again).tolist() == list(range(9))
    assert len(searches) == 2 * 9


def test_repetitions_on_one_side_do_not_hide_the_other() -> None:
    repeated = [*6 * [scene(0)], *(encoded(scene(0), quality) for quality in range(20, 50, 5))]
    changed = CHANGES["blurred"](scene(0))
    assert among([*scenes(100, 15), changed], repeated) == [15]
    assert among(repeated, [*scenes(100, 15), changed]) == list(range(12))


def test_the_same_as_groups_over_both_tell() -> None:
    pictures = [*scenes(0, 24), *(change(scene(i)) for i, change in enumerate(CHANGES.values()))]
    pictures += [x.transpose(Image.Transpose.FLIP_LEFT_RIGHT) for x in pictures[8:12]]
    order = np.random.default_rng(0).permutation(len(pictures))
    one, other = (source([pictures[i] for i in part]) for part in (order[:14], order[14:]))
    groups = find_copies([one, other])
    for mine, theirs in ((one, other), (other, one)):
        expected = np.isin(groups.of(mine), groups.of(theirs))
        assert expected.any()
        assert np.array_equal(copied(mine, theirs)[0], expected)


@pytest.mark.parametrize("few", [3, 60])
def test_pictures_of_one_mould_are_no_copies(few: int) -> None:
    rng = np.random.default_rng(few)
    mould = np.asarray(scene(0), np.int16)
    changes = rng.integers(-9, 9, (130, *mould.shape))
    noisy = [Image.fromarray((mould + change).clip(0, 255).astype(np.uint8)) for change in changes]
    again, said = copied(source(noisy[:60]), source([*noisy[59 : 59 + few]]))
    assert np.flatnonzero(again).tolist() == [59]  # the very same one
    assert "look alike, as of one mould" in said


def test_generated_images_are_copies_of_themselves_alone() -> None:
    made = open_data("fractals:classes=4,size=32,instances=5").present()
    train, test = made["train"], made["validation"]
    assert not copied(train, test)[0].any()
    assert np.flatnonzero(copied(train, View(train, np.array([1, 3])))[0]).tolist() == [1, 3]
    assert not copied(train, source(scenes(0, 2)))[0].any()


def test_unreadable_and_missing_images(tmp_path: Path) -> None:
    for split in ("train", "test"):
        place = tmp_path / split / "ant"
        place.mkdir(parents=True)
        (place / "bad.jpg").write_bytes(b"\xff\xd8\xff nonsense")
        scene(len(split)).save(place / "good.png")
    splits = open_data(str(tmp_path)).present()
    assert not copied(splits["train"], splits["test"])[0].any()
    nothing = View(splits["test"], np.zeros(0, dtype=np.int64))
    assert not copied(splits["train"], nothing)[0].any()
    assert copied(nothing, splits["train"])[0].shape == (0,)


def test_a_set_too_large_is_named_and_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LIMIT", 5)
    monkeypatch.setattr(module, "looked_at", None)
    few, many = source(scenes(0, 2), "few"), source(scenes(0, 6), "many")
    for mine, theirs in ((few, many), (many, few)):
        again, said = copied(mine, theirs)
        assert (len(again), again.any()) == (len(mine), False)
        assert said == "many has more than 5 images: copies not looked for"


def test_what_was_found_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    def sources() -> tuple[Source, Source]:
        return source(scenes(0, 6)), source([encoded(scene(2), 50), scene(9)])

    expected = copied(*sources())[0].tolist()
    monkeypatch.setattr(module, "near_pairs", None)
    assert copied(*sources())[0].tolist() == expected == [False, False, True, False, False, False]
