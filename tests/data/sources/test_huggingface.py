"""The Hub's data sets, through an imitation of the `datasets` library: no network, no extra package."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pictures import png
from vitascope.data.sources.huggingface import open_huggingface, open_images
from vitascope.errors import ConfigError, DataError


class Dataset:
    """What the library's Dataset has and this package uses."""

    def __init__(self, images: list[dict[str, Any]], labels: list[int], names: list[str]) -> None:
        self.data = pa.table({"image": images, "label": labels})
        described = {"image": {"_type": "Image"}, "label": {"_type": "ClassLabel", "names": names}}
        self.features = types.SimpleNamespace(to_dict=lambda: described)

    def __len__(self) -> int:
        return int(self.data.num_rows)


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[str, str | None]]:
    (tmp_path / "on disk.png").write_bytes(png(50))
    loaded = {
        "train": Dataset(
            [{"bytes": png(10), "path": None}, {"bytes": None, "path": str(tmp_path / "on disk.png")}],
            [1, 0],
            ["cat", "ape"],
        ),
        "validation": Dataset([{"bytes": png(20), "path": None}], [0], ["cat", "ape"]),
        "test": Dataset([{"bytes": png(30), "path": None}], [-1], ["cat", "ape"]),
        "unsupervised": Dataset([{"bytes": png(40), "path": None}], [0], ["cat", "ape"]),
    }
    asked: list[tuple[str, str | None]] = []

    def load_dataset(name: str, config: str | None) -> dict[str, Dataset]:
        asked.append((name, config))
        if name == "no/such":
            raise ConnectionError("two\nlines")
        return loaded

    module = types.ModuleType("datasets")
    module.load_dataset = load_dataset  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "datasets", module)
    return asked


def test_splits_names_and_images(library: list[tuple[str, str | None]], caplog: pytest.LogCaptureFixture) -> None:
    splits = open_huggingface("owner/name:small")
    assert library == [("owner/name", "small")]
    assert list(splits.present()) == ["train", "validation"]
    assert "unsupervised left out" in caplog.text
    assert "hidden" in caplog.text
    assert splits.classes == ("cat", "ape")
    assert splits.train is not None
    assert splits.train.labels.tolist() == [1, 0]
    assert [int(splits.train[i][0, 0, 0]) for i in range(2)] == [10, 50]
    assert splits.train.describe(1) == "owner/name train[1]"


@pytest.mark.usefixtures("library")
def test_what_is_refused() -> None:
    for name, match in {
        "no/such": r"two lines\); check",
        "a/b/c": "expected hf:",
        "": "expected hf:",
        "/x": "expected hf:",
    }.items():
        with pytest.raises(DataError, match=match) as caught:
            open_huggingface(name)
        assert "\n" not in str(caught.value)
    with pytest.raises(DataError, match="no column 'x' for label="):
        open_huggingface("owner/name", label="x")


def test_labels_are_numbered_as_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rules are in tests/data/sources/test_classes.py."""
    module = types.ModuleType("datasets")
    monkeypatch.setitem(sys.modules, "datasets", module)

    def opened(labels: list[Any]) -> tuple[str, ...]:
        dataset = Dataset([{"bytes": png(i), "path": None} for i in range(len(labels))], labels, [])
        module.load_dataset = lambda *_: {"train": dataset}  # type: ignore[attr-defined]
        return open_huggingface("owner/name").classes

    assert opened([10**9, 5]) == ("5", "1000000000")
    assert opened([[0], [1, 2]]) == ("0", "1", "2")
    with pytest.raises(DataError, match="the labels are double"):
        opened([0.5, 1.5])


@pytest.mark.parametrize("broken", [None, "raises"])
def test_without_the_library(broken: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if broken:
        (tmp_path / "datasets.py").write_text("raise RuntimeError('operator does not exist')")
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, "datasets", raising=False)
    else:
        monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ConfigError, match=r"pip install 'vitascope\[datasets\]'"):
        open_huggingface("owner/name")


def test_without_labels_hidden_ones_do_not_matter(library: list[tuple[str, str | None]]) -> None:
    present = open_images("owner/name").present()
    assert {name: (len(source), source.classes) for name, source in present.items()} == {
        "train": (2, ()),
        "validation": (1, ()),
        "test": (1, ()),
    }
    assert int(present["test"][0][0, 0, 0]) == 30
