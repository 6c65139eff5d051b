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
    remedy: str
    """What to do; "" where nothing is lost."""
    count: int
    """How many."""
    first: str
    """The path of one."""


def grouped(paths: Iterable[str]) -> list[PassedOver]:
    """Paths that were not taken for images of a class, by kind; those that are images first."""
    groups: dict[tuple[str, str], list[str]] = {}
    looked_at: Counter[str] = Counter()
    for path in paths:
        groups.setdefault(_kind(path, looked_at), []).append(path)
    order = sorted(groups, key=lambda kind: (not kind[1], kind[1], kind[0]))
    return [PassedOver(*kind, len(groups[kind]), groups[kind][0]) for kind in order]


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
    if looked_at[ending] <= _LOOKED_AT and _is_image_inside(path):
        return f"named {printable(ending)}" if ending else "without an ending", "give them the ending of their format"
    return "of other kinds", ""


def _is_image_inside(path: str) -> bool:
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # opening a pipe would wait for ever
            return False
        with open(path, "rb") as file:
            return format_of(file.read(HEADER)) is not None
    except OSError:
        return False
