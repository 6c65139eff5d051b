"""Labels as data sets write them, for every kind of data that has its own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from vitascope.data.sources.classes import number_labels
from vitascope.errors import DataError


def numbered(names: tuple[str, ...] | None = None, **splits: Any) -> tuple[tuple[str, ...], dict[str, list[int]]]:
    classes, labels = number_labels(splits, names, "data")
    assert all(rows.dtype == np.int64 for rows in labels.values())
    return classes, {split: rows.tolist() for split, rows in labels.items()}


def refused(match: str, names: tuple[str, ...] | None = None, **splits: Any) -> None:
    with pytest.raises(DataError, match=match) as caught:
        number_labels(splits, names, "data")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200


def test_numbers_without_names_are_classes_called_by_them(caplog: pytest.LogCaptureFixture) -> None:
    assert numbered(train=[2, 0, 1, 2]) == (("0", "1", "2"), {"train": [2, 0, 1, 2]})
    assert not caplog.text
    # A class may lack images in the small split, and even in the large one.
    assert numbered(train=[0, 1, 2], validation=[2]) == (("0", "1", "2"), {"train": [0, 1, 2], "validation": [2]})
    assert numbered(train=[0, 2], validation=[1]) == (("0", "1", "2"), {"train": [0, 2], "validation": [1]})
    assert not caplog.text
    # Never a class without images, and in the order of the numbers, not of their digits.
    assert numbered(train=[900, 5], test=[0, 10]) == (("0", "5", "10", "900"), {"train": [3, 1], "test": [0, 2]})
    assert "labels are 4 numbers from 0 to 900, not 0 to 3; each is a class called by its number" in caplog.text


@pytest.mark.parametrize("numbers", [(2435099, 5219404), (10**9, 10**9 + 1), (2**63, 2**64 - 1)])
def test_identifiers_cost_no_memory(numbers: tuple[int, int]) -> None:
    kind = pa.uint64() if numbers[1] >= 2**63 else pa.int64()
    expected = (tuple(map(str, numbers)), {"train": [1, 0, 1]})
    assert numbered(train=pa.array([numbers[1], numbers[0], numbers[1]], kind)) == expected


def test_splits_whose_columns_differ_in_width() -> None:
    columns = {"train": pa.array([0, 300], pa.int64()), "test": pa.array([0], pa.uint8())}
    assert numbered(**columns) == (("0", "300"), {"train": [0, 1], "test": [0]})


def test_names_of_the_data_may_lack_images_but_not_silently(caplog: pytest.LogCaptureFixture) -> None:
    names = ("ant", "bee", "cow")
    assert numbered(names, train=[0, 1], test=[2]) == (names, {"train": [0, 1], "test": [2]})
    assert not caplog.text
    assert numbered(names, train=[0, 2]) == (names, {"train": [0, 2]})
    assert numbered(names, train=["cow", "ant"]) == (names, {"train": [2, 0]})
    assert caplog.text.count("classes without images: bee") == 2


def test_dictionaries_and_chunks() -> None:
    chunks = [pa.array(["b", "a"]).dictionary_encode(), pa.array(["c", "a"]).dictionary_encode()]
    assert numbered(train=pa.chunked_array(chunks)) == (("a", "b", "c"), {"train": [1, 0, 2, 0]})


def test_hidden_labels_leave_a_split_out(caplog: pytest.LogCaptureFixture) -> None:
    assert numbered(("x", "y"), train=[0, 1], test=[-1, -1]) == (("x", "y"), {"train": [0, 1]})
    assert "the labels of test are hidden" in caplog.text
    refused("all labels are −1", test=[-1])
    refused("labels from -1 to 1, expected 0 or more", train=[-1, 1])


def test_what_is_no_label() -> None:
    refused("are list<item: int64>, expected integers or strings", train=pa.array([[[0]], [[1, 2]]]))
    refused("one split has lists of labels, another single ones", train=[[0]], test=[0])
    refused("no image has a label", train=pa.array([[], None], pa.list_(pa.int64())))
    refused("train lacks 1 label;", train=pa.array([["a", None], ["b"]]))
    refused("are struct<a: int64>", train=pa.array([{"a": 1}]))
    refused("are double", train=pa.array([0.0, 1.0]))
    refused("are null", train=pa.array([None, None]))
    refused("are dictionary|are list", train=pa.DictionaryArray.from_arrays(pa.array([0]), pa.array([[1]])))
    refused("train lacks 2 labels;", train=pa.array([None, "", "cat"]))
    refused("train lacks 1 label;", train=pa.DictionaryArray.from_arrays([0, 1], pa.array(["a", None])))
    refused("partly names", train=[0, "cat"])
    refused("strings in one split and integers in another", train=["cat"], test=[0])
    refused("labels mouse are not among its 2 class names", ("cat", "dog"), train=["cat", "mouse"])
    refused("are not among its 1 class names", ("cat",), train=["x" * 1000 + str(i) for i in range(20)])
    refused("labels from 0 to 2, expected 0 to 1 for its 2 classes", ("cat", "dog"), train=[0, 2])
    broken = pa.StringArray.from_buffers(1, pa.py_buffer(np.array([0, 2], np.int32)), pa.py_buffer(b"\xff\xfe"))
    refused("the labels of train are damaged", train=broken)


def test_lists_are_several_labels_or_one_each() -> None:
    given = {"train": pa.array([["b", "a"], None, []]), "test": pa.array([["b"]])}
    classes, labels = number_labels(given, None, "here")
    assert classes == ("a", "b")
    assert labels["train"].tolist() == [[True, True], [False, False], [False, False]]
    assert labels["test"].tolist() == [[False, True]]
    assert labels["train"].dtype == np.bool_
    assert number_labels({"train": [["b"], ["a"]]}, None, "here")[1]["train"].tolist() == [1, 0]
    assert number_labels({"train": [[2], [0, 1]]}, ("x", "y", "z"), "here")[0] == ("x", "y", "z")
    empty = {"train": [[10], [2, 10]], "test": pa.array([[]], pa.list_(pa.int64()))}
    assert number_labels(empty, None, "here")[0] == ("2", "10")
    assert number_labels(empty, None, "here")[1]["test"].shape == (1, 2)


def test_names_that_are_none() -> None:
    refused("two classes are called ant", ("ant", "bee", "ant"), train=[0, 1, 2])
    refused("is not UTF-8", ("ant", "\udcff"), train=[0, 1])
