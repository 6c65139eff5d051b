"""How far the truth may lie from a figure: from the mean of several seeds, and from a share of some images."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vitascope.errors import ConfigError
from vitascope.wording import printable

CONFIDENCE = 0.95
"""Share of such intervals that hold the true mean, if results scatter normally over seeds."""


@dataclass(frozen=True, kw_only=True)
class Interval:
    """mean ± half, of a value or of a difference of two."""

    mean: float
    """Of all values."""
    half: float | None
    """Half the width, t·s/√n with Student's t for n − 1 degrees of freedom; None of a single value."""
    count: int
    """Values, n."""

    def bar(self, scale: float = 100.0) -> float:
        """Half of it in a figure, in percent unless told otherwise; NaN, which draws nothing, where it is unknown."""
        return math.nan if self.half is None else scale * self.half

    @property
    def sign(self) -> int:
        """1 or −1 where the interval leaves 0 out, else 0."""
        return 0 if self.half is None or abs(self.mean) <= self.half else (1 if self.mean > 0 else -1)

    def percent(self) -> str:
        """For tables: "45.3 ± 1.2 %", without the second number of a single value."""
        return f"{self._hundredfold('')} %"

    def points(self) -> str:
        """Of a difference of shares: "+3.1 ± 0.8 points"."""
        return f"{self._hundredfold('+')} points"

    def _hundredfold(self, sign: str) -> str:
        return f"{100 * self.mean:{sign}.1f}{'' if self.half is None else f' ± {100 * self.half:.1f}'}"


def interval(values: Sequence[float]) -> Interval:
    """The 95 % interval of the mean of `values`; raises `ConfigError` where there are none or one is not finite."""
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 1 or len(x) == 0 or not np.isfinite(x).all():
        raise ConfigError(f"an interval of {list(values)!r}, expected one or more finite numbers")
    n = len(x)
    half = None if n == 1 else student_t(n - 1) * float(x.std(ddof=1)) / math.sqrt(n)
    return Interval(mean=float(x.mean()), half=half, count=n)


def wilson(share: float, count: int) -> tuple[float, float]:
    """The 95 % interval of a share in [0, 1] of `count` independent images (Wilson, 1927); (0, 1) of none."""
    if count == 0:
        return 0.0, 1.0
    z2 = normal() ** 2 / count
    centre, half = share + z2 / 2, math.sqrt(z2 * (share * (1 - share) + z2 / 4))
    return max((centre - half) / (1 + z2), 0.0), min((centre + half) / (1 + z2), 1.0)


def accuracy_text(summary: Mapping[str, Any]) -> str:
    """Top-1 with its interval, beside always naming the largest class: how every command says an accuracy.

    `summary` has "top1" and "images" and, where it is known, "baseline" ("class", "top1").
    """
    top1, n = summary["top1"], summary["images"]
    low, high = wilson(top1, n)
    text = f"{100 * top1:.1f} % ({100 * low:.0f}–{100 * high:.0f}) of {n:,}"
    if (baseline := summary.get("baseline")) is None:
        return text
    text += f"; always {printable(baseline['class'])!r} {100 * baseline['top1']:.1f} %"
    if top1 <= baseline["top1"]:
        return f"{text}: has not learned"
    return f"{text}: so few images do not tell them apart" if low <= baseline["top1"] else text


def figures(summary: Mapping[str, Any]) -> dict[str, str]:
    """What a summary says besides its number of images, by name, as every command says it; the loss is last."""
    right = {"top-1": accuracy_text(summary)} if "top1" in summary else {}
    if "map" in summary:
        right["mAP"] = f"{100 * summary['map']:.1f} %; by chance {100 * summary['by_chance']:.1f} %"
    if "macro_f1" in summary:
        right["macro F1"] = f"{100 * summary['macro_f1']:.1f} %"
    if "colours" in summary:  # of masked images
        right["right colours"] = f"{100 * summary['colours']:.1f} %"
    return {**right, "loss": f"{summary['loss']:.4f}"}


def normal() -> float:
    """The two-sided quantile of the normal distribution, 1.96."""
    return student_t(1_000_000_000)


def student_t(freedom: int) -> float:
    """The two-sided quantile of Student's t: 12.7 for one degree of freedom, 1.96 for many."""
    from scipy.special import stdtrit  # comes with scikit-learn

    return float(stdtrit(freedom, (1 + CONFIDENCE) / 2))
