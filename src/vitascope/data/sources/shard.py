"""What lies in a tar shard: which member is an image, and which label is its."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from vitascope import json_text
from vitascope.data.formats import EXTENSIONS
from vitascope.data.sources.tar import Member, members
from vitascope.errors import DataError, UnlabelledError
from vitascope.wording import printable, reason

_LABEL_BYTES = 1 << 20  # a label file larger than this is none


class Sample(NamedTuple):
    """An image and its label."""

    name: str
    """Of the member."""
    place: tuple[int, int, int]
    """Number of the shard, offset of the image's bytes, how many."""
    label: int | str
    """As it is written."""


def index_shard(
    path: str, number: int, passed_over: Counter[str], lonely: set[int | str], *, labelled: bool = True
) -> Iterator[Sample]:
    """The samples of a tar file, in order; unless `labelled`, all of label 0. Raises DataError.

    Counts members that are neither images nor labels in `passed_over`, by kind, and adds labels of keys without an
    image to `lonely`. A key is a member's path up to the first dot of its file name. Where that makes one key of
    several images, "a.b.jpg" and "a.c.jpg", their keys end at the last dot if labels are named so ("a.b.cls"). Beside
    "a.jpg", "a.mask.png" is another part of the same sample and passed over. Without labels, every other image is a
    sample.
    """
    images, labels = _read(path, passed_over)
    keyed: dict[str, Member] = {}
    for stem, member in sorted(images.items(), key=lambda item: _key(item[0]) != item[0]):
        alone = not labelled and _key(stem) not in images
        key = stem if stem in labels or alone else _key(stem)
        if key not in keyed:
            keyed[key] = member
        elif key in images:
            passed_over[printable(member.name[len(key) :])] += 1
        else:
            raise _twice(path, keyed[key], member)
    for key, member in sorted(keyed.items(), key=lambda item: item[1].offset):
        if labelled and key not in labels:
            raise UnlabelledError(
                f"{printable(f'{path}:{member.name}')}: no label, expected a .cls or .json file of the same key that "
                "holds one; add it or remove the image"
            )
        yield Sample(member.name, (number, member.offset, member.size), labels[key] if labelled else 0)
    lonely.update(label for key, label in labels.items() if key not in keyed)


def _read(path: str, passed_over: Counter[str]) -> tuple[dict[str, Member], dict[str, int | str]]:
    """Images and labels of a tar file, each by its path without the ending; .cls goes before .json."""
    images: dict[str, Member] = {}
    labels: dict[str, dict[str, int | str]] = {".json": {}, ".cls": {}}
    try:
        with open(path, "rb") as file:
            for member in members(file, path):
                stem, ending = os.path.splitext(member.name)
                kind = ending.lower()
                if member.kind == "folder":
                    continue
                if member.kind != "file" or os.path.basename(member.name).startswith("."):
                    passed_over["hidden" if member.kind == "file" else f"{member.kind}s"] += 1
                elif kind in EXTENSIONS:
                    if images.setdefault(stem, member) is not member:
                        raise _twice(path, images[stem], member)
                elif kind in labels and member.size <= _LABEL_BYTES:
                    file.seek(member.offset)
                    label = _label(file.read(member.size), kind)
                    if label is not None and labels[kind].setdefault(stem, label) != label:
                        raise DataError(f"{printable(f'{path}:{member.name}')}: a second label of its key; remove one")
                else:
                    passed_over[printable(kind or "without an ending")] += 1
    except OSError as error:
        raise DataError(f"{printable(path)}: cannot be read ({reason(error)}); check it") from None
    return images, labels[".json"] | labels[".cls"]


def _twice(path: str, first: Member, second: Member) -> DataError:
    return DataError(
        f"{printable(f'{path}:{second.name}')}: a second image of its key, beside {printable(first.name)}; "
        "rename or remove one (a key ends at the first dot)"
    )


def _key(path: str) -> str:
    folder, slash, file = path.rpartition("/")
    return folder + slash + file.partition(".")[0]


def _label(content: bytes, ending: str) -> int | str | None:
    """A label file's content → a whole number ≥ 0 or a name; None where it holds neither."""
    try:
        text = content.decode("utf-8").strip()
        value = json_text.parse(text) if ending == ".json" else text
    except ValueError:
        return None
    if isinstance(value, dict):
        value = value.get("label", value.get("cls"))
    if isinstance(value, str):
        return int(value) if re.fullmatch(r"[0-9]{1,18}", value) else value or None
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**18 else None
