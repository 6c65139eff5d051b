"""Two models on the same images: what counts are the images that one alone gets right."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from vitascope.errors import ConfigError
from vitascope.evaluation.interval import normal


@dataclass(frozen=True, kw_only=True)
class Paired:
    """How one model compares with another on n images that both judged."""

    images: int
    """n."""
    gained: int
    """Images that it alone gets right."""
    lost: int
    """Images that the other alone gets right."""

    @property
    def difference(self) -> float:
        """Its accuracy less the other's, in [−1, 1]."""
        return (self.gained - self.lost) / max(self.images, 1)

    @property
    def interval(self) -> tuple[float, float]:
        """95 % of the difference (Bonett and Price, 2012): as if one image more of either kind had been seen."""
        n = self.images + 2
        gained, lost = (self.gained + 1) / n, (self.lost + 1) / n
        middle = gained - lost
        half = normal() * math.sqrt((gained + lost - middle**2) / n)
        return max(middle - half, -1.0), min(middle + half, 1.0)

    @property
    def chance(self) -> float:
        """How probable so uneven a split is where both are equally good, McNemar's exact test, in (0, 1]."""
        from scipy.special import bdtr  # comes with scikit-learn

        return min(2 * float(bdtr(min(self.gained, self.lost), self.gained + self.lost, 0.5)), 1.0)

    def as_json(self) -> dict[str, Any]:
        """JSON values."""
        counts = {"gained": self.gained, "lost": self.lost}
        return {"difference": self.difference, "interval": list(self.interval), "chance": self.chance, **counts}


def paired(right: npt.NDArray[np.bool_], other: npt.NDArray[np.bool_]) -> Paired:
    """Of what a model and another got right, (n,) each in the order of the same images."""
    if right.shape != other.shape or right.ndim != 1:
        raise ConfigError(f"answers of {right.shape} and {other.shape} images, expected the same images")
    return Paired(images=len(right), gained=int((right & ~other).sum()), lost=int((other & ~right).sum()))


def points_text(difference: Mapping[str, Any]) -> str:
    """What `as_json` gave, for tables: "+3.9 points (−1.2 to +9.0)"."""
    low, high = difference["interval"]
    return f"{100 * difference['difference']:+.1f} points ({100 * low:+.1f} to {100 * high:+.1f})"
