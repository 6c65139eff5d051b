"""Rows of an Arrow table as a source: what parquet files and the Hub's data sets have in common."""

from __future__ import annotations

import hashlib
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vitascope.data.fingerprint import stamp
from vitascope.data.source import EncodedSource, Int64
from vitascope.errors import DataError, ImageError
from vitascope.wording import printable, reason, some

_IMAGE_COLUMNS = ("image", "img")
_LABEL_COLUMNS = ("label", "fine_label", "labels")

OTHER_LABELS = "mend them or add :label=COLUMN"
"""What to do about labels that are of no use."""


@dataclass(frozen=True, eq=False)
class TableSource(EncodedSource):
    """Encoded images in one column of Arrow memory (mapped or not), decoded one by one."""

    name: str
    """For people."""
    classes: tuple[str, ...]
    """Label i is classes[i]."""
    labels: Int64
    """(n,) int64."""
    load: Callable[[], Any] = field(repr=False)
    """→ the pyarrow.ChunkedArray of images; called again in a process that received this source pickled. May have an
    `identity() → str`, `parts() → list[str]`, and `renew()` if what it returns may be a damaged copy: structs with the
    `crc32` of `bytes`."""
    follow_paths: bool = False
    """Whether a row without bytes may name a file on this machine; only for tables made on this machine."""
    _state: dict[str, Any] = field(default_factory=dict, init=False, repr=False)

    def encoded(self, index: int) -> bytes | str:
        row = int(np.arange(len(self))[index]) if index < 0 else index
        if row >= len(self):
            raise IndexError(f"{self.name} has {len(self)} images, asked for {index}")
        data, path = self._encoded(row)
        if data is None and path and self.follow_paths:
            return path
        if data is None:
            raise ImageError(f"{printable(self.describe(row))}: no image bytes in this row; remove the row")
        return data

    def identity(self) -> Iterable[bytes]:
        known = getattr(self.load, "identity", None)
        if known is not None:
            yield str(known()).encode()
            return
        digest = hashlib.sha256()
        for row in range(len(self)):
            data, path = self._encoded(row)
            content = data if data is not None else stamp(path or "").encode("utf-8", "surrogateescape")
            digest.update(f"{len(content)}\n".encode() + content)
        yield digest.hexdigest().encode()

    def parts(self) -> list[str]:
        known = getattr(self.load, "parts", None)
        return [str(self.load().nbytes)] if known is None else known()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_state": {}}

    def _encoded(self, row: int) -> tuple[bytes | None, str | None]:
        """The image file of a row, or the path of one."""
        value = self._value(row)
        if not _sound(value):
            self._state.clear()  # another process may have renewed the copy by now
            value = self._value(row)
        if not _sound(value):
            self.load.renew()  # type: ignore[attr-defined]
            self._state.clear()
            value = self._value(row)
        return (value["bytes"], value.get("path")) if isinstance(value, dict) else (value, None)

    def _value(self, row: int) -> Any:
        chunks, starts = self._chunks()
        chunk = int(np.searchsorted(starts, row, side="right")) - 1
        try:
            return chunks[chunk][row - int(starts[chunk])].as_py()
        except ValueError as error:  # a path that is not UTF-8
            raise ImageError(f"{printable(self.describe(row))}: {reason(error)}; remove the row") from None

    def _chunks(self) -> tuple[list[Any], Int64]:
        if "chunks" not in self._state:
            chunks = list(self.load().chunks)
            starts = np.cumsum([0, *(len(chunk) for chunk in chunks)]).astype(np.int64)
            if starts[-1] != len(self):
                raise DataError(f"{printable(self.name)}: {starts[-1]} images, expected {len(self)}; fetch it again")
            self._state["chunks"] = (chunks, starts[:-1])
        result: tuple[list[Any], Int64] = self._state["chunks"]
        return result


def _sound(value: Any) -> bool:
    """Whether an image is what it was when it was copied, where it is a copy."""
    if not isinstance(value, dict) or "crc32" not in value:
        return True
    return bool(value["crc32"] == (None if value["bytes"] is None else zlib.crc32(value["bytes"])))


def choose_columns(schema: Any, features: Mapping[str, Any], options: Mapping[str, str], where: str) -> tuple[str, str]:
    """(image column, label column): those asked for as `image=`, `label=`, else by name, else by kind.

    `schema` is a pyarrow.Schema, `features` the Hub's description of the columns (may be empty).
    Raises DataError, listing the columns, where the choice is not plain.
    """
    import pyarrow as pa

    def holds_images(column: str) -> bool:
        kind = schema.field(column).type
        if pa.types.is_struct(kind):
            return any(kind.field(i).name == "bytes" and binary(kind.field(i).type) for i in range(kind.num_fields))
        return binary(kind)

    def binary(kind: Any) -> bool:
        return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))

    def holds_labels(column: str) -> bool:
        feature = features.get(column)
        return isinstance(feature, Mapping) and feature.get("_type") == "ClassLabel"

    def choose(role: str, names: Sequence[str], suits: Callable[[str], bool]) -> str:
        asked = options.get(role)
        if asked is not None and asked not in schema.names:
            raise DataError(f"{where}: no column {asked!r} for {role}=, expected one of: {some(schema.names)}")
        named = [name for name in names if name in schema.names]
        candidates = [asked] if asked else named[:1] or [name for name in schema.names if suits(name)]
        if len(candidates) != 1:
            raise DataError(
                f"{where}: {'no' if not candidates else 'more than one possible'} {role} column among "
                f"{some(schema.names)}; name it by adding :{role}=COLUMN"
            )
        return candidates[0]

    name, times = Counter(schema.names).most_common(1)[0] if schema.names else ("", 0)
    if times > 1:
        raise DataError(f"{where}: {times} columns are called {some([name])}, expected different names; rename them")
    image = choose("image", _IMAGE_COLUMNS, holds_images)
    if not holds_images(image):
        kind = some([str(schema.field(image).type)])
        raise DataError(f"{where}: column {some([image])} is {kind}, expected image bytes; add :image=COLUMN")
    return image, choose("label", _LABEL_COLUMNS, holds_labels)


def class_names(features: Mapping[str, Any], column: str) -> tuple[str, ...] | None:
    """The names of a Hub ClassLabel, or None where the file has none."""
    feature = features.get(column)
    names = feature.get("names") if isinstance(feature, Mapping) else None
    if isinstance(names, Mapping):  # older files: {"0": "airplane", …}
        names = [names[key] for key in sorted(names, key=lambda key: (len(key), key))]
    return tuple(str(name) for name in names) if isinstance(names, list) and names else None
