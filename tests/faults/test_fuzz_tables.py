"""A few of the damaged files of `make torture`, the same each time."""

from __future__ import annotations

from faults.fuzz_tables import damaged, run


def test_damaged_tables_are_read_or_refused_in_one_line() -> None:
    met = run(seed=0, count=120)
    assert set(met) == {"read", "refused"}, met
    assert min(met.values()) > 10  # damage that is always or never noticed would test nothing
    assert damaged(0, 5) == damaged(0, 5)
