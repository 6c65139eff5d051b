"""Predictions for files and folders, where one unreadable file must not cost the others."""

from __future__ import annotations

import logging
import stat
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from vitascope.ahead import ahead
from vitascope.checkpoints.answer import Answer
from vitascope.data.formats import FORMATS
from vitascope.data.passed_over import grouped, say, sentence
from vitascope.data.preprocess import Preprocess
from vitascope.data.remarks import Remarks
from vitascope.data.walk import Folder, is_image
from vitascope.errors import DataError, ImageError
from vitascope.inference.predictor import Predictor
from vitascope.wording import printable, reason

log = logging.getLogger(__name__)

_MOST_THREADS = 8
"""More decode faster than any model here computes, and each may hold a large photograph."""


@dataclass(frozen=True)
class FilePrediction:
    """What was predicted for one file, or why nothing was."""

    file: str
    answer: Answer | None
    error: str | None = None


def find_images(paths: Sequence[str]) -> list[Path]:
    """Files as given, and all images below the folders among them, sorted; what is passed over is counted in the log.

    Raises `DataError` if there are none, or for a path or folder that cannot be read.
    """
    images: list[Path] = []
    ignored: list[str] = []
    for path in map(Path, paths):
        try:
            is_folder = stat.S_ISDIR(path.stat().st_mode)
        except (OSError, ValueError) as error:  # ValueError: a NUL in the path
            absent = isinstance(error, FileNotFoundError)
            what = "does not exist" if absent else f"cannot be read ({reason(error)})"
            raise DataError(f"{printable(str(path))} {what}; expected image files or folders") from None
        if not is_folder:
            images.append(path)
            continue
        inside = list(Folder(str(path)).walk())
        ignored += (path for folder in inside for path in folder.litter)
        for file in sorted(Path(file) for folder in inside for file in folder.files):
            if is_image(file.name):
                images.append(file)
            else:
                ignored.append(str(file))
    groups = grouped(ignored)
    if not images:
        below = ", ".join(printable(p) for p in paths)
        raise DataError(f"no images below {below}; " + (sentence(groups) if groups else f"expected {FORMATS}"))
    say(groups)
    return images


def predict_files(predictor: Predictor, files: Sequence[Path], top: int = 5) -> Iterator[FilePrediction]:
    """Predictions in the order of `files`, as they are made; an unreadable one carries its error instead."""
    predictor.expect(len(files))
    for batch in read_files(predictor.checkpoint.preprocess, files, predictor.batch):
        readable = [image for _, image in batch if not isinstance(image, ImageError)]
        predicted = iter(predictor.answers(predictor.outputs(readable), top))
        for file, image in batch:
            if isinstance(image, ImageError):
                yield FilePrediction(str(file), None, str(image))
            else:
                yield FilePrediction(str(file), next(predicted))


def read_files(
    preprocess: Preprocess, files: Sequence[Path], batch: int
) -> Iterator[list[tuple[Path, np.ndarray | ImageError]]]:
    """Batches of files with their images as the model sees them, uint8 (h, w, C), or why there is none.

    While one is in use, threads decode and resize the next two. What is odd about images that can be read is counted in
    the log.
    """
    remarks = Remarks()
    with closing(_resized(preprocess, files, 2 * batch, remarks)) as images:
        pairs = zip(files, images, strict=True)
        while part := list(islice(pairs, batch)):
            yield part
    for told in remarks.told().values():
        log.warning("%s", told)


def _resized(
    preprocess: Preprocess, files: Sequence[Path], early: int, remarks: Remarks
) -> Generator[np.ndarray | ImageError, None, None]:
    """Each file's image as the model sees it, uint8 (h, w, C), or why there is none; up to `early` before their turn.

    Nothing larger than that waits, and no more photographs are decoded at a time than there are threads.
    """

    def one(file: Path) -> np.ndarray | ImageError:
        with remarks.about(str(file)):
            try:
                return preprocess.pixels(file)
            except ImageError as error:
                return error

    return ahead(one, files, most=early, threads=_MOST_THREADS)
