"""Parquet files in the Hub's image layout: a column {bytes, path}, a column of labels, class names in the schema."""

from __future__ import annotations

import logging
import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from os.path import realpath
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from vitascope.cache import cache_folder
from vitascope.data.fingerprint import joined, named_size, stamp
from vitascope.data.source import Labels, Source, Splits, name_of_split, split_of_name
from vitascope.data.sources.classes import names_of_feature, number_labels
from vitascope.data.sources.parquet_file import count_rows, read_images, read_labels, read_schema
from vitascope.data.sources.table import OTHER_LABELS, TableSource, choose_columns, choose_image, texts_of
from vitascope.errors import DataError
from vitascope.whole import written_whole
from vitascope.wording import printable, reason

log = logging.getLogger(__name__)

_COPY = pa.schema({"bytes": pa.large_binary(), "crc32": pa.uint32()})
MEMORY_BYTES = 512 << 20
"""Encoded images of one split up to this size are held in memory, by each process; more are mapped from a file."""


@dataclass(frozen=True, eq=False)
class ParquetSource(TableSource):
    """Images of some files: held in memory, or mapped from a copy in the cache folder, with the CRC-32 of each."""

    files: tuple[str, ...]
    """In order."""
    column: str
    """The column of images."""

    def __getstate__(self) -> dict[str, Any]:  # it travels to other processes as paths, not as pixels
        return {key: value for key, value in self.__dict__.items() if key != "_held"}

    def image(self, row: int) -> bytes | None:
        for attempt in range(3):
            images, sums = self._held
            image: bytes | None = images[row].as_py()
            if attempt == 2 or sums is None or sums[row].as_py() == (None if image is None else zlib.crc32(image)):
                break
            self.__dict__.pop("_held", None)  # another process may have renewed the copy by now
            if attempt == 1:
                self._renew()
        return image

    def table_columns(self) -> tuple[str, ...]:
        return tuple(read_schema(self.files[0])[0].names)

    def table_column(self, name: str) -> list[str] | None:
        if name not in self.table_columns():
            return None
        return texts_of(read_labels(list(self.files), name, printable(f"{self.files[0]}, column {name}")))

    def identity(self) -> Iterable[bytes]:
        yield self._identity.encode()

    def parts(self) -> list[str]:
        return [self.column, *map(named_size, self.files)]

    @property
    def _identity(self) -> str:
        return joined([self.column, *(stamp(realpath(file)) for file in self.files)])

    @property
    def _path(self) -> Path:
        return cache_folder() / "arrow" / f"{self._identity[:32]}.arrow"

    @cached_property
    def _held(self) -> tuple[Any, Any]:
        """Two pyarrow.ChunkedArray: the images, and the CRC-32 of each; in memory None in its place."""

        path = self._path
        if not path.exists():
            chunks: list[Any] = []
            held = 0
            for chunk in self._chunks():
                chunks.append(chunk)
                held += chunk.nbytes
                if held > MEMORY_BYTES:
                    break
            else:
                return self._checked((pa.chunked_array(chunks, pa.large_binary()), None))
            del chunks
            log.info("copying the images of %s to %s, to map them into memory", printable(self.files[0]), path)
            self._copy()
        elif _mapped(path, len(self)) is None:
            self._renew()
        return self._checked(_mapped(path, len(self)))

    def _checked(self, held: tuple[Any, Any] | None) -> tuple[Any, Any]:
        if held is None or len(held[0]) != len(self):
            raise DataError(f"{printable(self.files[0])}: not the {len(self)} images that it had; fetch it again")
        return held

    def _renew(self) -> None:
        log.warning("%s: our copy of %s is damaged; written anew", self._path, printable(self.files[0]))
        self._copy()

    def _copy(self) -> None:

        try:
            with written_whole(self._path) as temporary, pa.ipc.new_file(str(temporary), _COPY) as writer:
                for chunk in self._chunks():
                    sums = [zlib.crc32(value.as_buffer()) if value.is_valid else None for value in chunk]
                    writer.write_batch(pa.record_batch([chunk, pa.array(sums, pa.uint32())], schema=_COPY))
        except OSError as error:
            raise DataError(
                f"{printable(str(self._path.parent))}: cannot write the copy of {printable(self.files[0])} "
                f"({reason(error)}); set VITASCOPE_CACHE to a folder with room for it"
            ) from None

    def _chunks(self) -> Iterator[Any]:
        for file in self.files:
            yield from read_images(file, self.column)


