"""Which images of one set are in another too, as a source's among a target's test images (Section 4.1).

For each image of the smaller set the most similar of the other are compared (`alike`), then for what is found the most
similar of what is not yet, of both sets, again and again: so every copy of one picture is found, however many there
are, at a cost that hardly grows with the larger set.
"""

from __future__ import annotations

import logging

import numpy as np
import numpy.typing as npt

from vitascope.data.alike import SEARCH, near_pairs
from vitascope.data.copies import (
    LIMIT,
    NEAR_LIMIT,
    connected,
    exact_groups,
    kept_at,
    looked_at,
    unless_of_one_mould,
)
from vitascope.data.images import UInt8
from vitascope.data.source import Int64, Source
from vitascope.whole import recall_arrays, remember_arrays

log = logging.getLogger(__name__)

_ROUNDS = 9
"""Most searches: by each a picture's copies are four times as many, and a film goes on for a few images more."""


def copied(source: Source, others: Source) -> tuple[npt.NDArray[np.bool_], str]:
    """Which images of `source` are among `others` too, bool (len(source),); what was not looked for, in one line.

    As they are, nearly, mirrored, or as a near copy of one that is. Generated images are copies of nothing but
    themselves; of a set above `LIMIT` no image is looked at.
    """
    (origin, mine), (other, theirs) = source.origin(), others.origin()
    if origin.together or other.together:
        return np.isin(mine, theirs) & (origin is other), ""
    if large := next((each for each in (origin, other) if len(each) > LIMIT), None):
        return np.zeros(len(source), dtype=bool), f"{large.name} has more than {LIMIT:,} images: copies not looked for"
    marks, small = (np.concatenate(both) for both in zip(*map(_looked_at, (source, others)), strict=True))
    exact, n = exact_groups(marks), len(source)
    path = kept_at(f"across {SEARCH} {source.fingerprint()} {others.fingerprint()}")
    kept = recall_arrays(path)
    if not kept:
        if len(marks) > NEAR_LIMIT:
            log.info("%s and %s: looking for near copies across %d images, once", source.name, others.name, len(marks))
        kept = {"near": _joined(exact, small, n)}
        remember_arrays(path, kept)
    groups, said = unless_of_one_mould(exact, kept["near"])
    return np.isin(groups[:n], groups[n:]), said and f"{source.name} and {others.name}: {said}"


def _looked_at(source: Source) -> tuple[Int64, UInt8]:
    found = looked_at(source)
    assert found is not None  # its origin is no larger than LIMIT
    return found


def _joined(exact: Int64, small: UInt8, n: int) -> Int64:
    """Groups joined by near copies of which some lie before `n` and some from there on."""
    first = np.unique(exact, return_index=True)[1]  # one of each; copies of it are no news
    groups = exact[first]
    sides = [np.flatnonzero(np.isin(groups, part)) for part in (exact[:n], exact[n:])]
    rows, columns = sorted(sides, key=len)
    pairs = np.zeros((0, 2), dtype=np.int64)
    for _ in range(_ROUNDS):
        found = [near_pairs(small[first], mirrored=m, rows=rows, columns=columns) for m in (False, True)]
        pairs, rows = np.concatenate([pairs, *found]), np.unique(np.concatenate(found))
        columns = np.setdiff1d(np.arange(len(first)), pairs)
        if not len(rows):
            break
    return connected(exact, first[pairs])
