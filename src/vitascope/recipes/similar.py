"""Images like a given one, and those that decided a taught head's answer to it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np

from vitascope.checkpoints.adapt import replace_head
from vitascope.checkpoints.checkpoint import Checkpoint
from vitascope.checkpoints.load import load
from vitascope.errors import ConfigError, DataError, ImageError
from vitascope.evaluation.features import made_by
from vitascope.evaluation.neighbours import nearest
from vitascope.inference.features import Embedder
from vitascope.inference.files import find_images
from vitascope.recipes.asked import Similar
from vitascope.teaching.deciders import deciders
from vitascope.teaching.known import Known, read_taught

log = logging.getLogger(__name__)


def similar(asked: Similar) -> dict[str, Any]:
    """The images most like `asked.image` among PATHS, else among those that a run was taught, JSON-able.

    Of a taught run "decided" has the images that spoke most for its answer and against it, with what each added to the
    answer's lead over the next class, in logits; of several labels an image, to the likeliest label's own logit. Raises
    `UserError` for what the user can mend.
    """
    taught = None if asked.paths else read_taught(asked.checkpoint)
    if taught is None and not asked.paths:
        raise ConfigError(f"{asked.checkpoint} was not taught; give image files or folders to look among")
    checkpoint = load(asked.checkpoint, **asked.stated)
    if taught is not None:
        taught[0].check_made_by(made_by(replace_head(checkpoint.model, 0), checkpoint.preprocess), asked.checkpoint)
    embedder = Embedder(checkpoint, "eager", device=asked.device, batch=asked.batch)
    query = embedder(asked.image)
    if taught is not None:
        known, results = taught
        labels = list(map(known.label_of, range(len(known))))
        told = _nearest(known.names, known.features, query, asked.top, labels)
        return {**told, **_decided(known, results, checkpoint, query[0], asked.top)}
    names, rows = list[str](), list[np.ndarray]()
    for file, row in embedder.files(find_images(asked.paths)):
        if isinstance(row, ImageError):
            log.warning("%s; left out", row)
        else:
            names.append(str(file))
            rows.append(row)
    if not rows:
        raise DataError("none of the images can be read; `vitascope check` says why")
    return _nearest(names, np.stack(rows), query, asked.top)


def _nearest(
    names: Sequence[str], rows: np.ndarray, query: np.ndarray, top: int, labels: Sequence[str] | None = None
) -> dict[str, Any]:
    places, cosines = nearest(rows, query, top)
    told = [{"file": names[i], "cosine": float(cosine)} for i, cosine in zip(places[0], cosines[0], strict=True)]
    if labels is not None:
        told = [{**entry, "label": labels[i]} for entry, i in zip(told, places[0], strict=True)]
    return {"similar": told}


def _decided(
    known: Known, results: dict[str, Any], checkpoint: Checkpoint, query: np.ndarray, top: int
) -> dict[str, Any]:
    linear = checkpoint.model.head.linear
    assert linear is not None
    logits = query @ linear.weight.detach().numpy().T + linear.bias.detach().numpy()
    found = deciders(known, results, query, logits, top)
    told = [{"file": known.names[i], "label": known.label_of(i), "lead": lead} for i, lead in found.lead]
    instead = None if found.instead_of is None else known.classes[found.instead_of]
    return {"answer": known.classes[found.answer], "instead_of": instead, "decided": told}
