"""Parquet files in the Hub's image layout: a column {bytes, path}, a column of labels, class names in the schema."""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitascope.cache import cache_folder
from vitascope.data.fingerprint import joined, stamp
from vitascope.data.images import printable
from vitascope.data.source import Source, Splits, split_of_name
from vitascope.data.sources.table import TableSource, choose_columns, class_names, encode_labels
from vitascope.errors import DataError
from vitascope.whole import written_whole

log = logging.getLogger(__name__)


MEMORY_BYTES = 512 << 20
"""Encoded images of one split up to this size are held in memory, by each process; more are mapped from a file."""


@dataclass(frozen=True)
class _Column:
    """One column of some files, read when called: it travels to other processes as paths, not as pixels."""

    files: tuple[str, ...]
    column: str

    def __call__(self) -> Any:
        """→ pyarrow.ChunkedArray, in memory or mapped from an uncompressed copy in the cache folder."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        total = 0
        for file in self.files:
            with _reading(file):
                metadata = pq.read_metadata(file, memory_map=True)
            groups = [metadata.row_group(group) for group in range(metadata.num_row_groups)]
            columns = [group.column(i) for group in groups for i in range(group.num_columns)]
            total += sum(c.total_uncompressed_size for c in columns if c.path_in_schema.split(".")[0] == self.column)
        if total <= MEMORY_BYTES:
            return self.in_memory()
        path = cache_folder() / "arrow" / f"{self.identity()[:32]}.arrow"
        if not path.exists():
            log.info("copying %d MiB of encoded images to %s, to map them into memory", total >> 20, path)
            self._copy(path)
        with _reading(str(path)):
            return pa.ipc.open_file(pa.memory_map(str(path))).read_all().column(0)

    def identity(self) -> str:
        """See `vitascope.data.fingerprint`."""
        return joined([self.column, *(stamp(os.path.realpath(file)) for file in self.files)])

    def in_memory(self) -> Any:
        """→ pyarrow.ChunkedArray."""
        import pyarrow as pa

        kind = _schema(self.files[0])[0].field(self.column).type
        return pa.chunked_array([chunk for batch in self._batches() for chunk in batch.column(0).chunks], kind)

    def _batches(self) -> Iterator[Any]:
        """The column as tables, one row group at a time: Arrow's binary arrays hold at most 2 GiB each."""
        import pyarrow.parquet as pq

        for file in self.files:
            with _reading(file):
                parquet = pq.ParquetFile(file, memory_map=True)
                for group in range(parquet.num_row_groups):
                    yield parquet.read_row_group(group, columns=[self.column])

    def _copy(self, path: Path) -> None:
        import pyarrow as pa

        schema, _ = _schema(self.files[0])
        schema = pa.schema([schema.field(self.column)])
        try:
            with written_whole(path) as temporary, pa.ipc.new_file(str(temporary), schema) as writer:
                for table in self._batches():
                    writer.write_table(table.cast(schema))
        except OSError as error:
            raise DataError(
                f"{printable(str(path.parent))}: cannot write the copy of {printable(self.files[0])} "
                f"({printable(str(error))}); set VITASCOPE_CACHE to a folder with room for it"
            ) from None


def open_parquet(path: str | Path, options: Mapping[str, str] | None = None) -> Splits:
    """One parquet file, or a folder of them named (or lying in folders named) after their split → Splits.

    A file whose name speaks of no split is `train`. `options`: image=COLUMN, label=COLUMN (by default image or img;
    label, fine_label or the only ClassLabel). Images stay encoded, in Arrow memory or mapped (MEMORY_BYTES). A split
    whose labels are all −1 (the Hub's mark for hidden labels) is left out. Raises DataError for what does not fit.
    """
    options = options or {}
    where = printable(str(path))
    unknown = sorted(set(options) - {"image", "label"})
    if unknown:
        raise DataError(f"{where}: unknown option {unknown[0]!r}, expected image=COLUMN or label=COLUMN")
    files = _files_by_split(Path(path))
    first = next(iter(files.values()))[0]
    schema, features = _schema(first)
    image, label = choose_columns(schema, features, options, where)
    columns: dict[str, Any] = {}
    for split, members in files.items():
        for member in members:
            other, other_features = _schema(member)
            if {image, label} - set(other.names) or class_names(other_features, label) != class_names(features, label):
                raise DataError(
                    f"{printable(member)}: columns or class names differ from those of {printable(first)}, "
                    "expected the same; open them apart"
                )
        column = _Column(tuple(members), label).in_memory()
        if len(column) == 0:
            raise DataError(f"{printable(members[0])}: the {split} split has no rows; remove the file")
        if set(column.slice(0, 1).to_pylist()) == {-1} and set(column.to_pylist()) == {-1}:
            log.warning("%s: the labels of %s are hidden (all −1); left out", where, split)
            continue
        columns[split] = column
    if not columns:
        raise DataError(f"{where}: all labels are −1 (hidden), expected labelled images; use another file")
    classes, labels = encode_labels(columns, class_names(features, label), where)
    stem = Path(path).resolve().name.removesuffix(".parquet")
    sources: dict[str, Source] = {}
    for split in columns:
        name = stem if split_of_name(stem) == split else f"{stem} {split}"
        sources[split] = TableSource(name, classes, labels[split], _Column(tuple(files[split]), image))
    return Splits(train=sources.get("train"), validation=sources.get("validation"), test=sources.get("test"))


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


def _schema(file: str) -> tuple[Any, Mapping[str, Any]]:
    """(Arrow schema, the Hub's features) of a file, from its footer."""
    import pyarrow.parquet as pq

    with _reading(file):
        schema = pq.read_schema(file, memory_map=True)
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
    except (KeyError, TypeError, ValueError):  # plain parquet, without the Hub's description
        features = {}
    return schema, features if isinstance(features, dict) else {}


class _reading:
    """Arrow's errors as a DataError that names the file."""

    def __init__(self, file: str) -> None:
        self.file = file

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        import pyarrow as pa

        if isinstance(error, pa.ArrowException | OSError):
            reason = " ".join(str(error).split())
            raise DataError(
                f"{printable(self.file)}: not a readable parquet file ({printable(reason)}); fetch or write it again"
            ) from None
