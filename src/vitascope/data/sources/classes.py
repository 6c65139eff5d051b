"""Labels as data sets write them → classes and their numbers: the one place that decides, for every kind of data.

==============  ======================================================================================================
texts           classes are those that occur in any split, sorted; or the data's list of names, which must hold them
whole numbers   with a list of names, places in it (from 0); without one, every number that occurs in any split is a
                class called by that number, in their order: identifiers and gaps cost nothing and make no class
                without images; logged unless they are 0 … k−1
booleans        0 and 1
==============  ======================================================================================================

Negative numbers, missing and empty labels are refused, and so is a list of names that has one twice; names of it that
no split has images of stay classes and are logged. There are never more classes than images or names.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from vitascope.data.source import Int64
from vitascope.errors import DataError
from vitascope.wording import count, reason, some

log = logging.getLogger(__name__)


def label_kind(kind: Any, where: str, remedy: str) -> Any:
    """The pyarrow type of single labels in a column of type `kind`; DataError for lists, structs, floats and others."""
    import pyarrow as pa

    value = kind.value_type if pa.types.is_dictionary(kind) else kind
    checks = (pa.types.is_integer, pa.types.is_boolean, pa.types.is_string, pa.types.is_large_string)
    if not any(check(value) for check in checks):
        raise DataError(
            f"{where}: the labels are {some([str(value)])}, expected integers or strings, one an image; {remedy}"
        )
    return value


def number_labels(
    columns: Mapping[str, Any], names: tuple[str, ...] | None, where: str, remedy: str = "mend them"
) -> tuple[tuple[str, ...], dict[str, Int64]]:
    """Labels by split (pyarrow or other arrays) and the data's own class names → (classes, int64 numbers by split).

    The table above says how. Splits of which all labels are −1, the Hub's mark for hidden ones, are left out, in the
    log. Raises DataError, in one line that ends in `remedy` where the labels are of no use.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    plain: dict[str, Any] = {}
    for split, given in columns.items():
        try:
            column = given if isinstance(given, pa.Array | pa.ChunkedArray) else pa.array(given)
        except (pa.ArrowException, ValueError):
            raise DataError(f"{where}: labels are partly names and partly whole numbers; make them alike") from None
        value = label_kind(column.type, where, remedy)
        try:
            column.validate(full=True)
            plain[split] = column if column.type == value else column.cast(value)
        except pa.ArrowException as error:
            raise DataError(f"{where}: the labels of {split} are damaged ({reason(error)}); fetch them again") from None
        missing = plain[split].null_count
        if value in (pa.string(), pa.large_string()):
            missing += pc.sum(pc.equal(plain[split], "")).as_py() or 0
        if missing:
            raise DataError(f"{where}: {split} lacks {count(missing, 'label')}; remove those rows or label them")
    distinct = {split: column.unique() for split, column in plain.items()}
    for split in [split for split, values in distinct.items() if values.to_pylist() == [-1]]:
        log.warning("%s: the labels of %s are hidden (all −1); left out", where, split)
        del plain[split], distinct[split]
    if not plain:
        raise DataError(f"{where}: all labels are −1 (hidden), expected labelled images; use another file")
    texts = {column.type in (pa.string(), pa.large_string()) for column in plain.values()}
    if len(texts) > 1:
        raise DataError(f"{where}: labels are strings in one split and integers in another; make them alike")
    present = {value for values in distinct.values() for value in values.to_pylist()}
    if names is not None:
        _check_names(names, where)
    numbers = _numbered_texts(present, names, where) if texts == {True} else _numbered(present, names, where, remedy)
    classes = names or tuple(str(value) for value in numbers)
    if len(present) < len(classes):
        empty = [name for name, value in zip(classes, numbers, strict=True) if value not in present]
        log.warning("%s: classes without images: %s", where, some(empty, most=3))
    labels: dict[str, Int64] = {}
    for split, column in plain.items():
        places = np.array([numbers[value] for value in distinct[split].to_pylist()], dtype=np.int64)
        labels[split] = places[pc.index_in(column, distinct[split]).to_numpy().astype(np.int64)]
    return classes, labels


def _numbered_texts(present: set[str], names: tuple[str, ...] | None, where: str) -> dict[str, int]:
    numbers = {name: number for number, name in enumerate(names or sorted(present))}
    unknown = sorted(present - set(numbers))
    if unknown:
        raise DataError(
            f"{where}: labels {some(unknown, most=2)} are not among its {len(numbers)} class names; mend them"
        )
    return numbers


def _numbered(present: set[int], names: tuple[str, ...] | None, where: str, remedy: str) -> dict[int, int]:
    lowest, highest = int(min(present, default=0)), int(max(present, default=-1))
    if lowest < 0 or (names and highest >= len(names)):
        expected = f"0 to {len(names) - 1} for its {len(names)} classes" if names else "0 or more"
        raise DataError(f"{where}: labels from {lowest} to {highest}, expected {expected}; {remedy}")
    if names:
        return {number: number for number in range(len(names))}
    if highest >= len(present):
        log.warning(
            "%s: labels are %d numbers from %d to %d, not 0 to %d; each is a class called by its number",
            where,
            len(present),
            lowest,
            highest,
            len(present) - 1,
        )
    return {number: place for place, number in enumerate(sorted(int(value) for value in present))}


def _check_names(names: tuple[str, ...], where: str) -> None:
    if len(set(names)) < len(names):
        twice = Counter(names).most_common(1)[0][0]
        raise DataError(f"{where}: two classes are called {some([twice])}, expected different names; rename one")
    for name in names:
        if name != name.encode(errors="replace").decode():
            raise DataError(f"{where}: class name {some([name])} is not UTF-8; rename the class")
