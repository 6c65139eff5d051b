"""A list of images: CSV or TSV with a column of files, labels as `label_columns.py` has them, perhaps one of splits."""

from __future__ import annotations

import csv
import io
import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pc_csv

from vitascope.data.source import Int64, Labels, Splits, name_of_split, split_of_name
from vitascope.data.sources.classes import number_labels
from vitascope.data.sources.folder import FolderSource
from vitascope.data.sources.label_columns import ONE, SEVERAL, labels_of_rows
from vitascope.data.sources.table import OTHER_LABELS, choose, texts_of
from vitascope.errors import DataError
from vitascope.wording import count, printable, reason, some

FILES = ("file", "file_name", "filename", "path", "image", "image_path", "image_id", "id", "image_name", "fname")
VALID = "is_valid"
"""A column of true and false, as fastai has it."""
SPLITS = ("split", "subset", VALID)
_ENDINGS = (".jpg", ".jpeg", ".png")
"""What files of data that lists them by their identifiers end in."""


@dataclass(frozen=True, eq=False)
class ListedSource(FolderSource):
    """Images that a list names, in some of its rows."""

    kind = "FolderSource"
    table: str = ""
    """The list's file."""
    rows: Int64 = field(default_factory=lambda: np.zeros(0, dtype=np.int64), repr=False)
    """(n,) of the table."""

    def table_columns(self) -> tuple[str, ...]:
        return tuple(_read(Path(self.table)).column_names)

    def table_column(self, name: str) -> list[str] | None:
        table = _read(Path(self.table))
        return texts_of(table[name].take(pa.array(self.rows))) if name in table.column_names else None


def open_listed(
    path: str | Path,
    *,
    file: str | None = None,
    label: str | None = None,
    labels: str | None = None,
    split: str | None = None,
) -> Splits:
    """The images a CSV or TSV file lists, by the paths in it, which begin where it lies → its splits, else `train`.

    `file`, `label` and `split` name its columns, where they are not called as usual; `labels` the one that holds
    several, or A|B|C those of a label each. Classes as `classes.py` has them. Raises DataError, in one line, for a file
    that cannot be read, columns that are not plain, files that are not there.
    """
    where, table = printable(str(path)), _read(Path(path))
    rows, paths = _images(table, Path(path), where, file, split)
    others = [*FILES, *SPLITS, *filter(None, [file, split])]
    answers, names = labels_of_rows(table, others, where, label, labels)
    columns = {name: answers.take(pa.array(places)) for name, places in rows.items()}
    classes, numbers = number_labels(columns, names, where, OTHER_LABELS)
    return _sources(Path(path), {name: rows[name] for name in numbers}, paths, classes, numbers)


def open_images(path: str | Path, *, file: str | None = None, split: str | None = None) -> Splits:
    """The same without labels, whether there are any or not."""
    rows, paths = _images(_read(Path(path)), Path(path), printable(str(path)), file, split)
    return _sources(Path(path), rows, paths, (), {n: np.zeros(len(each), dtype=np.int64) for n, each in rows.items()})


def _images(
    table: Any, path: Path, where: str, file: str | None, split: str | None
) -> tuple[dict[str, Int64], list[str]]:
    """The rows of each split, and the path of every row; raises DataError."""
    names = table.column_names
    files = table[choose(names, where, "file", file, FILES)].cast(pa.string()).to_pylist()
    if not files:
        raise DataError(f"{where}: no rows, expected an image in each")
    usual = next((name for name in SPLITS if name in names), None)
    splits = ["train"] * len(files)
    if split or usual:
        splits = _splits(table, choose(names, where, "split", split or usual, ()), where)
    rows = {name: np.flatnonzero([each == name for each in splits]) for name in dict.fromkeys(splits)}
    return rows, _found(files, os.path.dirname(os.path.abspath(path)), where)


