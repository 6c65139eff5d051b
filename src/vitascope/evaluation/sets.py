"""Prediction sets: the labels that an image may have, which hold its own with a probability that is stated.

A label belongs to the set if its probability is not among the lowest of true labels on images the head has not seen:
of n of those, it must reach the k-th lowest, k = ⌊(1 − coverage)(n + 1)⌋. Whatever the model and the data, the set of a
new image of the same kind then holds its label with at least that probability. An empty set says "none of these": of
images of the known classes no more than 1 − coverage get one, and none at all where even the lowest probabilities in
sets add up to less than 1 (`can_be_empty`).

Source: split conformal prediction (Vovk et al., 2005; Sadinle et al., 2019, for this form), here on probabilities of
images left out; by class (Vovk, 2012). n images, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt

from vitascope.data.labels import indicator
from vitascope.data.source import Labels
from vitascope.errors import ConfigError
from vitascope.fields import Range, check_fields

Coverage = Annotated[float, Range(0.5, 0.999)]
Probabilities = npt.NDArray[np.floating]


@dataclass(frozen=True, kw_only=True)
class PredictionSets:
    """From which probability on a label belongs to the set. Raises `ConfigError`."""

    coverage: Coverage
    """Probability with which a set holds the label, at least."""
    least: tuple[float, ...]
    """The lowest probability in a set: one for all classes, or one for each."""
    images: int
    """How many it was calibrated on."""

    def __post_init__(self) -> None:
        check_fields(self)
        if not self.least or not all(0 <= value <= 1 for value in self.least):
            raise ConfigError(f"least is {self.least}, expected probabilities in [0, 1]")

    @classmethod
    def fit(
        cls, probabilities: Probabilities, labels: Labels, coverage: float, *, by_class: bool = False
    ) -> PredictionSets:
        """Of probabilities (n, K) of images that the head has not seen, and their labels (n,), or (n, K) of several.

        `by_class` states the coverage for each class by itself, for which a class needs 1/(1 − coverage) images; below
        that its label is in every set, as any label is where there are too few images at all. Several labels an image
        are always stated each by itself: an image that has the label has it in its set.
        """
        has = indicator(labels, probabilities.shape[1])
        own = probabilities.T[has.T]  # label by label
        parts = np.split(own, np.cumsum(has.sum(axis=0))[:-1]) if by_class or labels.ndim == 2 else [own]
        least = tuple(_lowest(part, coverage) for part in parts)
        return cls(coverage=coverage, least=least, images=len(labels))

    def members(self, probabilities: Probabilities) -> npt.NDArray[np.bool_]:
        """Which labels are in the set of each row, (m, K) → (m, K)."""
        return probabilities >= np.asarray(self.least, dtype=probabilities.dtype)

    def can_be_empty(self, classes: int) -> bool:
        """Whether probabilities of so many classes that add up to 1 can all be too low: "none of these"."""
        return float(np.broadcast_to(self.least, classes).sum()) > 1

    def as_json(self) -> dict[str, Any]:
        """JSON values, from which `PredictionSets(**values)` comes back with `least` as a tuple."""
        return {"coverage": self.coverage, "least": list(self.least), "images": self.images}


def sets_from_json(values: dict[str, Any]) -> PredictionSets:
    """What `as_json` gave; raises `ConfigError` for anything else."""
    try:
        least: Sequence[float] = values["least"]
        return PredictionSets(
            coverage=values["coverage"], least=tuple(float(value) for value in least), images=values["images"]
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"prediction sets of {str(values)[:60]}, expected coverage, least and images") from error


def sets_text(found: Mapping[str, float], *, several: bool = False) -> str:
    """What came of sets (`of_sets` of a tally) in a line; `several` where an image may have several labels."""
    what = "each label that an image has, in" if several else "the right one in"
    stated, held, none = (100 * found[name] for name in ("coverage", "held", "none"))
    called = f'{none:.1f} % were called "none of these"'
    if not found["can_be_none"]:
        called = 'none can be called "none of these", because the head is not sure enough of images that it knows'
    return (
        f"sets of labels stated to hold {what} {stated:g} % of images: {held:.1f} % did, with "
        f"{found['labels']:.2f} labels on average; {called}"
    )


def _lowest(own: Probabilities, coverage: float) -> float:
    """The k-th lowest; 0 where there is none. A float32 below it, so that rounding leaves no label out."""
    rank = math.floor((1 - coverage) * (len(own) + 1) + 1e-9)
    return 0.0 if rank < 1 else float(np.sort(own)[rank - 1]) * (1 - 1e-6)
