"""Predictions for files and folders, where one unreadable file must not cost the others."""

from __future__ import annotations

import csv
import os
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from vitascope.data.batches import to_tensor
from vitascope.data.formats import EXTENSIONS
from vitascope.data.images import printable
from vitascope.data.preprocess import Preprocess
from vitascope.errors import DataError, ImageError
from vitascope.inference.predictor import Prediction, Predictor

_MOST_THREADS = 8
"""More decode faster than any model here computes, and each may hold a large photograph."""


@dataclass(frozen=True)
class FilePrediction:
    """What was predicted for one file, or why nothing was."""

    file: str
    predictions: list[Prediction]
    error: str | None = None


def find_images(paths: Sequence[str]) -> list[Path]:
    """Files as given, and all images below the folders among them, sorted; raises `DataError` if there are none."""
    found: list[Path] = []
    for path in map(Path, paths):
        if not path.exists():
            raise DataError(f"{printable(str(path))} does not exist; expected image files or folders")
        if path.is_dir():
            inside = (Path(root, name) for root, _, names in os.walk(path) for name in names)
            found += sorted(file for file in inside if file.suffix.lower() in EXTENSIONS)
        else:
            found.append(path)
    if not found:
        raise DataError(
            f"no images below {', '.join(printable(p) for p in paths)}; expected JPEG, PNG, WebP, BMP, GIF, TIFF"
        )
    return found


def predict_files(
    predictor: Predictor, files: Sequence[Path], *, top: int = 5, progress: Callable[[int, int], None] | None = None
) -> list[FilePrediction]:
    """Predictions in the order of `files`; an unreadable one carries its error instead.

    While the model computes a batch, threads decode and resize the next two.
    """
    predictor.expect(len(files))
    results: list[FilePrediction] = []
    normalise = predictor.checkpoint.preprocess.normalise
    with closing(_resized(predictor.checkpoint.preprocess, files, ahead=2 * predictor.batch)) as images:
        for first in range(0, len(files), predictor.batch):
            chunk = files[first : first + predictor.batch]
            found = list(islice(images, len(chunk)))
            readable = [image for image in found if not isinstance(image, ImageError)]
            predicted = iter(
                predictor.ranked(predictor.outputs(normalise(to_tensor(readable))), top) if readable else ()
            )
            results += [
                FilePrediction(str(file), [], str(image))
                if isinstance(image, ImageError)
                else FilePrediction(str(file), next(predicted))
                for file, image in zip(chunk, found, strict=True)
            ]
            if progress is not None:
                progress(len(results), len(files))
    return results


def _resized(
    preprocess: Preprocess, files: Sequence[Path], ahead: int
) -> Generator[np.ndarray | ImageError, None, None]:
    """Each file's image as the model sees it, uint8 (h, w, C), or why there is none; read up to `ahead` files early.

    Nothing larger than that waits, and no more photographs are decoded at a time than there are threads.
    """

    def one(file: Path) -> np.ndarray | ImageError:
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


def write_csv(path: str, results: Sequence[FilePrediction]) -> None:
    """One row per file and label, into a new file; raises `DataError` when it exists."""
    try:
        # A file's name may be no UTF-8; then its odd bytes are written as \udcNN.
        with open(path, "x", newline="", encoding="utf-8", errors="backslashreplace") as file:
            writer = csv.writer(file)
            writer.writerow(["file", "rank", "label", "index", "probability", "error"])
            for result in results:
                for rank, (label, index, probability) in enumerate(result.predictions, start=1):
                    writer.writerow([result.file, rank, label, index, f"{probability:.6f}", ""])
                if result.error is not None:
                    writer.writerow([result.file, "", "", "", "", result.error])
    except FileExistsError as error:
        raise DataError(f"{path} exists; choose another --csv file") from error
    except OSError as error:
        raise DataError(f"{path} cannot be written ({error.strerror}); choose another --csv file") from error
