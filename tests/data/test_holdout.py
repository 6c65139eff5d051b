"""What is held out of images with several labels."""

from __future__ import annotations

import numpy as np
import pytest

from vitascope.data.holdout import stratified_holdout
from vitascope.data.kept import ArraySource


def labelled(n: int, seed: int = 0) -> ArraySource:
    """Labels of shares 60 %, 30 %, 8 % and 2 %, in any combination."""
    has = np.random.default_rng(seed).random((n, 4)) < [0.6, 0.3, 0.08, 0.02]
    return ArraySource("several", ("a", "b", "c", "d"), has, np.zeros((n, 2, 2, 3), dtype=np.uint8))


@pytest.mark.parametrize("seed", range(3))
def test_every_label_has_its_share(seed: int) -> None:
    source = labelled(1000, seed)
    rest, held = stratified_holdout(source, 0.2, seed)
    assert sorted([*rest.indices, *held.indices]) == list(range(1000))
    share = held.counts() / source.counts()
    assert (np.abs(share - 0.2) < 0.05).all()
    bare = ~source.labels.any(axis=1)
    assert (~held.labels.any(axis=1)).sum() == pytest.approx(0.2 * bare.sum(), abs=1)
    assert stratified_holdout(source, 0.2, seed)[1].indices.tolist() == held.indices.tolist()


def test_groups_stay_on_one_side() -> None:
    source = labelled(600)
    groups = np.random.default_rng(1).integers(0, 80, 600)
    rest, held = stratified_holdout(source, 0.25, 0, groups)
    assert not set(groups[rest.indices]) & set(groups[held.indices])
    assert (held.counts() > 0).all()
    assert 0.1 < len(held) / 600 < 0.3
