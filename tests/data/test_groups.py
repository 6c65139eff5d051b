"""What belongs together: copies and what the user says, by a column or by a pattern of the paths."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pictures import png, put
from tiny import image_folder
from vitascope.data.copies import find_copies
from vitascope.data.groups import group_keys, joined, together
from vitascope.data.holdout import stratified_holdout
from vitascope.data.open import open_data
from vitascope.data.source import Int64, Source, Splits, View
from vitascope.errors import DataError


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VITASCOPE_CACHE", str(tmp_path / "cache"))


def train_of(splits: Splits) -> Source:
    assert splits.train is not None
    return splits.train


def same(keys: Int64) -> list[int]:
    """Numbers by first occurrence, so that groups can be compared."""
    seen: dict[int, int] = {}
    return [seen.setdefault(key, len(seen)) for key in keys.tolist()]


def test_a_column_of_a_list(tmp_path: Path) -> None:
    for i in range(4):
        put(tmp_path / f"{i}.png", 40 * i)
    rows = "file,label,patient,split\n0.png,a,7,train\n1.png,b,8,test\n2.png,a,7,train\n3.png,b,8,train\n"
    (tmp_path / "list.csv").write_text(rows)
    splits = open_data(str(tmp_path / "list.csv"))
    assert same(group_keys(train_of(splits), "patient")) == [0, 0, 1]
    assert splits.test is not None
    assert group_keys(splits.test, "patient")[0] == group_keys(train_of(splits), "patient")[2]
    part = View(train_of(splits), np.array([2, 0]))
    assert group_keys(part, "patient").tolist() == group_keys(train_of(splits), "patient")[[2, 0]].tolist()
    assert train_of(splits).kind == "FolderSource", "features and pixels are kept as of the folder"


def test_a_column_of_parquet(tmp_path: Path) -> None:
    images = [{"bytes": png(i), "path": None} for i in range(3)]
    pq.write_table(
        pa.table({"image": images, "label": ["a", "b", "a"], "video": ["x", "y", "x"]}), tmp_path / "t.parquet"
    )
    source = train_of(open_data(str(tmp_path / "t.parquet")))
    assert same(group_keys(source, "video")) == [0, 1, 0]
    with pytest.raises(DataError, match="or a column of image, label, video"):
        group_keys(source, "vid(eo)_")


@pytest.mark.parametrize(
    ("pattern", "groups"), [(r"p(\d+)_", [0, 1, 0]), (r"p\d+", [0, 1, 0]), (r"(ant|bee)/", [0, 0, 1])]
)
def test_a_pattern_of_the_path_below_the_data(pattern: str, groups: list[int], tmp_path: Path) -> None:
    for name in ("ant/p1_a", "ant/p2_a", "bee/p1_b"):
        put(tmp_path / "p3_data" / f"{name}.png", len(name))
    assert same(group_keys(train_of(open_data(str(tmp_path / "p3_data"))), pattern)) == groups


def test_what_it_does_not_say_is_refused_with_an_example(tmp_path: Path) -> None:
    for i, name in enumerate(("ant/p1_a", "ant/other", "bee/p1_b")):
        put(tmp_path / "data" / f"{name}.png", i)
    source = train_of(open_data(str(tmp_path / "data")))
    said = r"does not say the group of 1 image of 3, such as ant/other.png; expected a regular expression"
    with pytest.raises(DataError, match=said):
        group_keys(source, r"p(\d+)_")
    with pytest.raises(DataError, match="no column of the data and no regular expression"):
        group_keys(source, "p(")
    with pytest.raises(DataError, match="does not say the group of 3 images of 3"):
        group_keys(source, "(x)?a|(b)")
    (tmp_path / "list.csv").write_text("file,label,patient\ndata/ant/p1_a.png,a,\ndata/bee/p1_b.png,b,2\n")
    with pytest.raises(
        DataError, match=r"group of 1 image of 2, such as data/ant/p1_a.png; expected a value of that column"
    ):
        group_keys(train_of(open_data(str(tmp_path / "list.csv"))), "patient")


def test_two_groupings_become_one_where_they_meet() -> None:
    first, second = np.array([0, 0, 1, 2, 3, 9]), np.array([5, 6, 6, 7, 8, 7])
    assert same(joined(first, second)) == [0, 0, 0, 1, 2, 1]
    rng = np.random.default_rng(0)
    for _ in range(20):
        a, b = rng.integers(0, 12, 30), rng.integers(0, 12, 30)
        linked = (a[:, None] == a) | (b[:, None] == b)
        reach = np.linalg.matrix_power(linked.astype(float), 30) > 0
        assert ((joined(a, b)[:, None] == joined(a, b)) == reach).all()


def test_a_hold_out_keeps_groups_and_copies_whole(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    image_folder(tmp_path / "data" / "train", 60)
    image_folder(tmp_path / "data" / "test", 6, seed=1)
    for i, path in enumerate(sorted((tmp_path / "data").rglob("*.png"))):
        path.rename(path.with_name(f"plant{i % 11}-{i}.png"))
    first, *_, last = sorted((tmp_path / "data" / "train").rglob("*.png"))
    last.write_bytes(first.read_bytes())  # a copy joins two plants
    splits = open_data(str(tmp_path / "data"))
    source = train_of(splits)
    copies = find_copies(splits.present().values())
    side, keys = together(splits, copies, r"plant(\d+)-")
    assert keys is not None
    rest, held = stratified_holdout(source, 0.3, 0, side)
    for groups in (keys, copies.of(source)):
        assert not set(groups[rest.indices].tolist()) & set(groups[held.indices].tolist())
    assert len(set(side.tolist())) == 10
    assert "6 of 6 test images are of groups" in caplog.text
    alone, none = together(splits, copies)
    assert none is None
    assert (alone == copies.of(source)).all()
