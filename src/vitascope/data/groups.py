"""What belongs together: copies of one another, and images of one patient, plant or video, as the user says.

A group is named by a column of the data's own table, or by a regular expression on the images' paths.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Sequence

import numpy as np

from vitascope.data.copies import Copies
from vitascope.data.source import Int64, Source, Splits
from vitascope.errors import DataError
from vitascope.wording import count, printable, some

log = logging.getLogger(__name__)


def together(splits: Splits, copies: Copies, group: str | None = None) -> tuple[Int64, Int64 | None]:
    """What stays on one side: a number for each training image, alike for copies and for images of one `group`; and
    what stands for each image's group, (n,) each, None without `group`.

    How many images of other splits are of a group in training is said. Raises DataError.
    """
    assert splits.train is not None
    alike = copies.of(splits.train)
    if group is None:
        return alike, None
    keys = {name: group_keys(source, group) for name, source in splits.present().items()}
    train = keys.pop("train")
    log.info("group %s: %d images in %s", group, len(train), count(len(np.unique(train)), "group"))
    for name, others in keys.items():
        if shared := int(np.isin(others, train).sum()):
            said = "%d of %d %s images are of groups (%s) that are in training too: no measure of new ones"
            log.warning(said, shared, len(others), name, group)
    return joined(alike, train), train


def group_keys(source: Source, group: str) -> Int64:
    """Eight bytes of the hash of each image's group, (len(source),).

    `group` is a column of the source's table, or a regular expression that is searched in the images' paths: its first
    group counts, or without one all that matches. Raises DataError where an image has none.
    """
    origin, positions = source.origin()
    column = origin.table_column(group)
    values = _matches(origin, group) if column is None else column
    named = [values[i] for i in positions]
    if missing := [int(i) for i, value in zip(positions, named, strict=True) if not value]:
        what = f"does not say the group of {count(len(missing), 'image')} of {len(named):,}, such as"
        wanted = "a regular expression that is found in every path"
        if column is not None:
            wanted = "a value of that column in every row"
        elif columns := origin.table_columns():
            wanted += f", or a column of {some(columns, 8)}"
        raise DataError(f"group {group!r} {what} {printable(origin.path(missing[0]))}; expected {wanted}")
    numbers = {value: _number(value) for value in set(named) if value}
    return np.array([numbers[value] for value in named if value], dtype=np.int64)


def joined(first: Int64, second: Int64) -> Int64:
    """Groups over the same images of which two become one where an image is in both, (n,)."""
    from scipy.sparse import coo_matrix  # comes with scikit-learn
    from scipy.sparse.csgraph import connected_components

    (some_of, a), (others, b) = (np.unique(numbers, return_inverse=True) for numbers in (first, second))
    size = len(some_of) + len(others)
    links = coo_matrix((np.ones(len(a)), (a, b + len(some_of))), shape=(size, size))
    return connected_components(links, directed=False)[1].astype(np.int64)[a]


def _matches(origin: Source, group: str) -> Sequence[str | None]:
    try:
        pattern = re.compile(group)
    except re.error as error:
        raise DataError(f"group {group!r} is no column of the data and no regular expression ({error})") from None
    found = (pattern.search(origin.path(index)) for index in range(len(origin)))
    return [match and match[1 if pattern.groups else 0] for match in found]


def _number(value: str) -> int:
    """Never 0."""
    content = value.encode("utf-8", "surrogateescape")
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little", signed=True) or 1
