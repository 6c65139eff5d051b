"""Images kept on disk: the same pixels, wholly there or not at all, within the budget."""

from __future__ import annotations

import logging
import os
import pickle
import shutil
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vitascope.data import kept as module
from vitascope.data.images import read_image
from vitascope.data.kept import ArraySource, Mapped, in_memory, on_disk
from vitascope.data.resize import resample
from vitascope.data.shrunk import Shrunk
from vitascope.data.source import Source, View
from vitascope.data.sources.folder import open_folder
from vitascope.data.sources.fractals import FractalConfig, Fractals
from vitascope.errors import ImageError

PLENTY = 10**9


@pytest.fixture(autouse=True)
def small_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing need stay free."""
    monkeypatch.setattr(module, "_SPARE", 0)


def photographs(folder: Path, n: int = 5, seed: int = 0) -> Source:
    rng = np.random.default_rng(seed)
    for i in range(n):
        (folder / f"{i % 2}").mkdir(parents=True, exist_ok=True)
        height, width = 40 + 7 * i, 90 - 11 * i
        pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i % 2}" / f"{i}.{'png' if i == 2 else 'jpg'}")
    source = open_folder(folder).train
    assert source is not None
    return source


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.pixels"))


def mapped(source: Source) -> Path:
    """The file that holds its images."""
    assert isinstance(source, ArraySource)
    assert isinstance(source.images, Mapped)
    return source.images.path


def assert_same(one: Source, other: Source) -> None:
    assert len(one) == len(other)
    assert one.classes == other.classes
    assert np.array_equal(one.labels, other.labels)
    for index in range(len(one)):
        assert np.array_equal(one[index], other[index])
        assert one.describe(index) == other.describe(index)


def test_stored_images_are_the_same(tmp_path: Path) -> None:
    source = photographs(tmp_path / "data")
    kept = on_disk(source, PLENTY, folder=tmp_path / "cache")
    assert mapped(kept).exists()
    assert_same(kept, source)
    assert_same(pickle.loads(pickle.dumps(kept)), source)
    assert kept.fingerprint() is not None
    kept[0][:] = 0  # the caller's own
    assert np.array_equal(kept[0], source[0])
    assert np.array_equal(kept.open(3).read(), source[3])


def test_the_second_time_nothing_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = photographs(tmp_path / "data")
    expected = in_memory(source, PLENTY)
    on_disk(source, PLENTY, folder=tmp_path / "cache")
    monkeypatch.setattr("vitascope.data.source.read_image", None)
    assert_same(on_disk(source, PLENTY, folder=tmp_path / "cache"), expected)


def test_changed_files_are_decoded_again(tmp_path: Path) -> None:
    source = photographs(tmp_path / "data")
    on_disk(source, PLENTY, folder=tmp_path / "cache")
    changed = photographs(tmp_path / "data", seed=1)
    assert_same(on_disk(changed, PLENTY, folder=tmp_path / "cache"), changed)
    assert len(files(tmp_path / "cache")) == 2


@pytest.mark.parametrize("damage", ["cut", "longer", "index", "empty"])
def test_a_damaged_file_is_written_again(damage: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = photographs(tmp_path / "data")
    on_disk(source, PLENTY, folder=tmp_path / "cache")
    (name,) = files(tmp_path / "cache")
    path = tmp_path / "cache" / name
    whole = path.read_bytes()
    turned = bytearray(whole)
    turned[-80] ^= 1
    path.write_bytes({"cut": whole[:-1], "longer": b"0" + whole, "index": bytes(turned), "empty": b""}[damage])
    assert_same(on_disk(source, PLENTY, folder=tmp_path / "cache"), source)
    assert path.read_bytes() == whole
    assert caplog.text.count("is damaged; written anew") == 1


def test_a_deleted_file_costs_decoding_only(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = photographs(tmp_path / "data")
    kept = on_disk(source, PLENTY, folder=tmp_path / "cache")
    shutil.rmtree(tmp_path / "cache")
    assert_same(kept, source)
    assert "decoded again" in caplog.text


def test_what_does_not_fit_is_left(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    source = photographs(tmp_path / "data")
    assert on_disk(source, 20_000, folder=tmp_path / "cache") is source
    assert "does not fit 20000 bytes of disk" in caplog.text
    assert on_disk(source, 0, folder=tmp_path / "none") is source
    assert not (tmp_path / "none").exists()


def test_what_turns_out_too_large_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "estimate_bytes", lambda source: 1)
    source = photographs(tmp_path / "data")
    assert on_disk(source, 20_000, folder=tmp_path / "cache") is source
    assert files(tmp_path / "cache") == []


def test_a_full_disk_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    source = photographs(tmp_path / "data")
    monkeypatch.setattr(module, "_SPARE", 1 << 60)
    assert on_disk(source, PLENTY, folder=tmp_path / "cache") is source
    monkeypatch.setattr(module, "_SPARE", 0)

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "_write", full)
    assert on_disk(source, PLENTY, folder=tmp_path / "cache") is source
    assert "No space left" in caplog.text


def test_the_file_used_longest_ago_makes_room(tmp_path: Path) -> None:
    sources = [photographs(tmp_path / f"{i}") for i in range(3)]
    size = sum(image.nbytes for image in in_memory(sources[0], PLENTY).images)  # type: ignore[attr-defined]
    names = []
    for age, source in enumerate(sources[:2]):
        kept = on_disk(source, PLENTY, folder=tmp_path / "cache")
        assert mapped(kept).exists()
        names.append(mapped(kept).name)
        os.utime(mapped(kept), (age, age))
    on_disk(sources[0], PLENTY, folder=tmp_path / "cache")  # used again: now the younger of the two
    assert mapped(on_disk(sources[2], round(2.5 * size), folder=tmp_path / "cache")).exists()
    assert len(files(tmp_path / "cache")) == 2
    assert names[0] in files(tmp_path / "cache")


def test_sources_of_one_run_do_not_push_each_other_out(tmp_path: Path) -> None:
    train, validation = photographs(tmp_path / "train"), photographs(tmp_path / "validation", seed=1)
    size = sum(image.nbytes for image in in_memory(train, PLENTY).images)  # type: ignore[attr-defined]
    budget, folder = round(1.5 * size), tmp_path / "cache"
    for _ in range(2):
        kept = on_disk(train, budget, folder=folder)
        assert mapped(kept).exists()
        assert on_disk(validation, budget, beside=(kept, None), folder=folder) is validation
        assert files(folder) == [mapped(kept).name]
    assert mapped(on_disk(validation, budget, folder=folder)).exists()  # another run may


def test_another_version_decodes_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = photographs(tmp_path / "data")
    on_disk(source, PLENTY, folder=tmp_path / "cache")
    monkeypatch.setattr(module, "__version__", "99")
    on_disk(source, PLENTY, folder=tmp_path / "cache")
    assert len(files(tmp_path / "cache")) == 2


def test_remains_of_a_kill_are_cleared_away(tmp_path: Path) -> None:
    source = photographs(tmp_path / "data")
    kept = on_disk(source, PLENTY, folder=tmp_path / "cache")
    assert mapped(kept).exists()
    left = mapped(kept).parent / f".{mapped(kept).name}.abc.tmp"
    old, other = mapped(kept).parent / ".old.pixels.x.tmp", mapped(kept).parent / ".other.pixels.x.tmp"
    for path in (left, old, other):
        path.write_bytes(b"x")
    os.utime(old, (1, 1))
    mapped(kept).unlink()
    on_disk(source, PLENTY, folder=tmp_path / "cache")
    assert [path.exists() for path in (left, old, other)] == [False, False, True]


def test_an_unreadable_image_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    source = photographs(tmp_path / "data")
    Path(source.describe(3)).write_bytes(b"\xff\xd8\xff")
    with pytest.raises(ImageError, match="cannot be decoded"):
        on_disk(source, PLENTY, folder=tmp_path / "cache")
    assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".lock"]


def test_several_at_once_decode_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = photographs(tmp_path / "data")
    written = []
    write = module._write
    monkeypatch.setattr(module, "_write", lambda *args: written.append(1) or write(*args))
    results: list[Source] = []
    threads = [
        threading.Thread(target=lambda: results.append(on_disk(source, PLENTY, folder=tmp_path / "cache")))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(written) == 1
    for kept in results:
        assert_same(kept, source)


def test_what_is_in_memory_or_generated_is_left() -> None:
    made = Fractals(FractalConfig(classes=2, size=8, instances=2))
    held = in_memory(made, PLENTY)
    for source in (made, held, View(held, np.array([1]), "part")):
        assert on_disk(source, PLENTY) is source


def test_shrunk_images(tmp_path: Path) -> None:
    source = photographs(tmp_path / "data")
    small = Shrunk(source, 50)
    for index in range(len(source)):
        height, width = source[index].shape[:2]
        expected = (height, width) if min(height, width) <= 50 else small[index].shape[:2]
        assert small[index].shape[:2] == expected
        assert min(expected) == min(50, height, width)
        assert abs(expected[0] / expected[1] - height / width) < 0.02 * height / width
    assert small.fingerprint() != Shrunk(source, 51).fingerprint() != source.fingerprint()
    assert_same(on_disk(small, PLENTY, folder=tmp_path / "cache"), small)


def test_shrunk_jpegs_are_decoded_small(tmp_path: Path) -> None:
    y, x = np.mgrid[0:400, 0:600]
    smooth = np.stack([x * 255 // 600, y * 255 // 400, (x + y) * 255 // 1000], axis=2).astype(np.uint8)
    (tmp_path / "a").mkdir()
    Image.fromarray(smooth).save(tmp_path / "a" / "a.jpg", quality=95)
    source = open_folder(tmp_path).train
    assert source is not None
    decoded = read_image(tmp_path / "a" / "a.jpg", draft=(64, 64))
    assert decoded.shape == (100, 150, 3)
    small = Shrunk(source, 64)[0]
    assert small.shape == (64, 96, 3)
    assert np.array_equal(small, resample(decoded, (64, 96)))
    assert np.abs(small.astype(int) - resample(source[0], (64, 96))).mean() < 2