def _mapped(path: Path, rows: int) -> tuple[Any, Any] | None:
    """A copy's columns; None unless it has its rows within its file. Images are checked as they are read."""

    try:
        table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
        table.validate(full=True)
        return (table["bytes"], table["crc32"]) if table.schema == _COPY and len(table) == rows else None
    except (pa.ArrowException, OSError, ValueError, TypeError, IndexError):
        return None


def open_parquet(path: str | Path, *, image: str | None = None, label: str | None = None) -> Splits:
    """One parquet file, or a folder of them named (or lying in folders named) after their split → Splits.

    A file whose name speaks of no split is `train`. `image` and `label` name columns (by default image or img; label,
    fine_label or the only ClassLabel). Images stay encoded, in Arrow memory or mapped (MEMORY_BYTES). A split whose
    labels are all −1 (the Hub's mark for hidden labels) is left out. Raises DataError for what does not fit.
    """
    files = _files_by_split(Path(path))
    first = next(iter(files.values()))[0]
    images, answers, names = choose_columns(*read_schema(first), printable(str(path)), image, label)
    given: dict[str, Any] = {}
    for split, members in files.items():
        for member in members:
            schema, features = read_schema(member)
            if {images, answers} - set(schema.names) or names_of_feature(features.get(answers)) != names:
                raise _unlike(member, first)
        given[split] = read_labels(members, answers, printable(str(path)))
        if len(given[split]) == 0:
            raise _no_rows(split, members)
    classes, labels = number_labels(given, names, printable(str(path)), OTHER_LABELS)
    return _splits(path, files, images, classes, labels)


def open_images(path: str | Path, *, image: str | None = None) -> Splits:
    """The same without labels, of which there need not be any column."""
    files = _files_by_split(Path(path))
    first = next(iter(files.values()))[0]
    column = choose_image(read_schema(first)[0], printable(str(path)), image)
    labels: dict[str, Labels] = {}
    for split, members in files.items():
        for member in members:
            if column not in read_schema(member)[0].names:
                raise _unlike(member, first)
        labels[split] = np.zeros(sum(map(count_rows, members)), dtype=np.int64)
        if len(labels[split]) == 0:
            raise _no_rows(split, members)
    return _splits(path, files, column, (), labels)


def _splits(
    path: str | Path, files: dict[str, list[str]], column: str, classes: tuple[str, ...], labels: dict[str, Labels]
) -> Splits:
    stem = Path(path).resolve().name.removesuffix(".parquet")
    sources: dict[str, Source] = {
        split: ParquetSource(name_of_split(stem, split), classes, labels[split], tuple(files[split]), column)
        for split in labels
    }
    return Splits(**sources)


def _unlike(member: str, first: str) -> DataError:
    return DataError(
        f"{printable(member)}: columns or class names differ from those of {printable(first)}, "
        "expected the same; open them apart"
    )


def _no_rows(split: str, members: list[str]) -> DataError:
    return DataError(f"{printable(members[0])}: the {split} split has no rows; remove the file")


def _files_by_split(path: Path) -> dict[str, list[str]]:
    """split → its files, in order; split names come from file names, else from the folders below `path`."""
    found = [path] if path.is_file() else sorted(file for file in path.rglob("*.parquet") if file.is_file())
    if not found:
        raise DataError(f"{printable(str(path))}: no parquet files; check the path")
    splits: dict[str, list[str]] = {"train": [], "validation": [], "test": []}
    shards: dict[str, list[tuple[int, int]]] = {}
    for file in found:
        folders = file.relative_to(path).parts[:-1] if path.is_dir() else ()
        split = next(filter(None, map(split_of_name, (file.stem, *reversed(folders)))), "train")
        splits[split].append(str(file))
        numbered = re.search(r"-(\d{5})-of-(\d{5})", file.stem)
        if numbered and path.is_dir():
            shards.setdefault(split, []).append((int(numbered[1]), int(numbered[2])))
    for split, numbers in shards.items():
        totals = {total for _, total in numbers}
        if len(totals) > 1 or len({number for number, _ in numbers}) < len(numbers):
            raise DataError(
                f"{printable(str(path))}: {split} files of several data sets, expected one; give the folder of one"
            )
        if len(numbers) < max(totals):
            raise DataError(
                f"{printable(str(path))}: {len(numbers)} of {max(totals)} files of {split}, expected all; "
                "fetch the rest"
            )
    return {split: files for split, files in splits.items() if files}
