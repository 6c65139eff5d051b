"""table.md from rows.csv: accuracy by start, task and share of labels; mean and range over the seeds.

`python table.py`
"""

from __future__ import annotations

import csv
from pathlib import Path
from statistics import mean

HERE = Path(__file__).parent
ARMS = {
    "scratch": "initial values",
    "supervised": "CIFAR-100 with labels",
    "masked": "CIFAR-100 without labels (masked)",
    "fractals": "generated fractals",
    "start's shape": "initial values, 2.7 M",
    "start": "the package's `start`, 2.7 M",
}
TASKS = [("cifar10", share) for share in ("0.01", "0.1", "1")] + [("ants_bees", "1"), ("digits", "1")]
HEAD = ["start", "CIFAR-10, 1 % of the labels", "10 %", "all", "ants and bees, 64 px", "digits", "its own seconds"]


def cell(rows: list[dict[str, str]], arm: str, task: str, labels: str, value: str = "top1", scale: float = 100) -> str:
    """ "45.3 (44.1–46.0)", by seeds; a single one alone; "" where none was run."""
    at = [scale * float(r[value]) for r in rows if (r["arm"], r["task"], r["labels"]) == (arm, task, labels)]
    digits = 1 if scale == 100 else 0
    if len(at) < 2:
        return f"{at[0]:.{digits}f}" if at else ""
    return f"{mean(at):.{digits}f} ({min(at):.{digits}f}–{max(at):.{digits}f})"


def table(rows: list[dict[str, str]], ending: str) -> str:
    lines = [HEAD if not ending else HEAD[:-1], ["---"] * (len(HEAD) - bool(ending))]
    for arm, name in ARMS.items():
        cells = [cell(rows, arm, task + ending, labels) for task, labels in TASKS]
        if any(cells):
            own = [] if ending else [cell(rows, arm, "start", "", "cpu_seconds", 1)]
            lines.append([name, *cells, *own])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    rows = list(csv.DictReader((HERE / "rows.csv").open()))
    parts = ["Fine-tuned, in percent; mean and range over seeds:", table(rows, "")]
    parts += ["A linear head in closed form on frozen features:", table(rows, " ridge")]
    (HERE / "table.md").write_text("\n\n".join(parts) + "\n")


if __name__ == "__main__":
    main()