def _sources(
    path: Path, rows: dict[str, Int64], paths: list[str], classes: tuple[str, ...], labels: dict[str, Labels]
) -> Splits:
    stem = path.resolve().stem
    return Splits(
        **{
            name: ListedSource(
                name=stem if list(rows) == ["train"] else name_of_split(stem, name),
                root=os.path.dirname(os.path.abspath(path)),
                classes=classes,
                labels=labels[name],
                paths=tuple(paths[i] for i in places),
                table=os.path.abspath(path),
                rows=places,
            )
            for name, places in rows.items()
        }
    )


def _read(path: Path) -> Any:
    """The table, files and splits as texts; raises DataError."""
    try:
        with path.open("rb") as stream:
            head = stream.readline().decode("utf-8-sig")
        separator = max("\t;,", key=head.count)  # the comma where there is none of them
        try:
            table = _table(path, separator)
        except pa.ArrowInvalid:
            if (widened := _widened(path, separator)) is None:
                raise
            table = _table(widened, separator)
        if any(map(pa.types.is_binary, table.schema.types)):
            raise ValueError("letters that are no UTF-8")
        return table
    except (OSError, ValueError, csv.Error, pa.ArrowException) as error:
        remedy = "expected CSV with a header, in UTF-8"
        raise DataError(f"{printable(str(path))}: cannot be read ({reason(error)}); {remedy}") from error


_MOST_CELLS = 10_000_000
"""Of a file whose rows are filled up to the longest: a short file may have one long row and many short ones."""


def _table(file: Path | io.BytesIO, separator: str) -> Any:
    """Columns of one name are called NAME, NAME.1, …"""
    texts = dict.fromkeys((*FILES, *SPLITS, *SEVERAL), pa.string())
    table = pc_csv.read_csv(
        file,
        parse_options=pc_csv.ParseOptions(delimiter=separator, newlines_in_values=True),
        convert_options=pc_csv.ConvertOptions(column_types=texts, null_values=[]),
    )
    seen, names = Counter[str](), list[str]()
    taken = set(table.column_names)
    for name in table.column_names:
        while (called := f"{name}.{seen[name]}" if seen[name] else name) in taken and seen[name]:
            seen[name] += 1
        names.append(called)
        taken.add(called)
        seen[name] += 1
    return table.rename_columns(names)


def _widened(path: Path, separator: str) -> io.BytesIO | None:
    """The file with further columns where rows have more cells than the header, whose last column is one of labels."""
    with path.open(newline="", encoding="utf-8-sig") as stream:
        rows = [row for row in csv.reader(stream, delimiter=separator) if row]
    sizes = [len(row) for row in rows]
    if min(sizes) < sizes[0] or rows[0][-1] not in ONE + SEVERAL or max(sizes) * len(rows) > _MOST_CELLS:
        return None
    names = [*rows[0], *(f"{rows[0][-1]}.{number}" for number in range(1, max(sizes) - sizes[0] + 1))]
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=separator).writerows(
        [names, *(row + [""] * (max(sizes) - len(row)) for row in rows[1:])]
    )
    return io.BytesIO(text.getvalue().encode())


def _splits(table: Any, column: str, where: str) -> list[str]:
    words = [str(word) for word in table[column].to_pylist()]
    truths = {"true": "validation", "1": "validation", "false": "train", "0": "train"} if column == VALID else {}
    known = {word: truths.get(word.lower()) or split_of_name(word) for word in set(words)}
    if strange := sorted(word for word, split in known.items() if split is None):
        raise DataError(f"{where}: column {column!r} says {some(strange, 3)}, expected train, validation or test")
    return [known[word] or "" for word in words]


def _found(files: list[str], root: str, where: str) -> list[str]:
    """Paths below `root`, or whole ones, with an ending where the list leaves it out; DataError if some are absent."""
    for ending in ("", *_ENDINGS):
        paths = [f"{file}{ending}" for file in files]
        if os.path.isfile(os.path.join(root, paths[0])):
            break
    else:
        paths = files
    absent = [path for path in paths if not os.path.isfile(os.path.join(root, path))]
    if absent:
        told = f"{count(len(absent), 'file')} of {len(paths):,} not found: {some(absent, 2)}"
        raise DataError(f"{where}: {told}; paths begin at {printable(root)}, correct them or the column (:file=COLUMN)")
    return paths
