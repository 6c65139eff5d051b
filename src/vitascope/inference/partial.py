"""Predictions kept as they are made, so that the same command goes on after it was killed; a CSV file in the end."""

from __future__ import annotations

import csv
import hashlib
import json
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from vitascope import json_text
from vitascope.checkpoints.answer import NONE_OF_THESE, Answer
from vitascope.errors import DataError
from vitascope.file_lock import take
from vitascope.inference.files import FilePrediction
from vitascope.whole import written_whole
from vitascope.wording import reason

log = logging.getLogger(__name__)

_MARK = "vitascope predict, a file a line"


class Partial:
    """NAME.partial beside the CSV file NAME, until that is whole: JSON lines, of what is computed, then of each file.

    `settings` are JSON values that must be the same to go on. Raises `DataError` where the file belongs to other
    settings or files, or is not ours, and is left as it is.
    """

    def __init__(self, file: BinaryIO, path: Path, settings: dict[str, Any], files: Sequence[Path]) -> None:
        self.path = path
        self.partial = Path(f"{path}.partial")
        self.done: list[FilePrediction] = []
        """What is kept, the first of the files."""
        self._file = file
        names = [str(file) for file in files]
        told = {**settings, "files": hashlib.sha256(json.dumps(names).encode()).hexdigest()}
        first = json.dumps({_MARK: told}).encode() + b"\n"
        file.seek(0)
        head = file.readline()
        if first != head and first.startswith(head):  # new, or killed at once
            file.truncate(0)
            self._write(head := first)
        try:
            before = json_text.parse(head)[_MARK]
            changed = [name for name in told if before[name] != told[name]]
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{self.partial} is no unfinished CSV file of ours; choose another --csv file") from error
        if changed:
            remedy = "repeat those, delete it, or choose another --csv file"
            raise DataError(f"{self.partial} was begun with other {', '.join(changed)}; {remedy}")
        file.seek(end := len(head))
        for line, name in zip(file, names, strict=False):
            try:
                stored, predictions, members, why = json_text.parse(line)
                best = [(label, index, p) for label, index, p in predictions]
                answer = Answer(predictions=best, members=None if members is None else tuple(members))
                result = FilePrediction(name, answer if why is None else None, why)
            except (ValueError, TypeError):  # a line cut short
                break
            if stored != name or not line.endswith(b"\n"):
                break
            self.done.append(result)
            end += len(line)
        file.truncate(end)
        if self.done:
            log.info("going on after %d of %d files, which are in %s", len(self.done), len(files), self.partial)

    def add(self, result: FilePrediction) -> None:
        """Keeps it, whatever happens to this process from now on."""
        answer = result.answer or Answer(predictions=[])
        self._write(json.dumps([result.file, answer.predictions, answer.members, result.error]).encode() + b"\n")
        self.done.append(result)

    def finish(self) -> None:
        """Writes NAME, whole, of all that is done, and removes what was partial."""
        with _refused(self.path), written_whole(self.path) as temporary:
            # A file's name may be no UTF-8; then its odd bytes are written as \udcNN. Excel wants -sig.
            with temporary.open("w", newline="", encoding="utf-8-sig", errors="backslashreplace") as file:
                rows = csv.writer(file)
                rows.writerows(as_rows(self.done))
            if os.path.lexists(self.path):
                raise DataError(f"{self.path} exists by now, and the rows are in {self.partial}; move one of them")
        self.partial.unlink(missing_ok=True)

    def _write(self, line: bytes) -> None:
        try:
            self._file.write(line)
            self._file.flush()
        except OSError as error:
            told = f"{self.partial} cannot be written ({reason(error)}); repeat the command when it can"
            raise DataError(f"{told}, and it goes on") from error


def header(labels: int) -> list[str]:
    """Names of the columns, of so many labels a file."""
    ranks = ["", *(f"_{rank}" for rank in range(2, labels + 1))]
    return ["file", *(name + rank for rank in ranks for name in ("label", "probability")), "set", "error"]


def as_rows(results: Sequence[FilePrediction]) -> Iterator[list[str]]:
    """A header and a row a file: its labels, the likeliest first, and those of its prediction set with ";" between."""
    answers = [result.answer or Answer(predictions=[]) for result in results]
    most = max((len(answer.predictions) for answer in answers), default=1)
    yield header(most)
    for result, answer in zip(results, answers, strict=True):
        best = [text for label, _, p in answer.predictions for text in (label, f"{p:.6f}")]
        members = "" if answer.members is None else "; ".join(answer.members) or NONE_OF_THESE
        yield [result.file, *best, *[""] * (2 * most - len(best)), members, result.error or ""]


@contextmanager
def partial_csv(path: str, settings: dict[str, Any], files: Sequence[Path]) -> Iterator[Partial]:
    """A `Partial` that no other process writes; raises what that raises, and `DataError` where one does."""
    real = Path(os.path.realpath(path))  # a link stays one
    with ExitStack() as kept:
        with _refused(real):
            real.parent.mkdir(parents=True, exist_ok=True)
            file = kept.enter_context(Path(f"{real}.partial").open("ab+"))
        if not take(file, threads=True):
            raise DataError(f"another process is writing {file.name}; wait for it, or choose another --csv file")
        yield Partial(file, real, settings, files)


@contextmanager
def _refused(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DataError(f"{path} cannot be written ({reason(error)}); choose another --csv file") from error
