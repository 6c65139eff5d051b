"""Predictions for files and folders, where one unreadable file must not cost the others."""

from __future__ import annotations

import csv
import logging
import os
import stat
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from vitascope.data.batches import to_tensor
from vitascope.data.formats import FORMATS
from vitascope.data.passed_over import grouped, say, sentence
from vitascope.data.preprocess import Preprocess
from vitascope.data.remarks import Remarks
from vitascope.data.walk import Folder, is_image
from vitascope.errors import DataError, ImageError
from vitascope.inference.predictor import Prediction, Predictor
from vitascope.wording import printable, reason

log = logging.getLogger(__name__)

_MOST_THREADS = 8
"""More decode faster than any model here computes, and each may hold a large photograph."""


@dataclass(frozen=True)
class FilePrediction:
    """What was predicted for one file, or why nothing was."""

    file: str
    predictions: list[Prediction]
    error: str | None = None


def find_images(paths: Sequence[str]) -> list[Path]:
    """Files as given, and all images below the folders among them, sorted; what is passed over is counted in the log.

    Raises `DataError` if there are none, or for a path or folder that cannot be read.
    """
    found: list[Path] = []
    ignored: list[str] = []
    for path in map(Path, paths):
        try:
            is_folder = stat.S_ISDIR(path.stat().st_mode)
        except FileNotFoundError:
            raise DataError(f"{printable(str(path))} does not exist; expected image files or folders") from None
        except (OSError, ValueError) as error:  # ValueError: a NUL in the path
            raise DataError(
                f"{printable(str(path))} cannot be read ({reason(error)}); expected image files or folders"
            ) from None
        if not is_folder:
            found.append(path)
            continue
        inside = list(Folder(str(path)).walk())
        files = sorted(Path(file) for folder in inside for file in folder.files)
        found += (file for file in files if is_image(file.name))
        ignored += [path for folder in inside for path in folder.litter]
        ignored += (str(file) for file in files if not is_image(file.name))
    groups = grouped(ignored)
    if not found:
        below = ", ".join(printable(p) for p in paths)
        raise DataError(f"no images below {below}; " + (sentence(groups) if groups else f"expected {FORMATS}"))
    say(groups)
    return found


def predict_files(
    predictor: Predictor,
    files: Sequence[Path],
    *,
    top: int = 5,
    progress: Callable[[int, int], None] | None = None,
    keep: Callable[[Sequence[FilePrediction]], None] | None = None,
) -> list[FilePrediction]:
    """Predictions in the order of `files`; an unreadable one carries its error instead. `keep` hears of each batch.

    While the model computes a batch, threads decode and resize the next two. What is odd about images that can be
    read is counted in the log.
    """
    predictor.expect(len(files))
    remarks = Remarks()
    results: list[FilePrediction] = []
    normalise = predictor.checkpoint.preprocess.normalise
    with closing(_resized(predictor.checkpoint.preprocess, files, 2 * predictor.batch, remarks)) as images:
        for first in range(0, len(files), predictor.batch):
            chunk = files[first : first + predictor.batch]
            found = list(islice(images, len(chunk)))
            readable = [image for image in found if not isinstance(image, ImageError)]
            predicted = iter(
                predictor.ranked(predictor.outputs(normalise(to_tensor(readable))), top) if readable else ()
            )
            batch = [
                FilePrediction(str(file), [], str(image))
                if isinstance(image, ImageError)
                else FilePrediction(str(file), next(predicted))
                for file, image in zip(chunk, found, strict=True)
            ]
            if keep is not None:
                keep(batch)
            results += batch
            if progress is not None:
                progress(len(results), len(files))
    for told in remarks.told(len(files)).values():
        log.warning("%s", told)
    return results


def _resized(
    preprocess: Preprocess, files: Sequence[Path], ahead: int, remarks: Remarks
) -> Generator[np.ndarray | ImageError, None, None]:
    """Each file's image as the model sees it, uint8 (h, w, C), or why there is none; read up to `ahead` files early.

    Nothing larger than that waits, and no more photographs are decoded at a time than there are threads.
    """

    def one(file: Path) -> np.ndarray | ImageError:
        with remarks.about(str(file)):
            try:
                return preprocess.resize(preprocess.read(file))
            except ImageError as error:
                return error

    pool = ThreadPoolExecutor(min(os.cpu_count() or 1, _MOST_THREADS))
    waiting: deque[Future[np.ndarray | ImageError]] = deque()
    try:
        for file in files:
            waiting.append(pool.submit(one, file))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def csv_rows(result: FilePrediction) -> Iterator[list[Any]]:
    """One row per label, best first, or one with the error."""
    for rank, (label, index, probability) in enumerate(result.predictions, start=1):
        yield [result.file, rank, label, index, f"{probability:.6f}", ""]
    if result.error is not None:
        yield [result.file, "", "", "", "", result.error]


def write_csv(path: str, results: Sequence[FilePrediction]) -> None:
    """One row per file and label, into a new file; raises `DataError` when it exists."""
    try:
        # A file's name may be no UTF-8; then its odd bytes are written as \udcNN.
        with open(path, "x", newline="", encoding="utf-8", errors="backslashreplace") as file:
            writer = csv.writer(file)
            writer.writerow(["file", "rank", "label", "index", "probability", "error"])
            writer.writerows(row for result in results for row in csv_rows(result))
    except FileExistsError as error:
        raise DataError(f"{path} exists; choose another --csv file") from error
    except OSError as error:
        raise DataError(f"{path} cannot be written ({reason(error)}); choose another --csv file") from error
