"""Labels as data sets write them → classes and their numbers: the one place that decides, for every kind of data.

==============  ======================================================================================================
texts           classes are those that occur in any split, sorted; or the data's list of names, which must hold them
whole numbers   with a list of names, places in it (from 0); without one, every number that occurs in any split is a
                class called by that number, in their order: identifiers and gaps cost nothing and make no class
                without images; logged unless they are 0 … k−1
booleans        0 and 1
lists of them   an image has several labels, or none: labels are (n, K) bool; where every list has one, (n,) as ever
==============  ======================================================================================================

Negative numbers, missing and empty labels are refused, and so is a list of names that has one twice; names of it that
no split has images of stay classes and are logged. There are never more classes than images or names.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vitascope.data.source import Int64, Labels
from vitascope.errors import DataError
from vitascope.wording import count, printable, reason, some

log = logging.getLogger(__name__)


def label_kind(kind: Any, where: str, remedy: str) -> Any:
    """The pyarrow type of single labels in a column of type `kind`; DataError for lists, structs, floats and others."""

    value = kind.value_type if pa.types.is_dictionary(kind) else kind
    checks = (pa.types.is_integer, pa.types.is_boolean, pa.types.is_string, pa.types.is_large_string)
    if not any(check(value) for check in checks):
        raise DataError(
            f"{where}: the labels are {some([str(value)])}, expected integers or strings, one an image; {remedy}"
        )
    return value


def is_list(kind: Any) -> bool:
    """Whether a column of this pyarrow type holds lists."""
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def names_of_feature(feature: Any) -> tuple[str, ...] | None:
    """The names of a Hub ClassLabel, or of a sequence of them; None where it has none."""
    if isinstance(feature, list) and len(feature) == 1:  # how some write a sequence
        feature = {"feature": feature[0]}
    if isinstance(feature, Mapping) and "feature" in feature:
        feature = feature["feature"]
    names = feature.get("names") if isinstance(feature, Mapping) else None
    if isinstance(names, Mapping):  # older files: {"0": "airplane", …}
        names = [names[key] for key in sorted(names, key=lambda key: (len(key), key))]
    return tuple(str(name) for name in names) if isinstance(names, list) and names else None


def names_in_file(path: Path) -> tuple[str, ...] | None:
    """A name a line, or None where there is no such file. Raises DataError."""
    if not path.is_file():
        return None
    try:
        names = tuple(line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
    except (OSError, ValueError) as error:
        raise DataError(f"{printable(str(path))}: cannot be read ({reason(error)}); check it") from None
    if not names:
        raise DataError(f"{printable(str(path))}: empty, expected one class a line; mend it")
    return names


def number_labels(
    columns: Mapping[str, Any], names: tuple[str, ...] | None, where: str, remedy: str = "mend them"
) -> tuple[tuple[str, ...], dict[str, Labels]]:
    """Labels by split (pyarrow or other arrays) and the data's own class names → (classes, labels by split).

    The table above says how. Splits of which all labels are −1, the Hub's mark for hidden ones, are left out, in the
    log. Raises DataError, in one line that ends in `remedy` where the labels are of no use.
    """
    given = {split: _array(column, where) for split, column in columns.items()}
    if not any(is_list(column.type) for column in given.values()):
        return _number_single(given, names, where, remedy)
    if not all(is_list(column.type) for column in given.values()):
        raise DataError(f"{where}: one split has lists of labels, another single ones; make them alike")
    sizes = {split: _sizes(column, split, where) for split, column in given.items()}
    flat = {split: _flat(column, where) for split, column in given.items()}
    if not any(len(values) for values in flat.values()):
        raise DataError(f"{where}: no image has a label; {remedy}")
    kind = next(values.type for values in flat.values() if len(values))
    flat = {split: values if len(values) else values.cast(kind) for split, values in flat.items()}
    classes, numbers = _number_single(flat, names, where, remedy)
    if all((counts == 1).all() for counts in sizes.values()):
        return classes, numbers
    labels: dict[str, Labels] = {}
    for split, each in numbers.items():
        has = np.zeros((len(sizes[split]), len(classes)), dtype=np.bool_)
        has[np.repeat(np.arange(len(has)), sizes[split]), each] = True
        labels[split] = has
    return classes, labels


def _array(given: Any, where: str) -> Any:
    try:
        return given if isinstance(given, pa.Array | pa.ChunkedArray) else pa.array(given)
    except (pa.ArrowException, ValueError):
        raise DataError(f"{where}: labels are partly names and partly whole numbers; make them alike") from None


def _sizes(column: Any, split: str, where: str) -> Int64:
    """How many labels each row has; a missing list is one of none. Raises DataError for damaged ones."""
    try:
        column.validate(full=True)
    except pa.ArrowException as error:
        raise DataError(f"{where}: the labels of {split} are damaged ({reason(error)}); fetch them again") from None
    sizes: Int64 = pc.list_value_length(column).fill_null(0).to_numpy().astype(np.int64)
    return sizes


def _flat(column: Any, where: str) -> Any:
    try:
        return pc.list_flatten(column)
    except pa.ArrowException as error:
        raise DataError(f"{where}: the labels are damaged ({reason(error)}); fetch them again") from None


def _number_single(
    columns: Mapping[str, Any], names: tuple[str, ...] | None, where: str, remedy: str
) -> tuple[tuple[str, ...], dict[str, Labels]]:
    """`number_labels` of single labels."""
    plain = {split: _plain(column, split, where, remedy) for split, column in columns.items()}
    distinct = {split: column.unique() for split, column in plain.items()}
    for split in [split for split, values in distinct.items() if values.to_pylist() == [-1]]:
        log.warning("%s: the labels of %s are hidden (all −1); left out", where, split)
        del plain[split], distinct[split]
    if not plain:
        raise DataError(f"{where}: all labels are −1 (hidden), expected labelled images; use another file")
    texts = {pa.types.is_string(column.type) or pa.types.is_large_string(column.type) for column in plain.values()}
    if len(texts) > 1:
        raise DataError(f"{where}: labels are strings in one split and integers in another; make them alike")
    present = sorted({value for values in distinct.values() for value in values.to_pylist()})
    if names is not None:
        _check_names(names, where)
    known = _known_texts(present, names, where) if texts == {True} else _known_numbers(present, names, where, remedy)
    classes = names or tuple(str(int(value) if texts == {False} else value) for value in known)
    if empty := [name for name, value in zip(classes, known, strict=True) if value not in set(present)]:
        log.warning("%s: classes without images: %s", where, some(empty, most=3))
    number = {value: place for place, value in enumerate(known)}
    labels: dict[str, Labels] = {}
    for split, column in plain.items():
        places = np.array([number[value] for value in distinct[split].to_pylist()], dtype=np.int64)
        labels[split] = places[pc.index_in(column, distinct[split]).to_numpy().astype(np.int64)]
    return classes, labels


def _plain(column: Any, split: str, where: str, remedy: str) -> Any:
    """Labels of a split as a pyarrow array of one kind, none of them missing."""
    kind = label_kind(column.type, where, remedy)
    try:
        column.validate(full=True)
        column = column if column.type == kind else column.cast(kind)
    except pa.ArrowException as error:
        raise DataError(f"{where}: the labels of {split} are damaged ({reason(error)}); fetch them again") from None
    empty = pc.equal(column, "") if kind in (pa.string(), pa.large_string()) else pa.array([False])
    if missing := column.null_count + (pc.sum(empty).as_py() or 0):
        raise DataError(f"{where}: {split} lacks {count(missing, 'label')}; remove those rows or label them")
    return column


def _known_texts(present: list[str], names: tuple[str, ...] | None, where: str) -> Sequence[str]:
    known = present if names is None else names
    if unknown := sorted(set(present) - set(known)):
        raise DataError(f"{where}: labels {some(unknown, 2)} are not among its {len(known)} class names; mend them")
    return known


def _known_numbers(present: list[int], names: tuple[str, ...] | None, where: str, remedy: str) -> Sequence[int]:
    lowest, highest = (int(present[0]), int(present[-1])) if present else (0, -1)
    if lowest < 0 or (names and highest >= len(names)):
        expected = f"0 to {len(names) - 1} for its {len(names)} classes" if names else "0 or more"
        raise DataError(f"{where}: labels from {lowest} to {highest}, expected {expected}; {remedy}")
    if names:
        return range(len(names))
    if highest >= (n := len(present)):
        said = "%s: labels are %d numbers from %d to %d, not 0 to %d; each is a class called by its number"
        log.warning(said, where, n, lowest, highest, n - 1)
    return present


def _check_names(names: tuple[str, ...], where: str) -> None:
    if len(set(names)) < len(names):
        twice = Counter(names).most_common(1)[0][0]
        raise DataError(f"{where}: two classes are called {some([twice])}, expected different names; rename one")
    for name in names:
        if name != name.encode(errors="replace").decode():
            raise DataError(f"{where}: class name {some([name])} is not UTF-8; rename the class")
