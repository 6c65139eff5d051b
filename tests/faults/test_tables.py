"""Parquet files that claim, repeat or lack what they should not: one line each, within bounds of memory and time."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from faults.limited import READ, REFUSED, contents


def picture() -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (3, 2)).save(stream, "PNG")
    return stream.getvalue()


def written(table: pa.Table, described: bytes | None = None, **options: Any) -> bytes:
    """A small parquet file, `described` in the Hub's way."""
    stream = io.BytesIO()
    pq.write_table(table.replace_schema_metadata({"huggingface": described} if described else None), stream, **options)
    assert stream.tell() < 500_000
    return stream.getvalue()


def labelled(label: Any) -> pa.Table:
    return pa.table({"image": [picture()] * len(label), "label": label})


def check(folder: Path, files: dict[bytes, str]) -> None:
    """Holds every content against what its message must say; READ: it is read."""
    met = contents(folder, {f"{number}.parquet": content for number, content in enumerate(files)})
    for (outcome, message), match in zip(met.values(), files.values(), strict=True):
        assert outcome == (READ if match == READ else REFUSED), (match, outcome, message)
        assert match == READ or match in message, (match, message)


@pytest.mark.parametrize("compression", ["none", "zstd"])
def test_a_column_much_larger_than_its_file(tmp_path: Path, compression: str) -> None:
    size, rows = (100_000, 40_000) if compression == "none" else (50_000_000, 2_000)  # 4 and 100 GB of images
    repeated = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), pa.array([bytes(size)], pa.binary()))
    prefixes = pa.array([bytes(size // 8)] * 32, pa.binary())
    tables = {
        written(
            pa.table({"image": repeated, "label": [i % 2 for i in range(rows)]}),
            compression=compression,
            store_schema=False,
        ): "MiB of images",
    }
    if compression == "zstd":
        zeros = pa.table({"image": prefixes, "label": [0, 1] * 16})
        tables[written(zeros, compression="zstd", use_dictionary=False)] = "columns of more than"
        encodings = {"image": "DELTA_BYTE_ARRAY"}
        few = written(zeros, compression="zstd", use_dictionary=["label"], column_encoding=encodings)
        tables[few] = "MiB of images"
    check(tmp_path, tables)


def test_labels_much_larger_than_their_file(tmp_path: Path) -> None:
    long = pa.DictionaryArray.from_arrays(pa.array([0, 1] * 500, pa.int32()), pa.array(["x" * 5_000_000, "y"]))
    zeros = pa.table({"image": pa.array([None] * 3_000_000, pa.binary()), "label": pa.array([0] * 3_000_000)})
    files = {
        written(labelled(long), compression="zstd"): "a label of 5000000 characters",
        written(zeros): "3000000 rows in a file of",
    }
    check(tmp_path, files)


def test_labels_of_every_kind(tmp_path: Path) -> None:
    labels = {
        "are struct<a: int64>": pa.array([{"a": 0}, {"a": 1}]),
        "are double": pa.array([0.0, 1.0]),
        "are binary": pa.array([b"a", b"b"]),
        "are null": pa.array([None, None]),
        "train lacks 1 label;": pa.array([0, None]),
        "train lacks 1 label; ": pa.array(["cat", ""]),
        "labels from -1 to 0": pa.array([0, -1]),
    }
    files = {written(labelled(label)): match for match, label in labels.items()}
    files[written(labelled(pa.array([[0], [1, 2]])))] = READ  # several an image
    for kind in (pa.int64(), pa.uint64()):
        files[written(labelled(pa.array([10**9, 2**63 - 1], kind)))] = READ
    check(tmp_path, files)


def test_names_that_are_none(tmp_path: Path) -> None:
    def described(names: Any) -> bytes:
        return json.dumps({"info": {"features": {"label": {"_type": "ClassLabel", "names": names}}}}).encode()

    descriptions = {
        described(["a", "b"]): READ,
        described({"0": "a", "x": "b"}): READ,
        b'{"info": []}': READ,
        b"\xff\xfe": "description of the columns is damaged",
        b"[" * 100_000: "description of the columns is damaged",
        described(["a", "a"]): "two classes are called a",
        described(["a", "\ud800"]): "is not UTF-8",
    }
    check(tmp_path, {written(labelled([0, 1]), text): match for text, match in descriptions.items()})


def test_columns_paths_and_rows(tmp_path: Path) -> None:
    columns = [pa.array([picture()] * 2), pa.array([0, 1]), pa.array([1, 0])]
    twice = pa.Table.from_arrays(columns, ["image", "label", "label"])
    other = written(labelled([0, 1]).append_column("zzzz", pa.array([0, 1])), store_schema=False)
    paths = written(pa.table({"image": [{"bytes": picture(), "path": f"zzzz{i}"} for i in range(2)], "label": [0, 1]}))
    files = {
        written(twice): "2 columns are called label",
        other.replace(b"zzzz", b"\xff\xfe\xff\xfe"): "not a readable parquet file",
        paths.replace(b"zzzz", b"\xff\xfe\xff\xfe"): READ,  # they are not looked at
        written(pa.table({"image": pa.array([], pa.binary()), "label": pa.array([], pa.int64())})): "has no rows",
        written(pa.table({"image": pa.array([None, picture()], pa.binary()), "label": [0, 1]})): READ,
    }
    check(tmp_path, files)


def test_files_cut_anywhere(tmp_path: Path) -> None:
    whole = written(labelled([0, 1, 0, 1]))
    check(
        tmp_path, {whole[:length]: "not a readable parquet file" for length in range(0, len(whole), len(whole) // 20)}
    )
