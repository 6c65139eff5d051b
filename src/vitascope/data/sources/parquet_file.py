"""Reading a parquet file that may claim anything: bounded memory, and every fault as one line that names the file."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vitascope import json_text
from vitascope.data.sources.classes import is_list, label_kind
from vitascope.data.sources.table import OTHER_LABELS
from vitascope.errors import DataError
from vitascope.wording import printable, reason

_CHUNK_BYTES, _CHUNK_ROWS = 8 << 20, 1024  # images of about so many bytes, or so many of them, make one Arrow array
_AT_ONCE = 64 << 20  # bytes that are decoded at once
_GROWTH, _SPARE = 1000, 64 << 20  # images compress little: a file of n bytes has at most _GROWTH · n + _SPARE of them
_LONGEST_LABEL = 256  # characters


def read_schema(file: str) -> tuple[Any, Mapping[str, Any]]:
    """(Arrow schema, the Hub's features) of a file, from its footer."""
    with reading(file):
        schema = _opened(file).schema_arrow
        _ = schema.names  # raises where one is not UTF-8
    described = (schema.metadata or {}).get(b"huggingface")
    if described is None:  # plain parquet, without the Hub's description
        return schema, {}
    try:
        features = json_text.parse(described)
    except ValueError:
        raise DataError(f"{printable(file)}: its description of the columns is damaged; fetch it again") from None
    for key in ("info", "features"):
        features = features.get(key) if isinstance(features, dict) else None
    return schema, features if isinstance(features, dict) else {}


@contextmanager
def reading(file: str) -> Iterator[None]:
    """Arrow's errors as a DataError that names the file."""

    try:
        yield
    except (pa.ArrowException, OSError, ValueError) as error:  # ValueError: a name that is not UTF-8
        raise DataError(
            f"{printable(file)}: not a readable parquet file ({reason(error)}); fetch or write it again"
        ) from None


def count_rows(file: str) -> int:
    """How many rows a file has."""
    with reading(file):
        return int(_opened(file).metadata.num_rows)


def read_images(file: str, column: str) -> Iterator[Any]:
    """The images of one file as pyarrow.LargeBinaryArray of bounded size, whatever the file claims."""

    most = _GROWTH * os.path.getsize(file) + _SPARE
    held: list[Any] = []
    rows = size = total = 0
    with reading(file):
        for batch in _few_rows(_opened(file), column):
            held.append(batch)
            rows += len(batch)
            size += batch.nbytes
            if rows >= _CHUNK_ROWS or size >= _CHUNK_BYTES:
                total += size
                if total > most:
                    raise _too_large(file, f"more than {most >> 20} MiB of images")
                yield _images(pa.concat_arrays(held))
                held, rows, size = [], 0, 0
        if held:
            yield _images(pa.concat_arrays(held))


def _images(values: Any) -> Any:

    return (values.flatten()[0] if pa.types.is_struct(values.type) else values).cast(pa.large_binary())


def _few_rows(parquet: Any, column: str) -> Iterator[Any]:
    """The column as arrays of so few rows that no encoding makes more of them than memory holds.

    One value can stand in every row at no cost in the file, but is no larger than its uncompressed pages.
    """

    names = [f"{column}.bytes" if pa.types.is_struct(parquet.schema_arrow.field(column).type) else column]
    places = [place for place in range(len(parquet.schema)) if parquet.schema.column(place).path in names]
    for group in range(parquet.num_row_groups):
        # pyarrow ends the process where what it is asked of a column is damaged, unless reading has refused it before.
        next(parquet.iter_batches(1, row_groups=[group], columns=names, use_threads=False), None)
        stored = [parquet.metadata.row_group(group).column(place) for place in places]
        plain = all(part.compression == "UNCOMPRESSED" for part in stored)
        largest = max([1, *(part.total_compressed_size for part in stored)])
        rows = min(max(_AT_ONCE // largest, 1), _CHUNK_ROWS) if plain else 1
        for batch in parquet.iter_batches(rows, row_groups=[group], columns=names, use_threads=False):
            yield batch.column(0)


def read_labels(files: list[str], column: str, where: str) -> Any:
    """→ pyarrow.ChunkedArray of the labels or of lists of them, which are no longer than names are."""

    chunks: list[Any] = []
    for file in files:
        with reading(file):
            parquet = _opened(file)
            whole = parquet.schema_arrow.field(column).type
            several = is_list(whole)
            kind = label_kind(whole.value_type if several else whole, where, OTHER_LABELS)
            texts = not (pa.types.is_integer(kind) or pa.types.is_boolean(kind))
            if several:
                kind = pa.list_(kind)
            # Texts stay a dictionary until their length is known: one of a megabyte may stand in each row.
            paths = [leaf.path for leaf in map(parquet.schema.column, range(len(parquet.schema)))]
            paths = [path for path in paths if path == column or path.startswith(f"{column}.")]
            parquet = _opened(file, read_dictionary=paths if texts else None)
            for batch in parquet.iter_batches(1 << 12, columns=[column], use_threads=False):
                values = batch.column(0)
                if texts:
                    words = (values.flatten() if several else values).dictionary
                    longest = pc.max(pc.binary_length(words)).as_py() or 0
                    if longest > _LONGEST_LABEL:
                        raise DataError(
                            f"{printable(file)}: a label of {longest} characters, expected at most {_LONGEST_LABEL}; "
                            f"{OTHER_LABELS}"
                        )
                chunks.append(values.cast(kind))
    return pa.chunked_array(chunks, kind)


def _opened(file: str, **options: Any) -> Any:
    """→ pyarrow.parquet.ParquetFile whose footer does not claim more than the file may hold; in `reading`."""

    parquet = pq.ParquetFile(file, memory_map=True, pre_buffer=False, **options)
    size, metadata = os.path.getsize(file), parquet.metadata
    most = _GROWTH * size + _SPARE
    groups = [metadata.row_group(group) for group in range(metadata.num_row_groups)]
    if not 0 <= sum(group.num_rows for group in groups) == metadata.num_rows <= size:
        raise _too_large(file, f"{metadata.num_rows} rows")
    if sum(group.total_byte_size for group in groups) > most:
        raise _too_large(file, f"columns of more than {most >> 20} MiB")
    return parquet


def _too_large(file: str, what: str) -> DataError:
    return DataError(f"{printable(file)}: {what} in a file of {os.path.getsize(file)} bytes; fetch or write it again")
