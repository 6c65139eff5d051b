"""What a study foretold from its first seeds, against what came.

python benchmarks/forecasts.py results/comparison/study > results/comparison/forecasts.txt

For every comparison that so many first seeds of each cell leave open, and that says how many more would decide it: the
verdict of as many, where the study ran them.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

from vitascope.studies.analysis import Row
from vitascope.studies.evidence import Claim, Evidence
from vitascope.studies.settings import DataScaling
from vitascope.studies.verdicts import verdicts

_FIRST = (2, 3, 4)


def main() -> None:
    """A line for each forecast that was put to the test, and how many of them came true."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("study", type=Path)
    print(told(parser.parse_args().study))


def told(folder: Path) -> str:
    """Every forecast that could be tested, and their number."""
    tested = [one for first in _FIRST for one in put_to_the_test(folder, first)]
    decided = sum(good for _, good in tested)
    return "\n".join([*(line for line, _ in tested), f"{decided} of {len(tested)} were decided by the seeds foretold"])


def put_to_the_test(folder: Path, first: int) -> Iterator[tuple[str, bool]]:
    """Each forecast from the `first` seeds that the study could test, in words, and whether it was decided."""
    evidence, most = read(folder)
    rows = list(evidence.rows)

    def judged(seeds: int) -> dict[str, Claim]:
        some = Evidence(
            study=evidence.study,
            rows=[row for row in rows if row["seed"] < seeds],
            flops=evidence.flops,
            seconds=evidence.seconds,
        )
        return {name_of(claim): claim for verdict in verdicts(some) for claim in verdict.claims}

    for name, claim in judged(first).items():
        if claim.more_seeds is not None and first + claim.more_seeds <= most[at(name)]:
            then = judged(first + claim.more_seeds)[name]
            decided = then.outcome != "not decidable here"
            came = then.text.removeprefix(f"{name}: ")
            yield f"{first} seeds: {claim.text}; with {claim.more_seeds} more {came} ({then.outcome})", decided


def name_of(claim: Claim) -> str:
    """A comparison without its numbers."""
    return ": ".join(claim.text.split(": ")[:2])


def at(name: str) -> int:
    """The images of a comparison; of two sizes the larger, which has fewer seeds."""
    return int(name.split(", ")[1].split()[0].replace(",", ""))


def read(folder: Path) -> tuple[Evidence, dict[int, int]]:
    """A study's rows and models, and the seeds that each size has."""
    settings = json.loads((folder / "settings.json").read_text())
    costs = json.loads((folder / "costs.json").read_text())["models"]
    rows: list[Row] = [json.loads(path.read_text()) for path in sorted((folder / "cells").glob("*.json"))]
    known = {field.name for field in fields(DataScaling)} - {"augment"}
    given: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in {**settings, **settings["grid"]}.items()
        if name in known
    }
    evidence = Evidence(
        study=DataScaling(out=str(folder), **given),
        rows=sorted(rows, key=lambda row: list(costs).index(row["model"])),
        flops={name: cost["flops"] for name, cost in costs.items()},
        seconds={name: 1 / cost["images_per_second"] for name, cost in costs.items()},
    )
    return evidence, dict(zip(given["sizes"], given["seeds"], strict=True))


if __name__ == "__main__":
    main()
