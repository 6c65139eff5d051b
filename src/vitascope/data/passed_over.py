"""Files that are passed over, told in one line: how many, of which kinds, and what to do about images among them."""

from __future__ import annotations

import logging
import os
import stat
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from vitascope.data.formats import HEADER, HEIC, HEIC_REMEDY, UNREAD, format_of
from vitascope.data.walk import is_image, is_litter
from vitascope.wording import printable

log = logging.getLogger(__name__)

_LOOKED_AT = 100  # files of one unknown ending that are opened, as there may be a million


@dataclass(frozen=True)
class PassedOver:
    """Some files of one kind."""

    kind: str
    """As in "3 HEIC"."""
    count: int
    """How many."""
    first: str
    """The path of one."""
    remedy: str
    """What to do; "" where nothing is lost."""


def grouped(paths: Iterable[str]) -> list[PassedOver]:
    """Paths that were not taken for images of a class, by kind; those that are images first."""
    counts: Counter[tuple[str, str]] = Counter()
    first: dict[tuple[str, str], str] = {}
    looked_at: Counter[str] = Counter()
    for path in paths:
        kind = _kind(path, looked_at)
        counts[kind] += 1
        first.setdefault(kind, path)
    order = sorted(counts, key=lambda kind: (not kind[1], kind[1], kind[0]))
    return [PassedOver(kind[0], counts[kind], first[kind], kind[1]) for kind in order]


def sentence(groups: list[PassedOver]) -> str:
    """One line: "passed over: 3 HEIC (pip install …); 2 of other kinds"."""
    parts = []
    for remedy in dict.fromkeys(group.remedy for group in groups):
        counted = ", ".join(f"{group.count:,} {group.kind}" for group in groups if group.remedy == remedy)
        parts.append(f"{counted} ({remedy})" if remedy else counted)
    return "passed over: " + "; ".join(parts)


def say(groups: list[PassedOver], where: str = "") -> None:
    """The sentence in the log, if there is anything to say: as a warning where images are among them."""
    if groups:
        level = logging.WARNING if any(group.remedy for group in groups) else logging.INFO
        log.log(level, "%s%s", where, sentence(groups))


def lost_images(paths: Iterable[str]) -> list[PassedOver]:
    """The groups that are images."""
    return [group for group in grouped(paths) if group.remedy]


def _kind(path: str, looked_at: Counter[str]) -> tuple[str, str]:
    """(kind, remedy)."""
    name = os.path.basename(path)
    if is_litter(name):
        return "hidden or of the system", ""
    ending = os.path.splitext(name)[1].lower()
    if ending in UNREAD:
        return UNREAD[ending], HEIC_REMEDY if UNREAD[ending] == HEIC else "save them as PNG or JPEG"
    if is_image(name):
        return "outside the class folders", "put each into the folder of its class"
    looked_at[ending] += 1
    if os.path.isdir(path):
        return "beside the class folders", ""
    if looked_at[ending] <= _LOOKED_AT and _format_inside(path):
        return f"named {printable(ending)}" if ending else "without an ending", "give them the ending of their format"
    return "of other kinds", ""


def _format_inside(path: str) -> str | None:
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # opening a pipe would wait for ever
            return None
        with open(path, "rb") as file:
            return format_of(file.read(HEADER))
    except OSError:
        return None
