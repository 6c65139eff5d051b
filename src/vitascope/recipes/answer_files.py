"""What was said of each image as a table for spreadsheets, and the mistakes as pictures in folders."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vitascope.checkpoints.output import atomic_file
from vitascope.recipes.reported import Judged

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
