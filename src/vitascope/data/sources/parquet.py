"""Parquet files in the Hub's image layout: a column {bytes, path}, a column of labels, class names in the schema."""

from __future__ import annotations

import logging
import os
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitascope.cache import cache_folder
from vitascope.data.fingerprint import joined, named_size, stamp
from vitascope.data.source import Source, Splits, split_of_name
from vitascope.data.sources.classes import number_labels
from vitascope.data.sources.parquet_file import count_rows, read_images, read_labels, read_schema
from vitascope.data.sources.table import OTHER_LABELS, TableSource, choose_columns, class_names
from vitascope.errors import DataError
from vitascope.whole import written_whole
from vitascope.wording import printable, reason

log = logging.getLogger(__name__)


MEMORY_BYTES = 512 << 20
"""Encoded images of one split up to this size are held in memory, by each process; more are mapped from a file."""


@dataclass(frozen=True)
class _Column:
    """The images of some files, read when called: it travels to other processes as paths, not as pixels."""

    files: tuple[str, ...]
    column: str

    def __call__(self) -> Any:
        """→ pyarrow.ChunkedArray of bytes in memory, or of {bytes, crc32} mapped from a copy in the cache folder."""
        import pyarrow as pa

        if not self._path.exists():
            chunks: list[Any] = []
            held = 0
            for chunk in self._chunks():
                chunks.append(chunk)
                held += chunk.nbytes
                if held > MEMORY_BYTES:
                    break
            else:
                return pa.chunked_array(chunks, pa.large_binary())
            del chunks
            log.info("copying the images of %s to %s, to map them into memory", printable(self.files[0]), self._path)
            self._copy()
        elif not _is_sound(self._path, sum(count_rows(file) for file in self.files)):
            self.renew()
        return _map(self._path)

    def identity(self) -> str:
        """See `vitascope.data.fingerprint`."""
        return joined([self.column, *(stamp(os.path.realpath(file)) for file in self.files)])

    def parts(self) -> list[str]:
        """See `vitascope.data.fingerprint`."""
        return [self.column, *map(named_size, self.files)]

    def renew(self) -> None:
        """Writes a damaged copy anew."""
        log.warning("%s: our copy of %s is damaged; written anew", self._path, printable(self.files[0]))
        self._copy()

    @property
    def _path(self) -> Path:
        return cache_folder() / "arrow" / f"{self.identity()[:32]}.arrow"

    def _chunks(self) -> Iterator[Any]:
        for file in self.files:
            yield from read_images(file, self.column)

    def _copy(self) -> None:
        import pyarrow as pa

        schema = pa.schema([pa.field("image", pa.struct([("bytes", pa.large_binary()), ("crc32", pa.uint32())]))])
        try:
            with written_whole(self._path) as temporary, pa.ipc.new_file(str(temporary), schema) as writer:
                for chunk in self._chunks():
                    sums = [zlib.crc32(value.as_buffer()) if value.is_valid else None for value in chunk]
                    arrays = [chunk, pa.array(sums, pa.uint32())]
                    image = pa.StructArray.from_arrays(arrays, fields=list(schema.field(0).type))
                    writer.write_batch(pa.record_batch([image], schema=schema))
        except OSError as error:
            raise DataError(
                f"{printable(str(self._path.parent))}: cannot write the copy of {printable(self.files[0])} "
                f"({reason(error)}); set VITASCOPE_CACHE to a folder with room for it"
            ) from None


def _map(path: Path) -> Any:
    import pyarrow as pa

    return pa.ipc.open_file(pa.memory_map(str(path))).read_all().column(0)


def _is_sound(path: Path, rows: int) -> bool:
    """Whether a copy has its rows and lies within its file; images are checked one by one, as they are read."""
    import pyarrow as pa

    try:
        column = _map(path)
        column.validate(full=True)
        return len(column) - column.null_count == rows and {field.name for field in column.type} == {"bytes", "crc32"}
    except (pa.ArrowException, OSError, ValueError, TypeError, IndexError):
        return False


def open_parquet(path: str | Path, **options: str) -> Splits:
    """One parquet file, or a folder of them named (or lying in folders named) after their split → Splits.

    A file whose name speaks of no split is `train`. `options`: image=COLUMN, label=COLUMN (by default image or img;
    label, fine_label or the only ClassLabel). Images stay encoded, in Arrow memory or mapped (MEMORY_BYTES). A split
    whose labels are all −1 (the Hub's mark for hidden labels) is left out. Raises DataError for what does not fit.
    """
    where = printable(str(path))
    files = _files_by_split(Path(path))
    first = next(iter(files.values()))[0]
    schema, features = read_schema(first)
    image, label = choose_columns(schema, features, options, where)
    columns: dict[str, Any] = {}
    for split, members in files.items():
        for member in members:
            other, other_features = read_schema(member)
            if {image, label} - set(other.names) or class_names(other_features, label) != class_names(features, label):
                raise DataError(
                    f"{printable(member)}: columns or class names differ from those of {printable(first)}, "
                    "expected the same; open them apart"
                )
        columns[split] = read_labels(members, label, where)
        if len(columns[split]) == 0:
            raise DataError(f"{printable(members[0])}: the {split} split has no rows; remove the file")
    classes, labels = number_labels(columns, class_names(features, label), where, OTHER_LABELS)
    stem = Path(path).resolve().name.removesuffix(".parquet")
    sources: dict[str, Source] = {}
    for split in labels:
        name = stem if split_of_name(stem) == split else f"{stem} {split}"
        sources[split] = TableSource(name, classes, labels[split], _Column(tuple(files[split]), image))
    return Splits(**sources)


def _files_by_split(path: Path) -> dict[str, list[str]]:
    """split → its files, in order; split names come from file names, else from the folders below `path`."""
    found = [path] if path.is_file() else sorted(file for file in path.rglob("*.parquet") if file.is_file())
    if not found:
        raise DataError(f"{printable(str(path))}: no parquet files; check the path")
    splits: dict[str, list[str]] = {}
    shards: dict[str, list[tuple[int, int]]] = {}
    for file in found:
        folders = file.relative_to(path).parts[:-1] if path.is_dir() else ()
        named = [split_of_name(part) for part in (file.stem, *reversed(folders))]
        split = next((name for name in named if name), "train")
        splits.setdefault(split, []).append(str(file))
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
    order = ("train", "validation", "test")
    return {split: splits[split] for split in order if split in splits}
