"""Copies within and between sources, kept between commands; and a hold-out that none of them straddles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.data.test_alike import CHANGES, scene

from vitascope.data import copies as module
from vitascope.data.copies import digests, find_copies, groups
from vitascope.data.holdout import stratified_holdout
from vitascope.data.kept import ArraySource, in_memory
from vitascope.data.open import open_data
from vitascope.data.shrunk import Shrunk
from vitascope.data.source import View


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes of 20 scenes; of four scenes of each a near copy, of two the same file again."""
    for number, label in enumerate(("ant", "bee")):
        place = tmp_path / "data" / label
        place.mkdir(parents=True)
        for i in range(20):
            image = scene(100 * number + i)
            image.save(place / f"{i:02}.jpg", quality=90)
            if i < 4:
                CHANGES[list(CHANGES)[i]](image).convert("RGB").save(place / f"{i:02}-near.jpg", quality=80)
            if i in (3, 4):
                (place / f"{i:02}-same.jpg").write_bytes((place / f"{i:02}.jpg").read_bytes())
    return tmp_path / "data"


def named(source: object, group: np.ndarray) -> list[str]:
    return [Path(source.describe(int(i))).name for i in group]  # type: ignore[attr-defined]


def test_copies_and_near_copies_are_grouped(folder: Path) -> None:
    train = open_data(str(folder)).train
    assert train is not None
    found = find_copies([train])
    assert [named(train, group) for group in groups(found.near)] == 2 * [
        ["00-near.jpg", "00.jpg"],
        ["01-near.jpg", "01.jpg"],
        ["02-near.jpg", "02.jpg"],
        ["03-near.jpg", "03-same.jpg", "03.jpg"],
        ["04-same.jpg", "04.jpg"],
    ]
    assert [named(train, g) for g in groups(found.exact)] == 2 * [["03-same.jpg", "03.jpg"], ["04-same.jpg", "04.jpg"]]
    assert found.limits == ""


def test_copies_are_told_across_splits_and_classes_first(tmp_path: Path) -> None:
    places = {name: tmp_path / "data" / name for name in ("train/ant", "train/bee", "val/ant", "val/bee")}
    for number, place in enumerate(places.values()):
        place.mkdir(parents=True)
        for i in range(6):
            scene(100 * number + i).save(place / f"{i}.png")
    flip = Image.Transpose.FLIP_LEFT_RIGHT
    scene(0).save(places["train/ant"] / "again.png")
    CHANGES["blurred"](scene(1)).save(places["train/bee"] / "blurred.png")
    scene(101).transpose(flip).save(places["val/bee"] / "mirrored.png")
    splits = open_data(str(tmp_path / "data"))
    told = [found.as_json(splits) for found in find_copies(splits.present().values()).found(splits)]
    assert [
        (found["kind"], [Path(file).name for file in found["files"]], found["splits"], found["classes"])
        for found in told
    ] == [
        ("mirrored", ["1.png", "mirrored.png"], ["train", "validation"], ["bee"]),
        ("near", ["1.png", "blurred.png"], ["train"], ["ant", "bee"]),
        ("the same", ["0.png", "again.png"], ["train"], ["ant"]),
    ]


@pytest.mark.parametrize("fraction", [0.1, 0.3, 0.5])
def test_no_copy_is_on_both_sides_of_a_holdout(folder: Path, fraction: float) -> None:
    train = open_data(str(folder)).train
    assert train is not None
    found = find_copies([train])
    for seed in range(10):
        rest, held = stratified_holdout(train, fraction, seed, found.of(train))
        scenes = [
            {(Path(s.describe(i)).parent.name, Path(s.describe(i)).name[:2]) for i in range(len(s))}
            for s in (rest, held)
        ]
        assert not scenes[0] & scenes[1], "a copy of a training image is held out"
        assert sorted([*rest.indices, *held.indices]) == list(range(len(train)))
        counts = np.bincount(held.labels)
        assert (abs(counts - fraction * np.bincount(train.labels)) <= 2).all(), "stratified"
        assert (np.bincount(rest.labels) > 0).all()
        assert np.array_equal(held.indices, stratified_holdout(train, fraction, seed, found.of(train))[1].indices)


