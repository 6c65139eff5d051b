"""Predictions kept as they are made, so that the same command goes on after it was killed."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import logging
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from vitascope import json_text
from vitascope.errors import DataError
from vitascope.inference.files import FilePrediction, csv_rows, write_csv
from vitascope.lock import take
from vitascope.whole import force_to_disk

log = logging.getLogger(__name__)

_MARK = "vitascope predict"


@contextmanager
def partial_csv(path: str, settings: dict[str, Any], files: Sequence[Path], top: int) -> Iterator[Partial]:
    """NAME.partial beside the CSV file NAME, until that is whole: a line that tells what is computed, then its rows.

    `settings` are JSON values that must be the same to go on; `top` is the number of rows of each file. Raises
    `DataError` where the file belongs to other settings or files, is not ours, or another process writes it.
    """
    real = os.path.realpath(path)  # a link stays one
    partial = Path(f"{real}.partial")
    try:
        partial.parent.mkdir(parents=True, exist_ok=True)
        opened = partial.open("ab+")
    except OSError as error:
        raise DataError(f"{partial} cannot be written ({error.strerror}); choose another --csv file") from error
    with opened:
        if not take(opened, threads=True):
            raise DataError(f"another process is writing {partial}; wait for it, or choose another --csv file")
        yield Partial(Path(real), partial, opened, settings, files, top)


class Partial:
    """An unfinished CSV file; see `partial_csv`."""

    def __init__(
        self, path: Path, partial: Path, file: BinaryIO, settings: dict[str, Any], files: Sequence[Path], top: int
    ) -> None:
        self.path, self.partial, self._file = path, partial, file
        names = [_encoded(str(file)) for file in files]
        told = {**settings, "top": top, "files": hashlib.sha256("\0".join(names).encode()).hexdigest()}
        self._file.seek(0)
        head = self._file.readline()
        first = json.dumps({_MARK: told}).encode() + b"\n"
        if first != head and first.startswith(head):  # new, or killed at once
            self._file.truncate(0)
            self._write(first.decode())
            head = first
        self._refuse_other(head, told)
        self.done, end = _read(self._file, top)
        if [result.file for result in self.done] != names[: len(self.done)]:
            raise DataError(f"{self.partial} holds other files than these; delete it, or choose another --csv file")
        self.done = [FilePrediction(str(f), r.predictions, r.error) for f, r in zip(files, self.done, strict=False)]
        self._file.truncate(end)
        if self.done:
            log.info("going on after %d of %d files, which are in %s", len(self.done), len(files), self.partial)

    def add(self, results: Sequence[FilePrediction]) -> None:
        """Keeps them, whatever happens to this process from now on."""
        text = io.StringIO()
        csv.writer(text).writerows(row for result in results for row in csv_rows(result))
        self._write(_encoded(text.getvalue()))

    def finish(self, results: Sequence[FilePrediction]) -> None:
        """Writes NAME, whole, of all results, and removes what was partial."""
        path = self.path
        with tempfile.TemporaryDirectory(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent) as folder:
            write_csv(f"{folder}/{path.name}", results)
            force_to_disk(Path(folder, path.name))
            if os.path.lexists(path):
                raise DataError(f"{path} exists by now, and the rows are in {self.partial}; move one of them")
            os.rename(Path(folder, path.name), path)
        self.partial.unlink(missing_ok=True)

    def _write(self, text: str) -> None:
        try:
            self._file.write(text.encode())
            self._file.flush()
        except OSError as error:
            told = f"{self.partial} cannot be written ({error.strerror}); repeat the command when it can"
            raise DataError(f"{told}, and it goes on") from error

    def _refuse_other(self, head: bytes, told: dict[str, Any]) -> None:
        try:
            before = json_text.parse(head)[_MARK]
            changed = [name for name in told if before[name] != told[name]]
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{self.partial} is no unfinished CSV file of ours; choose another --csv file") from error
        if changed:
            raise DataError(
                f"{self.partial} was begun with other {', '.join(changed)}; repeat those, delete it, "
                "or choose another --csv file"
            )


def _read(file: BinaryIO, top: int) -> tuple[list[FilePrediction], int]:
    """What is whole of the rows from here on, and where it ends."""
    done: list[FilePrediction] = []
    place = end = file.tell()
    whole = True

    def lines() -> Iterator[str]:
        nonlocal place, whole
        for line in file:
            place, whole = place + len(line), line.endswith(b"\n")
            yield line.decode(errors="replace")

    rows: list[list[str]] = []
    with suppress(ValueError, csv.Error):  # rows cut in the middle
        for row in csv.reader(lines(), strict=True):
            rows.append(row)
            if not whole or len(row) != 6 or row[0] != rows[0][0]:
                break
            if row[5] or int(row[1]) == top == len(rows):
                predictions = [(r[2], int(r[3]), float(r[4])) for r in rows if not row[5]]
                done.append(FilePrediction(row[0], predictions, row[5] or None))
                rows, end = [], place
    return done, end


def _encoded(text: str) -> str:
    """As the CSV file has it: a name that is no UTF-8 keeps its odd bytes as \\udcNN."""
    return text.encode(errors="backslashreplace").decode()
