"""What a server's model does for those who teach it: photographs → features → a lesson → answers, and a run of it."""

from __future__ import annotations

import io
import tempfile
import zipfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageOps

from vitascope.checkpoints.answer import Answer, answers
from vitascope.checkpoints.checkpoint import Checkpoint
from vitascope.checkpoints.shown import shown_marks
from vitascope.data.alike import SIDE
from vitascope.data.copies import copies_among, mark_of, unless_of_one_mould
from vitascope.data.images import UInt8
from vitascope.data.picture import open_image
from vitascope.errors import CheckpointError, ConfigError
from vitascope.evaluation.features import made_by
from vitascope.evaluation.neighbours import nearest
from vitascope.teaching.deciders import deciders
from vitascope.teaching.known import Known, parse_taught
from vitascope.teaching.lesson import Lesson, learn, write_lesson
from vitascope.teaching.settings import Teaching

Float32 = npt.NDArray[np.float32]

_SHOWN, _QUALITY = 128, 80
"""Pixels a side of the small pictures that the page shows, and their quality as JPEG."""
_ROOT = "taught"
"""Folder in the archive of a saved run."""
_LIKE = 4
"""Images that are shown as the most like one."""
_EACH, _SCORES, _PAIRS, _BASE = 24, 48, 96, 8 << 20
"""Bytes that solving takes for each feature of each image, for each score, for each pair of features (of images, where
there are fewer), and in any case; measured."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Photo:
    """A photograph that was sent, as far as it is kept."""

    mark: int
    """Eight bytes of the hash of its content (`data/copies.py`)."""
    small: UInt8 | int
    """What is compared to find copies."""
    picture: bytes
    """Its middle as a small JPEG."""

    @property
    def nbytes(self) -> int:
        """Memory of it."""
        return len(self.picture) + np.asarray(self.small).nbytes


class Teacher:
    """Around the checkpoint that is served, whose own head plays no part; `started`: what it was taught before."""

    def __init__(self, checkpoint: Checkpoint, headless: Checkpoint, max_pixels: int, started: Known | None) -> None:
        if started is not None and started.several:
            raise ConfigError("this run was taught several labels an image, boxes know one; serve it without --teach")
        self.checkpoint = checkpoint
        self.settings = Teaching()
        self._max_pixels = max_pixels
        self.width = headless.config.features
        """D'."""
        self._made_by = made_by(headless.model, headless.preprocess)
        self._started = started

    def begin(self) -> Known:
        """What is known at the beginning: what the served run was taught, or nothing."""
        if self._started is not None:
            return self._started
        return self.of([], [], np.zeros((0, self.width), dtype=np.float32), "")

    def read(self, content: bytes) -> tuple[Photo, UInt8]:
        """Bytes of a file → what is kept of it, and uint8 (h, w, C) of the model's size; raises ImageError."""
        pixels = self.checkpoint.preprocess.pixels(content, max_pixels=self._max_pixels)
        image = open_image(content)
        mark, small = mark_of(image)
        shown, file = Image.fromarray(image.read(3, draft=(_SHOWN, _SHOWN))), io.BytesIO()
        ImageOps.fit(shown, (_SHOWN, _SHOWN)).save(file, "JPEG", quality=_QUALITY)
        return Photo(mark=mark, small=small, picture=file.getvalue()), pixels

    def of(self, photos: Sequence[Photo], names: Sequence[str], features: Float32, label: str) -> Known:
        """Of photographs of one class, and their features (n, D')."""
        n = len(photos)
        return Known(
            features=features,
            classes=(label,) if n else (),
            labels=np.zeros(n, dtype=np.int64),
            names=tuple(names),
            marks=np.array([photo.mark for photo in photos], dtype=np.int64),
            groups=np.arange(n, dtype=np.int64),
            made_by=self._made_by,
        )

    def parse(self, content: bytes, sha256: str) -> Known:
        """What a run was taught, by the bytes of its file; raises `CheckpointError`, of another model too."""
        known = replace(parse_taught(content, sha256), small=None)  # a session's photographs have their own
        if known.several:
            raise CheckpointError("this run was taught several labels an image, boxes know one")
        if known.made_by != self._made_by:
            raise CheckpointError(
                "this run was taught with another model, or an older version; serve the run itself with --teach"
            )
        return known

    def solving_bytes(self, known: Known) -> int:
        """Memory that `learn` takes, at most."""
        n, d = known.features.shape
        return _EACH * n * (d + 1) + _SCORES * n * len(known.classes) + _PAIRS * (min(n, d) + 1) ** 2 + _BASE

    def learn(self, known: Known, photos: dict[int, Photo]) -> Lesson:
        """The lesson, with copies among the photographs left out together; raises `DataError`."""
        return learn(_grouped(known, photos), self.settings, self.checkpoint.shown)

    def answer(self, lesson: Lesson, row: Float32, top: int) -> Answer:
        """Of an image's features (1, D'), as the saved run answers."""
        logits = torch.from_numpy(lesson.logits(row)).float()
        return answers(logits.softmax(dim=1), lesson.known.classes, lesson.sets, top)[0]

    def like(self, lesson: Lesson, row: Float32) -> list[tuple[int, float, float]]:
        """The images most like one (1, D'): (place, cosine, what it added to the answer's lead, in logits)."""
        known = lesson.known
        lead = dict(deciders(known, lesson.results, row[0], lesson.logits(row)[0], len(known)).lead)
        places, cosines = nearest(known.features, row, _LIKE)
        return [(int(i), float(c), lead[int(i)]) for i, c in zip(places[0], cosines[0], strict=True)]

    def summary(self, lesson: Lesson) -> dict[str, Any]:
        """What the page tells of a lesson; classes by their names, images by their places."""
        results, known = lesson.results, lesson.known
        return {
            "images": results["images"],
            "top1": results["loo_top1"],
            "interval": results["interval"],
            "baseline": results["baseline"],
            "per_class": results["per_class"],
            "forecast": results["forecast"],
            "gains": results["gains"],
            "sets": results["sets"],
            "trained_on": results["trained_on"],
            "suspects": [
                {"place": suspect.place, "looks_like": known.classes[suspect.instead], "wrong": suspect.wrong}
                for suspect in lesson.suspects
            ],
        }

    def archive(self, lesson: Lesson, name: str) -> BinaryIO:
        """The zip of the run that `vitascope teach` would write, in a file without a name, which ends with its closing:
        without report, answers and photographs, of which the server keeps none that are large enough.

        The run itself is on the disk while the zip is made of it.
        """
        shown = shown_marks(lesson.known.marks, self.checkpoint.shown, chosen=False, features=False)
        taught = lesson.onto(self.checkpoint, shown=shown, card={"checkpoint": name})
        with ExitStack() as undone:
            file: BinaryIO = undone.enter_context(tempfile.TemporaryFile())
            with tempfile.TemporaryDirectory(prefix="vitascope-") as folder:
                write_lesson(Path(folder), lesson, taught, seconds=0.0, command=("serve", name, "--teach"))
                with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:  # weights hardly compress
                    for path in sorted(Path(folder).rglob("*")):
                        if path.is_file():
                            archive.write(path, f"{_ROOT}/{path.relative_to(folder).as_posix()}")
            undone.pop_all()
        return file


def _grouped(known: Known, photos: dict[int, Photo]) -> Known:
    """With copies among the photographs that were sent in one group; those of a loaded run stay as they were."""
    seen = np.array([int(mark) in photos for mark in known.marks], dtype=bool)
    if not seen.any():
        return known
    held = [photos[int(mark)] for mark in known.marks[seen]]
    small = np.zeros((len(held), SIDE, SIDE), dtype=np.uint8)
    for place, photo in zip(small, held, strict=True):
        place[:] = photo.small
    exact, near, _ = copies_among(known.marks[seen], small)
    found, _ = unless_of_one_mould(exact, near)
    groups = known.groups.copy()
    groups[seen] = found + int(known.groups[~seen].max(initial=-1)) + 1
    return replace(known, groups=groups)
