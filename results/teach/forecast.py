"""Does the forecast's interval hold what more images bring? `forecast.py CHECKPOINT DATA`; DATA holds cifar10, cifar100

From each draw of n images `forecast` tells the accuracy at twice and four times as many; then so many are taught, those
n among them, and judged on all images that are left. Of CIFAR-100 only the test images, because the labels of the
others may be what the checkpoint was trained with. Some classes only: others in every draw.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
from shared import HERE, keep, some_of, weights_of

from vitascope.data.open import open_data
from vitascope.evaluation.fewshot import Ridge, signs
from vitascope.evaluation.forecast import forecast
from vitascope.evaluation.interval import wilson
from vitascope.evaluation.leave_one_out import left_out, left_out_errors
from vitascope.evaluation.taught import LAMBDAS
from vitascope.views.drawing import FIRST, INK, SECOND, figure, save_figure, tidy

CASES = [("cifar10", k, n, 100) for k in (2, 3, 10) for n in (50, 100, 200, 400, 1000)]
CASES += [("cifar10", 10, 4000, 30)]
CASES += [("cifar100", k, n, 100) for k, n in ((10, 60), (10, 120), (30, 200), (30, 400), (100, 400), (100, 1200))]
"""Data, classes, images, draws."""
JUDGED = 10_000
"""Images that judge, at most."""


def solved(x: np.ndarray, y: np.ndarray, classes: int) -> tuple[Ridge, float]:
    """The regression and its λ, as `teach` chooses it."""
    targets = signs(y, classes)
    ridge = Ridge.of(x, targets)
    return ridge, LAMBDAS[int(left_out_errors(ridge, x, targets, LAMBDAS).argmin())]


def draw(x: np.ndarray, y: np.ndarray, classes: int, n: int, rng: np.random.Generator) -> list[dict[str, float]]:
    """One draw: what was told and what came, at twice and four times n."""
    chosen = rng.permutation(int(y.max()) + 1)[:classes]
    place = np.full(int(y.max()) + 1, -1)
    place[chosen] = np.arange(classes)
    order = rng.permutation(np.flatnonzero(place[y] >= 0))
    x, y = x[order], place[y[order]]
    ridge, l2 = solved(x[:n], y[:n], classes)
    scores = left_out(ridge, x[:n], signs(y[:n], classes), l2)
    told, _ = forecast(x[:n], y[:n], scores, np.arange(n))
    asked = slice(4 * n, 4 * n + JUDGED)
    found = []
    for expected in told:
        head, l2 = solved(x[: expected.images], y[: expected.images], classes)
        came = float((head.predict(x[asked], l2) == y[asked]).mean())
        low, high = expected.interval
        found.append(
            {"came": came, "told": expected.top1, "low": low, "high": high, "now": (scores.argmax(1) == y[:n]).mean()}
        )
    return found


def main(checkpoint: str, data: Path) -> None:
    weights = weights_of(checkpoint)
    sets = {}
    for name in ("cifar10", "cifar100"):
        sets[name] = some_of(checkpoint, open_data(str(data / name)), 0 if name == "cifar100" else 20_000)
    rows = []
    for name, classes, n, draws in CASES:
        rng = np.random.default_rng([n, classes])
        drawn = [draw(*sets[name], classes, n, rng) for _ in range(draws)]
        for place, times in enumerate((2, 4)):
            told = {key: np.array([d[place][key] for d in drawn]) for key in drawn[0][place]}
            below, above = (told["came"] < told["low"]).sum(), (told["came"] > told["high"]).sum()
            rows.append(
                {
                    "data": name,
                    "classes": classes,
                    "images": n,
                    "times": times,
                    "draws": draws,
                    "held": draws - below - above,
                    "came_below": below,
                    "came_above": above,
                    **{key: f"{told[key].mean():.4f}" for key in ("now", "told", "came")},
                    "error": f"{math.sqrt(((told['told'] - told['came']) ** 2).mean()):.4f}",
                    "half_width": f"{(told['high'] - told['low']).mean() / 2:.4f}",
                }
            )
    keep("forecast", rows, weights=weights)
    draw_figure(rows)


def draw_figure(rows: list[dict]) -> None:
    """Share of the intervals that held, with its own interval; how far forecasts were off, beside their width."""
    drawing = figure(9.6, 4.4)
    left, right = drawing.subplots(1, 2)
    for times, colour, shift in ((2, FIRST, -0.14), (4, SECOND, 0.14)):
        mine = [row for row in rows if row["times"] == times]
        place = np.arange(len(mine)) + shift
        shares = np.array([row["held"] / row["draws"] for row in mine])
        bounds = np.array([wilson(s, row["draws"]) for s, row in zip(shares, mine, strict=True)])
        left.errorbar(
            place, 100 * shares, 100 * np.abs(bounds.T - shares), fmt="o", color=colour, markersize=4, linewidth=1,
            label=f"{times}n images",
        )  # fmt: skip
        right.plot(place, [100 * float(r["half_width"]) for r in mine], "_", color=colour, markersize=9)
        right.plot(place, [100 * float(r["error"]) for r in mine], "o", color=colour, markersize=4)
    left.axhline(95, color=INK, linewidth=1, linestyle=(0, (4, 3)))
    left.set_ylim(70, 101)
    left.legend(frameon=False, loc="lower left")
    tidy(left, "", "intervals that held, %")
    tidy(right, "", "points: typical error (dots), half width (dashes)")
    right.set_ylim(0)
    names = [f"{r['data'].replace('cifar', 'C')}, {r['classes']} of {r['images']:,}" for r in rows if r["times"] == 2]
    for axes in (left, right):
        axes.set_xticks(range(len(names)), names, rotation=90, fontsize=7)
    save_figure(drawing, HERE / "forecast")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
