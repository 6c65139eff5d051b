"""Several labels an image, as people's tables have them."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pictures import png, put
from vitascope.data.check import check_data
from vitascope.data.labels import indicator, label_sets, set_name, single_labels
from vitascope.data.open import open_data
from vitascope.data.source import Source
from vitascope.errors import DataError, UnlabelledError

WANTED = [("cat", "dog"), ("dog",), (), ("cat",)]
"""What the four images show."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for i in range(4):
        put(tmp_path / f"{i}.png", 40 * i)
    return tmp_path


def opened(folder: Path, text: str, options: str = "") -> Source:
    (folder / "labels.csv").write_text(text)
    train = open_data(f"{folder / 'labels.csv'}{options}").train
    assert train is not None
    return train


def shown(source: Source) -> list[tuple[str, ...]]:
    return [tuple(source.classes[k] for k in each) for each in label_sets(source.labels)]


WAYS = {
    "semicolons": "file,label\n0.png,cat;dog\n1.png,dog\n2.png,\n3.png,cat\n",
    "bars": "file,label\n0.png,cat | dog\n1.png,dog\n2.png,\n3.png,cat\n",
    "blanks in tags": "image_name,tags\n0,cat dog\n1,dog\n2,\n3,cat\n",
    "commas in tags": 'file,tags\n0.png,"cat, dog"\n1.png,dog\n2.png,\n3.png,cat\n',
    "lists of pandas": "file,labels\n0.png,\"['cat', 'dog']\"\n1.png,['dog']\n2.png,[]\n3.png,['cat']\n",
    "further columns": "file,label,label2\n0.png,cat,dog\n1.png,dog,\n2.png,,\n3.png,,cat\n",
    "numbered columns": "file,label_1,label_2\n0.png,cat,dog\n1.png,dog,\n2.png,,\n3.png,cat,\n",
    "columns of one name": "file,label,label\n0.png,cat,dog\n1.png,dog,\n2.png,,\n3.png,cat,\n",
    "longer rows": "file,label\n0.png,cat,dog\n1.png,dog\n2.png,\n3.png,cat\n",
    "0 and 1": "file,cat,dog\n0.png,1,1\n1.png,0,1\n2.png,0,0\n3.png,1,0\n",
    "0.0 and 1.0": "image,cat,dog\n0,1.0,1.0\n1,0.0,1.0\n2,0.0,0.0\n3,1.0,0.0\n",
    "false and true": "file,cat,dog,is_valid\n0.png,True,True,False\n1.png,0,1,0\n2.png,False,False,0\n3.png,1,0,0\n",
    "semicolons between": "file;label\n0.png;cat|dog\n1.png;dog\n2.png;\n3.png;cat\n",
}
ASKED = {
    ":labels=shows": 'file,shows\n0.png,"cat dog"\n1.png,dog\n2.png,\n3.png,cat\n',
    ":labels=cat|dog": "file,age,cat,dog,sick\n0.png,1,1,1,0\n1.png,0,0,1,1\n2.png,0,0,0,1\n3.png,1,1,0,0\n",
    ":labels=first|second": "file,first,second\n0.png,cat,dog\n1.png,dog,\n2.png,,\n3.png,cat,\n",
    ":label=shows": "file,shows,tags\n0.png,cat;dog,x\n1.png,dog,x\n2.png,,y\n3.png,cat,y\n",
}


@pytest.mark.parametrize("text", WAYS.values(), ids=WAYS)
def test_every_way_says_the_same(text: str, folder: Path) -> None:
    source = opened(folder, text)
    assert source.classes == ("cat", "dog")
    assert shown(source) == WANTED
    assert source.labels.dtype == np.bool_
    assert source.several
    assert source.counts().tolist() == [2, 2]
    assert [array.tolist() for array in source.pairs()] == [[0, 0, 1, 3], [0, 1, 1, 0]]


@pytest.mark.parametrize(("options", "text"), ASKED.items(), ids=ASKED)
def test_columns_that_are_asked_for(options: str, text: str, folder: Path) -> None:
    assert shown(opened(folder, text, options)) == WANTED


