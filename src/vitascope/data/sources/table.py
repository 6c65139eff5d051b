"""Rows of an Arrow table as a source: what parquet files and the Hub's data sets have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from vitascope.data.source import EncodedSource
from vitascope.data.sources.classes import names_of_feature
from vitascope.errors import DataError, ImageError, UnlabelledError
from vitascope.wording import printable, reason, some

OTHER_LABELS = "mend them or add :label=COLUMN"
"""What to do about labels that are of no use."""


class TableSource(EncodedSource):
    """Encoded images in one column of Arrow memory (mapped or not), decoded one by one."""

    kind = "TableSource"

    @abstractmethod
    def image(self, row: int, /) -> bytes | str | None:
        """An image file, or the path of one; None where the row has neither. ValueError for a path that is no text."""

    def encoded(self, index: int) -> bytes | str:
        if not -len(self) <= index < len(self):
            raise IndexError(f"{self.name} has {len(self)} images, asked for {index}")
        shown = printable(self.describe(row := index % len(self)))
        try:
            image = self.image(row)
        except ValueError as error:
            raise ImageError(f"{shown}: {reason(error)}; remove the row") from None
        if image is None:
            raise ImageError(f"{shown}: no image bytes in this row; remove the row")
        return image


def texts_of(column: Any) -> list[str]:
    """A column's values as texts, "" for a missing one."""
    return ["" if value is None else str(value) for value in column.to_pylist()]


def choose_columns(
    schema: Any, features: Mapping[str, Any], where: str, image: str | None, label: str | None
) -> tuple[str, str, tuple[str, ...] | None]:
    """(image column, label column, the class names that the table has for it).

    They are those that are asked for, else those of the usual names, else the only ones of their kind. `schema` is a
    pyarrow.Schema, `features` the Hub's description of the columns (may be empty). Raises DataError, listing the
    columns, where the choice is not plain; `UnlabelledError` where no column can be one of labels.
    """

    def holds_labels(column: str) -> bool:
        feature = features.get(column)
        return isinstance(feature, Mapping) and feature.get("_type") == "ClassLabel"

    chosen = choose_image(schema, where, image)
    labels = _choose(schema, where, "label", label, ("label", "fine_label", "labels", "tags"), holds_labels)
    return chosen, labels, names_of_feature(features.get(labels))


def choose_image(schema: Any, where: str, image: str | None) -> str:
    """The image column, as `choose_columns` does it."""

    def is_binary(kind: Any) -> bool:
        return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))

    def holds_images(column: str) -> bool:
        kind = schema.field(column).type
        if pa.types.is_struct(kind):
            return any(field.name == "bytes" and is_binary(field.type) for field in kind)
        return is_binary(kind)

    name, times = Counter(schema.names).most_common(1)[0] if schema.names else ("", 0)
    if times > 1:
        raise DataError(f"{where}: {times} columns are called {some([name])}, expected different names; rename them")
    chosen = _choose(schema, where, "image", image, ("image", "img"), holds_images)
    if not holds_images(chosen):
        kind = some([str(schema.field(chosen).type)])
        raise DataError(f"{where}: column {some([chosen])} is {kind}, expected image bytes; add :image=COLUMN")
    return chosen


def _choose(
    schema: Any, where: str, role: str, asked: str | None, usual: tuple[str, ...], suits: Callable[[str], bool]
) -> str:
    others = [] if asked or set(usual) & set(schema.names) else [name for name in schema.names if suits(name)]
    return choose(schema.names, where, role, asked, usual, others)


def choose(
    columns: Sequence[str], where: str, role: str, asked: str | None, usual: Sequence[str], others: Sequence[str] = ()
) -> str:
    """The column that is asked for, else the first of the usual names, else the only one of `others`.

    Raises DataError, listing the columns; `UnlabelledError` where none can be one of labels.
    """
    if asked is not None and asked not in columns:
        raise DataError(f"{where}: no column {asked!r} for {role}=, expected one of: {some(columns)}")
    named = [name for name in usual if name in columns]
    candidates = [asked] if asked else named[:1] or list(others)
    if len(candidates) != 1:
        raise (UnlabelledError if role == "label" and not candidates else DataError)(
            f"{where}: {'no' if not candidates else 'more than one possible'} {role} column among "
            f"{some(columns)}; name it by adding :{role}=COLUMN"
        )
    return candidates[0]
