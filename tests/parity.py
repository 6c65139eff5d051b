"""Equality with peers, and its table in docs/checkpoints.md.

A parity test is parametrised by `families`, which declares its rows of the table, and compares by `parity`, which
holds each difference to what its row states. test_parity.py holds the table's rows to those declared.

python tests/parity.py [FILE …]    # runs the parity tests (of these files alone) and writes what they measured
"""

from __future__ import annotations

import functools
import importlib.util
import inspect
import math
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import torch

Row = tuple[str, str, str]
"""Family, from, to."""
LIMIT = 1e-5
"""How far two models that compute the same may be apart."""
DECLARED: set[Row] = set()
"""All rows of the test files that were imported."""
MEASURED: dict[Row, float] = {}
"""What may be stated of each row that was compared in this process."""
TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs" / "checkpoints.md"
BEGIN, END = "<!-- parity: made by tests/parity.py -->", "<!-- end of parity -->"
HEAD = "| family | from | to | largest difference |\n|---|---|---|---|"


def families(names: Iterable[str], *ways: tuple[str, str]) -> Callable[[Callable[..., None]], Any]:
    """Parametrises a test by `family`, for each (from, to) of `ways`; fails where one of them was not compared."""
    names = list(names)
    DECLARED.update((name, *way) for name in names for way in ways)

    def decorate(test: Callable[..., None]) -> Any:
        @functools.wraps(test)
        def checked(family: str, **fixtures: Any) -> None:
            compared: set[Row] = set()
            _COMPARED.append(compared)
            try:
                test(family=family, **fixtures)
            finally:
                _COMPARED.remove(compared)
            assert compared == {(family, *way) for way in ways}, "parity() compares what families() declares"

        assert "family" in inspect.signature(test).parameters
        return pytest.mark.parametrize("family", names)(checked)

    return decorate


_COMPARED: list[set[Row]] = []
_writing = False  # while the table is made, what it states does not count


def parity(
    family: str, source: str, target: str, ours: torch.Tensor, theirs: torch.Tensor, tolerance: float = LIMIT
) -> None:
    """Fails where two models do not compute the same, within `tolerance` and what the table states of this row."""
    row = (family, source, target)
    assert ours.shape == theirs.shape
    worst = float((ours - theirs).abs().max())
    print(f"{' · '.join(row)}: worst difference {worst:.2e}, largest value {float(theirs.abs().max()):.1f}")
    assert theirs.std() > 0.1  # of random weights' outputs, not of zeros
    assert worst < tolerance
    MEASURED[row] = max(MEASURED.get(row, 0.0), min(to_state(worst), tolerance))
    for compared in _COMPARED[-1:]:
        compared.add(row)
    stated = table().get(row, math.inf)  # a row that is lacking is for test_parity.py to say
    assert worst <= stated or _writing, f"docs/checkpoints.md states {stated:g}: run python tests/parity.py"


def to_state(worst: float) -> float:
    """The power of ten above twice the difference, at least 1e-6: processors that round otherwise stay below."""
    return float(f"1e{math.ceil(math.log10(max(2 * worst, 1e-6)))}")


def table() -> dict[Row, float]:
    """The rows in docs/checkpoints.md and what they state."""
    inside = PAGE.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]
    rows: dict[Row, float] = {}
    for line in inside.strip().splitlines()[2:]:
        family, source, target, largest = (cell.strip() for cell in line.strip("|").split("|"))
        assert (family, source, target) not in rows, f"{family} is there twice"
        rows[family, source, target] = float(largest)
    return rows


def files() -> list[Path]:
    """All files of parity tests."""
    return [path for path in sorted(TESTS.rglob("test_*.py")) if "\n@families(" in path.read_text("utf-8")]


def declared() -> set[Row]:
    """The rows of all files, whichever of them this process runs."""
    for number, path in enumerate(files()):
        if not any(getattr(module, "__file__", None) == str(path) for module in list(sys.modules.values())):
            spec = importlib.util.spec_from_file_location(f"declares_parity_{number}", path)
            assert spec is not None
            assert spec.loader is not None
            spec.loader.exec_module(importlib.util.module_from_spec(spec))
    return DECLARED


def write(measured: dict[Row, float], wanted: set[Row]) -> None:
    """The table anew; a row that was not measured now keeps what it states. Raises SystemExit where there is none."""
    rows = {row: stated for row, stated in (table() | measured).items() if row in wanted}
    if lacking := wanted - rows.keys():
        raise SystemExit(f"not measured, since its peer is missing or its test was not run: {sorted(lacking)}")
    lines = [f"| {' | '.join(row)} | {f'{rows[row]:.0e}'.replace('e-0', 'e-')} |" for row in sorted(rows, key=_order)]
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n" + "\n".join([HEAD, *lines]) + f"\n{END}{rest.partition(END)[2]}", "utf-8")


def _order(row: Row) -> Any:
    return tuple(part.casefold() for part in row), row


def main(chosen: list[str]) -> None:
    """Runs the tests and writes the table."""
    global _writing
    _writing = True
    code = pytest.main(["-p", "no:cacheprovider", *(chosen or map(str, files()))])
    if code:
        raise SystemExit(f"a parity test fails or does not run ({code!r}); the table stays as it was")
    write(MEASURED, declared())


if __name__ == "__main__":
    sys.path[:0] = [str(TESTS), str(TESTS.parent / "benchmarks")]  # as pytest does while it runs
    import parity as this  # the module that the tests fill, not this script

    this.main(sys.argv[1:])
