"""Work done before its turn comes in order, is no more than was said, and ends with whoever wanted it."""

from __future__ import annotations

import threading
import time

import pytest

from vitascope.ahead import ahead


def test_it_comes_in_order_whoever_is_first() -> None:
    def slow_at_first(n: int) -> int:
        time.sleep(0.02 if n == 0 else 0)
        return n * n

    assert list(ahead(slow_at_first, range(9), most=3, threads=4)) == [n * n for n in range(9)]


def test_no_more_is_begun_than_was_said() -> None:
    begun: list[int] = []
    made = ahead(lambda n: begun.append(n) or n, range(100), most=3, threads=2)
    assert begun == []
    for n in range(5):
        next(made)
        assert n + 1 <= len(begun) <= n + 4  # taken, three before their turn
    made.close()
    assert len(begun) <= 8


def test_an_error_comes_at_its_turn_and_leaves_no_thread() -> None:
    def at_two(n: int) -> int:
        if n == 2:
            raise ValueError("two")
        return n

    before, made = set(threading.enumerate()), ahead(at_two, range(9), most=4, threads=2)
    assert [next(made), next(made)] == [0, 1]
    with pytest.raises(ValueError, match="two"):
        next(made)
    assert set(threading.enumerate()) <= before
