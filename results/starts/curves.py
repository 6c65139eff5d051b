"""Figure of what frozen features of the package's start are worth by the number of labels, from fewshot.json.

`python curves.py`; fewshot.json is what `vitascope fewshot start CIFAR10 --shots 1,5,10,50,100,500,1000,all --seeds 3
--methods ridge,probe --json` printed.
"""

from __future__ import annotations

import json
from pathlib import Path

from vitascope.views.drawing import FIRST, INK, SECOND, figure, save_figure

HERE = Path(__file__).parent
NAMES = {"ridge": ("ridge regression (the paper's)", FIRST), "probe": ("logistic regression", SECOND)}
ALL = 5000
"""Images of a class in all of CIFAR-10's training set."""


def main() -> None:
    results = json.loads((HERE / "fewshot.json").read_text())["results"]
    drawing = figure(6.4, 3.6)
    axes = drawing.subplots()
    for method, (name, colour) in NAMES.items():
        found = [r for r in results if r["method"] == method]
        shots = [ALL if r["shots"] == "all" else r["shots"] for r in found]
        axes.plot(shots, [100 * r["mean"] for r in found], "o-", color=colour, label=name, markersize=4)
    axes.axhline(75, color=INK, linewidth=0.8, linestyle=":")
    axes.set_xscale("log")
    axes.set_xticks([1, 10, 100, 1000, ALL], ["1", "10", "100", "1,000", "all 5,000"])
    axes.set_xlabel("labelled images of each class")
    axes.set_ylabel("CIFAR-10, top-1 in %")
    axes.legend(frameon=False)
    save_figure(drawing, HERE / "fewshot")


if __name__ == "__main__":
    main()
