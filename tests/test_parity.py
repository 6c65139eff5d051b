"""The table of families in docs/checkpoints.md: exactly what the parity tests cover, and no smaller than they measure.

It holds whichever tests run and whichever peers are installed; a parity test without its peer says so and skips.
"""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

import parity
from parity import LIMIT, declared, families, table, to_state

ROW = ("a family", "there", "here")


def test_the_table_has_a_row_for_every_parity_test_and_no_other() -> None:
    rows = declared()
    assert rows, "no parity tests"
    remedy = "run python tests/parity.py, which writes the table"
    assert sorted(rows - table().keys()) == [], f"rows missing: {remedy}"
    assert sorted(table().keys() - rows) == [], f"rows that no test covers: {remedy}"
    assert all(0 < stated <= 10 * LIMIT for stated in table().values())


def test_a_difference_above_the_stated_one_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = torch.linspace(-1, 1, 8)[None]
    monkeypatch.setattr(parity, "table", lambda: {ROW: 1e-6})
    monkeypatch.setattr(parity, "MEASURED", {})
    parity.parity(*ROW, theirs + 4e-7, theirs)
    assert parity.MEASURED == {ROW: 1e-6}
    with pytest.raises(AssertionError, match="states 1e-06"):
        parity.parity(*ROW, theirs + 4e-6, theirs)
    with pytest.raises(AssertionError):
        parity.parity(*ROW, theirs + 4e-5, theirs)
    with pytest.raises(AssertionError):
        parity.parity(*ROW, torch.zeros(1, 8), torch.zeros(1, 8))


def test_what_was_declared_must_be_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parity, "DECLARED", set())

    @families(["a family"], ("there", "here"))
    def test_of_nothing(family: str) -> None:
        pass

    assert sorted(parity.DECLARED) == [ROW]
    with pytest.raises(AssertionError, match="compares what families"):
        test_of_nothing(family="a family")


def test_the_table_is_written_and_read_back(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{parity.BEGIN}\n{parity.END}\nafter\n", "utf-8")
    monkeypatch.setattr(parity, "PAGE", page)
    parity.write({ROW: 1e-6}, {ROW})
    assert table() == {ROW: 1e-6}
    other = ("another", "there", "here")
    with pytest.raises(SystemExit, match="another"):
        parity.write({}, {ROW, other})
    parity.write({other: 1e-5}, {ROW, other})
    assert table() == {other: 1e-5, ROW: 1e-6}
    parity.write({}, {other})
    assert table() == {other: 1e-5}
    assert page.read_text("utf-8").startswith("before\n")
    assert page.read_text("utf-8").endswith(f"{parity.END}\nafter\n")


def test_stated_differences_leave_room_for_another_processor() -> None:
    for worst in (0.0, 3e-8, 2e-7, 6e-7, 4e-6):
        stated = to_state(worst)
        assert stated >= max(2 * worst, 1e-6) * (1 - 1e-9)
        assert math.log10(stated) == pytest.approx(round(math.log10(stated)))
