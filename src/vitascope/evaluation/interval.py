"""What several seeds say together: their mean, and how far the true mean may lie from it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vitascope.errors import ConfigError

CONFIDENCE = 0.95
"""Share of such intervals that hold the true mean, if results scatter normally over seeds."""


@dataclass(frozen=True, kw_only=True)
class Interval:
    """mean ± half."""

    mean: float
    """Of all values."""
    half: float | None
    """Half the width, t·s/√n with Student's t for n − 1 degrees of freedom; None of a single value."""
    count: int
    """Values, n."""

    def percent(self) -> str:
        """For tables: "45.3 ± 1.2 %", without the second number of a single value."""
        return f"{100 * self.mean:.1f}{'' if self.half is None else f' ± {100 * self.half:.1f}'} %"


def interval(values: Sequence[float]) -> Interval:
    """The 95 % interval of the mean of `values`; raises `ConfigError` where there are none or one is not finite."""
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 1 or len(x) == 0 or not np.isfinite(x).all():
        raise ConfigError(f"an interval of {list(values)!r}, expected one or more finite numbers")
    n = len(x)
    half = None if n == 1 else student_t(n - 1) * float(x.std(ddof=1)) / math.sqrt(n)
    return Interval(mean=float(x.mean()), half=half, count=n)


def student_t(freedom: int) -> float:
    """The two-sided quantile of Student's t: 12.7 for one degree of freedom, 1.96 for many."""
    from scipy.special import stdtrit  # comes with scikit-learn

    return float(stdtrit(freedom, (1 + CONFIDENCE) / 2))
