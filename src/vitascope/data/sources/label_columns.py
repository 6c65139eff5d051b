"""Which labels the rows of a CSV or TSV have, in the ways that people write one or several.

============================  ========================================================================================
`label`, `class`, `target` …  one label an image; several in a cell with ; or | between them
`labels`, `tags`              several in a cell: with the first of ; | , or blanks between them that the column has,
                              or as Python writes lists; an empty cell is an image with none of the labels
`label`, `label2`, …          further columns of such a name hold further labels, and so do further cells of a row
`cat`, `dog`, …               without any of those: two or more columns of 0 and 1, a label each
============================  ========================================================================================

Where every image has one label, however written, it is data with one label an image.
"""

from __future__ import annotations

import ast
import logging
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vitascope.data.sources.table import choose
from vitascope.errors import DataError
from vitascope.wording import some

log = logging.getLogger(__name__)

ONE = ("label", "class", "target", "category", "label_name", "class_name")
SEVERAL = ("labels", "tags")
_FURTHER = re.compile(rf"({'|'.join((*ONE, *SEVERAL))})[ ._-]?\d+")


def labels_of_rows(
    table: Any, others: Sequence[str], where: str, label: str | None, labels: str | None
) -> tuple[Any, tuple[str, ...] | None]:
    """The label of every row, or lists of them, as a pyarrow array, and the labels' names where columns are called so.

    `label` names a column as `ONE` would, `labels` one as `SEVERAL`, or the columns of a label each as A|B|C; `others`
    are columns of something else. Raises DataError; `UnlabelledError` where no column can be one of labels.
    """
    if label and labels:
        raise DataError(f"{where}: label={label} and labels={labels}, expected one of them; leave one out")
    names = [name for name in table.column_names if name not in others]
    if labels:
        asked = [choose(table.column_names, where, "labels", each, ()) for each in labels.split("|")]
        if len(asked) == 1:
            return _cells(table[asked[0]], where, plural=True), None
        return _columns(table, asked)
    further = [name for name in names if _FURTHER.fullmatch(name)]
    if label is None and not set(ONE + SEVERAL).intersection(names):
        if further:
            stem = _FURTHER.fullmatch(further[0])[1]  # type: ignore[index]
            return _columns(table, [name for name in further if name.startswith(stem)])
        if len(marks := [name for name in names if _is_marks(table[name])]) > 1:
            log.info("%s: a label each are the columns of 0 and 1: %s", where, some(marks, 6))
            return _marked(table, marks)
    column = choose(table.column_names, where, "label", label, ONE + SEVERAL)
    beside = [name for name in further if name.startswith(column)] if label is None else []
    return _columns(table, [column, *beside]) if beside else (_cells(table[column], where, column in SEVERAL), None)


def _cells(column: Any, where: str, plural: bool) -> Any:
    """A column as it is, or as lists where a cell holds several labels or, of a plural name, none."""
    if not pa.types.is_string(column.type):
        return column
    cells = [cell.strip() for cell in column.to_pylist()]
    written = [cell for cell in cells if cell]
    if written and all(cell[0] == "[" and cell[-1] == "]" for cell in written):
        return _lists([_literal(cell, where) if cell else [] for cell in cells])
    separators = (";", "|", ",", " ") if plural else (";", "|")
    between = next((each for each in separators if any(each in cell for cell in written)), None)
    if between is None and not (plural and len(written) < len(cells)):
        return column
    return _lists([cell.split(between) if between else [cell] for cell in cells])


def _literal(cell: str, where: str) -> list[str]:
    try:
        return [str(each) for each in ast.literal_eval(cell)]
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        raise DataError(f"{where}: labels {some([cell])}, expected a list such as ['cat', 'dog']; mend it") from None


def _columns(table: Any, names: Sequence[str]) -> tuple[Any, tuple[str, ...] | None]:
    """Columns of a label each, or of one label after another."""
    if all(_is_marks(table[name]) for name in names):
        return _marked(table, names)
    cells = (map(str, table[name].to_pylist()) for name in names)
    return _lists([list(row) for row in zip(*cells, strict=True)]), None


def _lists(rows: list[list[str]]) -> Any:
    """Lists of texts, or of whole numbers where all are; empty ones are none."""
    rows = [[each.strip() for each in row if each.strip()] for row in rows]
    if all(each.isdecimal() and len(each) < 19 for row in rows for each in row) and any(rows):
        return pa.array([[int(each) for each in row] for row in rows], pa.list_(pa.int64()))
    return pa.array(rows, pa.list_(pa.string()))


def _is_marks(column: Any) -> bool:
    """Whether a column holds nothing but 0 and 1, or false and true."""
    if pa.types.is_boolean(column.type):
        return True
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        return False
    return bool(pc.all(pc.is_in(column, pa.array([0, 1], column.type))).as_py())


def _marked(table: Any, names: Sequence[str]) -> tuple[Any, tuple[str, ...]]:
    """Lists of the columns in which a row has 1."""
    has = np.stack([table[name].cast(pa.bool_()).to_numpy() for name in names], axis=1)
    rows, labels = np.nonzero(has)
    ends = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(has)))])
    return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), pa.array(names).take(pa.array(labels))), tuple(names)
