"""What was said of each image as a table for spreadsheets, and the mistakes as pictures in folders."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from PIL import Image

from vitascope.checkpoints.output import atomic_file, atomic_folder
from vitascope.errors import ImageError
from vitascope.reports.reported import Judged

COLUMNS = ("file", "split", "truth", "answer", "probability", "right", "label_wrong")


def write_answers(path: Path, judged: Sequence[Judged], classes: Sequence[str], wrong: Mapping[str, float]) -> None:
    """A row for each image, the most confident mistakes of each set first; `wrong`: how probably a file's label is.

    UTF-8 with a mark at the beginning, without which spreadsheets take it for something else.
    """
    # A file's name may be no UTF-8; then its odd bytes are written as \udcNN.
    how: dict[str, Any] = {"newline": "", "encoding": "utf-8-sig", "errors": "backslashreplace"}
    with atomic_file(path) as temporary, temporary.open("w", **how) as file:
        rows = csv.writer(file)
        rows.writerow(COLUMNS)
        for each in judged:
            answers, is_right = each.answers, each.answers.right
            for row in answers.in_order().tolist():
                name = each.name_of(int(answers.places[row]))
                doubt = f"{wrong[name]:.3f}" if name in wrong else ""
                told = f"{answers.probability[row]:.6f}", "yes" if is_right[row] else "no"
                rows.writerow([name, each.split, *answers.names(row, classes), *told, doubt])


def write_mistakes(folder: Path, judged: Judged, classes: Sequence[str]) -> None:
    """A new folder of pictures, one folder for each true class: bees/0001-ants-0.96-NAME.jpg is the most confident
    mistake, said to be ants; those that cannot be read are left out."""
    with atomic_folder(folder) as inside:
        for rank, row in enumerate(judged.answers.mistakes().tolist(), start=1):
            place = int(judged.answers.places[row])
            with suppress(ImageError):
                image = Image.fromarray(judged.picture(place))
                image.thumbnail((_SIDE, _SIDE))
                truth, said = (_file_name(name) for name in judged.answers.names(row, classes))
                name = _file_name(Path(judged.name_of(place)).stem)
                sure = f"{rank:04d}-{said}-{float(judged.answers.probability[row]):.2f}-{name}"
                (inside / truth).mkdir(exist_ok=True)
                kind = "png" if max(image.size) <= _SMALL else "jpg"
                image.save(inside / truth / f"{sure}.{kind}", quality=90)


_SIDE, _SMALL = 1024, 128
"""Pixels of the longer side of a picture at most, and up to which it is kept without loss."""
_NAMED = 90
"""Bytes of a name within a file's, which has two and 255 at most."""


def _file_name(name: str) -> str:
    """Of a class or an image, for any file system."""
    return re.sub(r"[^\w.()+ -]", "_", name).encode()[:_NAMED].decode(errors="ignore").strip(". ") or "_"
