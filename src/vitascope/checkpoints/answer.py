"""What is said of one image: its likeliest labels and, where the checkpoint is calibrated, its prediction set.

Free of torch until there are probabilities.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from torch import Tensor

    from vitascope.checkpoints.checkpoint import Prediction

NONE_OF_THESE = "none of these"
"""What is said of an image whose prediction set is empty."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """Of one image."""

    predictions: list[Prediction]
    """Best first."""
    members: tuple[str, ...] | None = None
    """The labels in its prediction set, in the order of the classes; None where the checkpoint states no coverage."""

    def as_json(self) -> dict[str, Any]:
        """ "labels" and, with a set, "set" and "known": whether it is one of the classes at all."""
        told = {"labels": as_objects(self.predictions)}
        return told if self.members is None else {**told, "set": list(self.members), "known": bool(self.members)}


class Sets(Protocol):
    """Says of probabilities (m, K) which labels are in the set of each row, (m, K)."""

    def members(self, probabilities: Any, /) -> Any: ...


def answers(probabilities: Tensor, labels: Sequence[str], sets: Sets | None, top: int = 5) -> list[Answer]:
    """Of each row (n, K); raises `ConfigError` for no `top`."""
    from vitascope.checkpoints.checkpoint import ranked

    best = ranked(probabilities, labels, top)
    if sets is None:
        return [Answer(predictions=predictions) for predictions in best]
    inside = sets.members(probabilities.numpy())
    return [
        Answer(predictions=p, members=tuple(label for label, is_in in zip(labels, row, strict=True) if is_in))
        for p, row in zip(best, inside, strict=True)
    ]


def as_objects(predictions: Iterable[Prediction]) -> list[dict[str, Any]]:
    """(label, index, probability) as JSON objects."""
    return [dict(zip(("label", "index", "probability"), p, strict=True)) for p in predictions]
