"""Which of the images that were taught decided an answer, exactly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from vitascope.evaluation.fewshot import Ridge
from vitascope.evaluation.influence import influences
from vitascope.evaluation.taught import balanced
from vitascope.teaching.known import Known


@dataclass(frozen=True, kw_only=True)
class Decision:
    """An answer, and what it rests on."""

    answer: int
    """The likeliest class."""
    instead_of: int | None
    """The next likely one; None where an image may have several labels."""
    lead: tuple[tuple[int, float], ...]
    """(image, what it added, in logits, to the answer's lead over the next class, or of several labels to its own
    logit), those that spoke most first."""


def deciders(
    known: Known,
    results: Mapping[str, Any],
    query: npt.NDArray[np.floating],
    logits: npt.NDArray[np.floating],
    top: int,
) -> Decision:
    """Of an image's features (d,) and `logits` (K,) by the head whose "l2", "temperature" and "balance" are
    `results`.
    """
    targets = known.targets
    weights = balanced(targets) if results["balance"] else None
    ridge, l2 = Ridge.of(known.features, targets, weights), float(results["l2"])
    first, second = (int(k) for k in np.argsort(-logits, kind="stable")[:2])
    added = influences(ridge, known.features, targets, l2, query, weights) / np.asarray(results["temperature"])
    lead = added[:, first] - (0 if known.several else added[:, second])
    order = np.argsort(-np.abs(lead), kind="stable")[:top]
    instead = None if known.several else second
    return Decision(answer=first, instead_of=instead, lead=tuple((int(i), float(lead[i])) for i in order))
