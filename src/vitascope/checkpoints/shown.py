"""Which images a model was shown, by content, so that a later evaluation can tell what it has not seen.

`shown.bin` beside the weights holds eight bytes for each image (`data.copies.digests`), those trained on first, both
parts rising; the folder's description says how many and the file's SHA-256.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

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

    @property
    def known(self) -> bool:
        """Whether anything is known of what it was trained on."""
        return self.complete or len(self.trained) > 0

    def write(self, folder: Path) -> dict[str, Any]:
        """Writes `shown.bin`; returns what the folder's description has to say of it. Raises OSError."""
        data = np.concatenate([self.trained, self.validation]).astype("<i8").tobytes()
        (folder / FILE).write_bytes(data)
        sha256 = hashlib.sha256(data).hexdigest()
        counts = {"trained": len(self.trained), "validation": len(self.validation)}
        return {**counts, "complete": self.complete, "chosen": self.chosen, "sha256": sha256}


NOTHING: Int64 = np.zeros(0, dtype=np.int64)
NEW = Shown(NOTHING, NOTHING, True, False)
"""Of a model with initial values."""


def shown_to(train: Source, validation: Source | None, before: Shown | None, *, chosen: bool) -> Shown:
    """What a training shows a model: `before` is what it had been shown, None where that is not known."""
    judged = NOTHING if validation is None else digests(validation)
    return shown_marks(digests(train), before, _set(judged), chosen=chosen)


def shown_marks(marks: Int64 | None, before: Shown | None, validation: Int64 = NOTHING, *, chosen: bool) -> Shown:
    """As `shown_to`, of images by their digests, None where those are not known."""
    trained = _set(marks) if before is None or marks is None else np.union1d(before.trained, _set(marks))
    complete = marks is not None and before is not None and before.complete
    if len(trained) > LIMIT:
        trained, complete = NOTHING, False
    return Shown(trained, validation, complete, chosen)


def read_shown(folder: Path, stated: Any) -> Shown | None:
    """What `write` wrote and returned; None, with a warning where it ought to be there, where there is none."""
    if stated is None:
        return None
    try:
        trained, validation = int(stated["trained"]), int(stated["validation"])
        if not 0 <= 8 * (trained + validation) == (folder / FILE).stat().st_size:
            raise ValueError("of another length")
        data = (folder / FILE).read_bytes()
        if hashlib.sha256(data).hexdigest() != stated["sha256"]:
            raise ValueError("of another SHA-256")
        both = np.frombuffer(data, dtype="<i8").astype(np.int64)
        return Shown(both[:trained], both[trained:], stated["complete"] is True, stated["chosen"] is True)
    except (OSError, ValueError, KeyError, TypeError) as error:
        why = reason(error)
        log.warning("%s is missing or damaged (%s): what was trained on is unknown; copy it again", folder / FILE, why)
        return None


def _set(found: Int64 | None) -> Int64:
    return NOTHING if found is None else np.unique(found[found != 0])
