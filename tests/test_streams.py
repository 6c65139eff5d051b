"""Streams of random numbers: no two have the same key, and there are no others."""

from __future__ import annotations

import ast
import itertools
from pathlib import Path

import numpy as np
import pytest

import vitascope.streams
from vitascope.streams import Stream, generator, seed_of

SOURCE = Path(vitascope.streams.__file__).parent
NUMBERS = (0, 1, 3, 5, 12, 2**32, 2**32 + 5)
KEYS = [key for length in (1, 2, 3) for key in itertools.product(NUMBERS, repeat=length)]


def test_no_two_streams_and_no_two_keys_begin_alike() -> None:
    numbers = [vitascope.streams._number(stream, key[0], key[1:]) for stream in Stream for key in KEYS]
    assert len(set(numbers)) == len(numbers) == len(Stream) * len(KEYS)
    assert len({stream.value for stream in Stream}) == len(Stream.__members__)  # two of one value would be one
    assert len({seed_of(stream, *key) for stream in Stream for key in KEYS}) == len(numbers)


def test_the_same_key_is_the_same_draw() -> None:
    one, again = (generator(Stream.ORDER, 7, np.int64(3)).integers(0, 2**63, 8) for _ in range(2))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, generator(Stream.ORDER, 7, 3, 0).integers(0, 2**63, 8))
    assert 0 <= seed_of(Stream.STEP, 7, 3) < 2**63
    # Held for ever: with other numbers a run could not go on where an earlier version stopped.
    assert one[0] == 4305888187221483686
    assert seed_of(Stream.STEP, 7, 3) == 4881442028214639322


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda p: str(p.relative_to(SOURCE)))
def test_nothing_is_seeded_in_another_way(path: Path) -> None:
    if path.name == "streams.py":
        return
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] + [getattr(node, "module", None)]
            assert "random" not in names, f"{path}: Python's own random numbers"
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        if called.endswith(("manual_seed", "manual_seed_all")):
            assert ast.unparse(node.args[0]).startswith("seed_of(Stream."), f"{path}:{node.lineno}"
        for other in ("default_rng", "SeedSequence", "RandomState", "np.random.seed", "PCG64", "Philox"):
            assert not called.endswith(other), f"{path}:{node.lineno}: {called}"