def test_groups_that_are_large_or_span_classes() -> None:
    labels = np.array([0] * 6 + [1] * 8 + [2] * 5)
    source = ArraySource("s", ("a", "b", "c"), labels, np.zeros((19, 4, 4, 3), np.uint8))
    copies = np.array([0] * 6 + [1] * 3 + [2] * 5 + [10, 11, 12, 13, 13])
    rest, held = stratified_holdout(source, 0.2, 0, copies)
    assert np.bincount(rest.labels).tolist() == [6, 5, 4], "a class of copies stays in training, else the smaller group"
    assert np.bincount(held.labels, minlength=3).tolist() == [0, 3, 1]
    spanning = copies.copy()
    spanning[14] = 1  # a copy under another label
    for seed in range(20):
        rest, held = stratified_holdout(source, 0.2, seed, spanning)
        assert not set(spanning[rest.indices]) & set(spanning[held.indices])


def test_the_same_wherever_images_are_kept_and_kept_once_found(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train = open_data(str(folder)).train
    assert train is not None
    some = View(train, np.arange(len(train))[::-1].copy(), "some")
    held = in_memory(Shrunk(in_memory(some, 1 << 30), 64), 1 << 30)
    assert isinstance(held, ArraySource)
    source, positions = held.origin()
    assert source is train
    assert positions.tolist() == some.indices.tolist()
    expected = find_copies([train])
    assert np.array_equal(find_copies([held, some]).of(held), expected.near[::-1])
    monkeypatch.setattr(module, "_mark", lambda *_: pytest.fail("looked again"))
    again = open_data(str(folder)).train
    assert again is not None
    assert np.array_equal(find_copies([again]).near, expected.near)
    known, partly = digests(again), digests(held)
    assert known is not None
    assert partly is not None
    assert np.array_equal(known[::-1], partly)
    assert len(set(known.tolist())) == len(train) - 4


def test_between_sources_and_unreadable_files(folder: Path, tmp_path: Path) -> None:
    (folder / "ant" / "bad.jpg").write_bytes(b"\xff\xd8\xff nonsense")
    (folder / "ant" / "bad too.jpg").write_bytes(b"\xff\xd8\xff nonsense")
    other = tmp_path / "other"
    for label, seed in (("ant", 7), ("bee", 999)):
        (other / label).mkdir(parents=True)
        scene(seed).save(other / label / "x.png")
    train, test = open_data(str(folder)).train, open_data(str(other)).train
    assert train is not None
    assert test is not None
    found = find_copies([train, test])
    assert np.isin(found.of(test), found.of(train)).tolist() == [True, False]
    assert not [g for g in groups(found.of(train)) if "bad.jpg" in named(train, g)]


def test_small_pictures_have_no_near_copies() -> None:
    found = find_copies(open_data("digits").present().values())
    assert groups(found.near) == groups(found.exact) == []


@pytest.mark.parametrize(("longest", "counts"), [(20, True), (30, False)])
def test_pictures_of_one_mould(longest: int, counts: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where near copies join a good part of all images into one group, they count for nothing, and that is said."""
    chain = np.array([[i, i + 1] for i in range(longest - 1)])
    monkeypatch.setattr(module, "near_pairs", lambda small, mirrored=False: chain[: len(chain) * (not mirrored)])
    images = np.random.default_rng(longest).integers(0, 256, (60, 2, 2, 3), dtype=np.uint8)
    found = find_copies([ArraySource("s", ("a", "b"), np.arange(60) % 2, images)])
    assert ("only exact copies count" in found.limits) is not counts
    assert [len(group) for group in groups(found.near)] == ([longest] if counts else [])


def test_what_large_and_generated_sets_get(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = open_data("fractals:classes=4,size=32,instances=5").present()
    assert groups(find_copies(made.values()).near) == []
    train = open_data(str(folder)).train
    assert train is not None
    monkeypatch.setattr(module, "NEAR_LIMIT", 20)
    (folder / "ant" / "00.jpg").touch()  # another fingerprint
    train = open_data(str(folder)).train
    assert train is not None
    found = find_copies([train])
    assert "only exact copies" in found.limits
    assert len(groups(found.near)) == 4
    monkeypatch.setattr(module, "LIMIT", 30)
    assert "not looked for" in find_copies([train]).limits
    assert digests(train) is None
