"""Predictions for files and folders, where one unreadable file must not cost the others."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from vitascope.data.images import EXTENSIONS, printable
from vitascope.errors import DataError, ImageError
from vitascope.inference.predictor import Prediction, Predictor


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
    """Predictions in the order of `files`; an unreadable one carries its error instead."""
    results: list[FilePrediction] = []
    for first in range(0, len(files), predictor.batch):
        chunk = files[first : first + predictor.batch]
        images, errors = {}, {}
        for file in chunk:
            try:
                images[file] = predictor.checkpoint.preprocess.read(file)
            except ImageError as error:
                errors[file] = str(error)
        predicted = dict(zip(images, predictor(list(images.values()), top), strict=True))
        results += [FilePrediction(str(file), predicted.get(file, []), errors.get(file)) for file in chunk]
        if progress is not None:
            progress(min(first + predictor.batch, len(files)), len(files))
    return results


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