def test_lists_in_parquet(tmp_path: Path) -> None:
    images = pa.array([{"bytes": png(i), "path": None} for i in range(4)])
    for name, column in {"labels": pa.list_(pa.string()), "tags": pa.large_list(pa.large_string())}.items():
        table = pa.table({"image": images, name: pa.array([list(each) for each in WANTED], column)})
        pq.write_table(table, tmp_path / "train.parquet")
        train = open_data(str(tmp_path / "train.parquet")).train
        assert train is not None
        assert shown(train) == WANTED
    long = pa.table({"image": images, "labels": pa.array([["x" * 300]] * 4)})
    pq.write_table(long, tmp_path / "train.parquet")
    with pytest.raises(DataError, match="a label of 300 characters"):
        open_data(str(tmp_path / "train.parquet"))


@pytest.mark.parametrize(
    "text",
    [
        "file,cat,dog\n0.png,1,0\n1.png,0,1\n3.png,1,0\n",
        "file,tags\n0.png,cat\n1.png,dog\n3.png,cat\n",
        "file,labels\n0.png,['cat']\n1.png,['dog']\n3.png,['cat']\n",
    ],
)
def test_one_label_each_is_data_with_one_label(text: str, folder: Path) -> None:
    source = opened(folder, text)
    assert not source.several
    assert source.labels.tolist() == single_labels(source).tolist() == [0, 1, 0]
    assert indicator(source.labels, 2).tolist() == [[True, False], [False, True], [True, False]]


def test_whole_numbers_are_classes_in_their_order_and_names_may_have_blanks(folder: Path) -> None:
    assert opened(folder, "file,labels\n0.png,10 2\n1.png,2\n").classes == ("2", "10")
    assert opened(folder, "file,label\n0.png,big cat\n1.png,dog\n").classes == ("big cat", "dog")
    assert opened(folder, "file,tags\n0.png,big cat;dog\n1.png,dog\n").classes == ("big cat", "dog")


def test_a_label_without_images_stays_and_is_told(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = opened(folder, "file,cat,dog,elk\n0.png,1,1,0\n1.png,0,1,0\n")
    assert source.classes == ("cat", "dog", "elk")
    assert "classes without images: elk" in caplog.text


@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        ("file,label\n0.png,cat\n", ":label=label,labels=label", "expected one of them"),
        ("file,label\n0.png,cat\n", ":labels=tags", "no column 'tags' for labels="),
        ("file,tags\n0.png,\n", "", "no image has a label"),
        ("file,tags\n0.png,[open(]\n", "", r"expected a list such as \['cat', 'dog'\]"),
        ("file,label\n0.png,cat\n1.png,\n", "", "lacks 1 label"),
        ("file,cat,age\n0.png,1,7\n", "", "no label column among file, cat, age"),
    ],
)
def test_what_cannot_be_is_one_line(text: str, options: str, said: str, folder: Path) -> None:
    with pytest.raises((DataError, UnlabelledError), match=said) as caught:
        opened(folder, text, options)
    assert "\n" not in str(caught.value)


def test_contents_tell_labels_apart_and_check_counts_them(folder: Path) -> None:
    one, other = (opened(folder, f"file,tags\n0.png,cat;dog\n1.png,{last}\n") for last in ("dog", "cat"))
    assert one.contents() != other.contents()
    put(folder / "1.png", 0)  # now a copy of the first
    report = check_data(str(folder / "labels.csv"))
    assert report.splits["train"].per_class == {"cat": 2, "dog": 1}
    assert ["keep one label" in finding.what for finding in report.problems if finding.kind == "conflict"] == [True]
    assert any("under cat and cat with dog" in finding.what for finding in report.problems)


def test_who_needs_one_label_says_so(folder: Path) -> None:
    source = opened(folder, WAYS["0 and 1"])
    with pytest.raises(DataError, match=r"labels.*several labels, and few-shot learning is for one label an image"):
        single_labels(source, "few-shot learning")


def test_what_people_call_labels() -> None:
    assert set_name((0, 2), ("a", "b", "c")) == "a with c"
    assert set_name((), ("a", "b", "c")) == "no label"


def test_a_table_of_many_rows_is_read_at_once(tmp_path: Path) -> None:
    put(tmp_path / "a.png")
    with (tmp_path / "many.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["file", *(f"label {k}" for k in range(12))])
        rows.writerows(["a.png", *((i >> k) & 1 for k in range(12))] for i in range(4096))
    train = open_data(str(tmp_path / "many.csv")).train
    assert train is not None
    assert (train.labels == (np.arange(4096)[:, None] >> np.arange(12)) & 1).all()
