"""Which images a model was shown, by content, so that a later evaluation can tell what it has not seen.

`shown.bin` beside the weights holds eight bytes for each image (`data.copies.digests`), those trained on first, each
part rising; the folder's description says how many and the file's SHA-256.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vitascope.data.copies import LIMIT, digests
from vitascope.data.source import Int64, Source
from vitascope.wording import reason

log = logging.getLogger(__name__)

FILE = "shown.bin"


@dataclass(frozen=True, eq=False)
class Shown:
    """The images of all trainings of a model, as far as they are known."""

    trained: Int64
    """(n,) of those its weights were fitted to; at most `LIMIT`, 2 MB."""
    validation: Int64
    """(m,) of those the last training was judged on, held out or given."""
    complete: bool
    """Whether `trained` is all of them, of the checkpoint it began with too."""
    chosen: bool
    """Whether its weights were chosen by `validation`."""
    features: Int64
    """(k,) of `trained`, those whose labels more than the head was fitted to: of these nothing can be left out."""

    @property
    def known(self) -> bool:
        """Whether anything is known of what it was trained on."""
        return self.complete or len(self.trained) > 0

    def among(self, marks: Int64 | None) -> npt.NDArray[np.bool_] | None:
        """Which images of these digests it was trained on; None where nothing is known, of it or of them."""
        return None if marks is None or not self.known else np.isin(marks, self.trained)

    def write(self, folder: Path) -> dict[str, Any]:
        """Writes `shown.bin`; returns what the folder's description has to say of it. Raises OSError."""
        own = not np.array_equal(self.features, self.trained)
        data = np.concatenate([self.trained, self.validation, *([self.features] * own)]).astype("<i8").tobytes()
        (folder / FILE).write_bytes(data)
        sha256 = hashlib.sha256(data).hexdigest()
        counts = {"trained": len(self.trained), "validation": len(self.validation)}
        counts |= {"features": len(self.features)} if own else {}
        return {**counts, "complete": self.complete, "chosen": self.chosen, "sha256": sha256}


NOTHING: Int64 = np.zeros(0, dtype=np.int64)
NEW = Shown(NOTHING, NOTHING, True, False, NOTHING)
"""Of a model with initial values."""


def shown_to(
    train: Source, validation: Source | None, before: Shown | None, *, chosen: bool, features: bool = True
) -> Shown:
    """What a training shows a model: `before` is what it had been shown, None where that is not known; `features`:
    whether more than its head is fitted to the labels."""
    judged = NOTHING if validation is None else digests(validation)
    return shown_marks(digests(train), before, _set(judged), chosen=chosen, features=features)


def shown_marks(
    marks: Int64 | None, before: Shown | None, validation: Int64 = NOTHING, *, chosen: bool, features: bool
) -> Shown:
    """As `shown_to`, of images by their digests, None where those are not known."""
    trained = _set(marks) if before is None or marks is None else np.union1d(before.trained, _set(marks))
    fitted = NOTHING if before is None else before.features
    fitted = np.union1d(fitted, _set(marks)) if features else fitted
    complete = marks is not None and before is not None and before.complete
    if len(trained) > LIMIT:
        trained, complete, fitted = NOTHING, False, NOTHING
    return Shown(trained, validation, complete, chosen, fitted)


def read_shown(folder: Path, stated: Any) -> Shown | None:
    """What `write` wrote and returned; None, with a warning where it ought to be there, where there is none."""
    if stated is None:
        return None
    try:
        lengths = [int(stated[name]) for name in ("trained", "validation", "features") if name in stated]
        if min(lengths) < 0 or 8 * sum(lengths) != (folder / FILE).stat().st_size:
            raise ValueError("of another length")
        data = (folder / FILE).read_bytes()
        if hashlib.sha256(data).hexdigest() != stated["sha256"]:
            raise ValueError("of another SHA-256")
        parts = np.split(np.frombuffer(data, dtype="<i8").astype(np.int64), np.cumsum(lengths)[:-1])
        trained, validation, *features = parts
        told = stated["complete"] is True, stated["chosen"] is True
        return Shown(trained, validation, *told, *(features or [trained]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        why = reason(error)
        log.warning("%s is missing or damaged (%s): what was trained on is unknown; copy it again", folder / FILE, why)
        return None


def _set(found: Int64 | None) -> Int64:
    return NOTHING if found is None else np.unique(found[found != 0])
