"""Commands that a signal meets at random moments: one line and 128 + its number. One command for ten of `count`."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path

import numpy as np

from faults.test_moments import CODES, check
from tiny import PRETRAIN_WORDS, image_folder
from vitascope.cli import main

ALLOWED = ("stopped", "late")


def run(seed: int, count: int) -> dict[str, int]:
    """How often a command was stopped, or was over; anything else is an AssertionError."""
    random = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        image_folder(place / "images", 60)
        assert main(["pretrain", str(place / "images"), "--steps=2", *PRETRAIN_WORDS, f"--out={place / 'run'}"]) == 0
        found = Counter[str]()
        for _ in range(max(count // 10, 1)):
            number = list(CODES)[int(random.integers(2))]
            try:
                found[check(place, number, random.uniform(0, 4))] += 1
            except AssertionError as error:
                found[f"wrong: {error}"[:200]] += 1
        return dict(found)
