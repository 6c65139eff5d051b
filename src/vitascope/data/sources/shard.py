"""What lies in tar shards: which member is an image, and which label is its."""

from __future__ import annotations

import os
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import IO

from vitascope import json_text
from vitascope.data.formats import EXTENSIONS
from vitascope.data.sources.tar import Member, members
from vitascope.errors import DataError
from vitascope.wording import printable, reason

_LABEL_BYTES = 1 << 20  # a label file larger than this is none


@dataclass(frozen=True)
class Found:
    """What the headers of one split's shards tell."""

    keys: list[str] = field(default_factory=list)
    places: list[tuple[int, int, int]] = field(default_factory=list)
    labels: list[int | str] = field(default_factory=list)
    lonely: set[int | str] = field(default_factory=set)
    """Labels of keys without an image."""
    passed_over: Counter[str] = field(default_factory=Counter)
    """How many members of each kind are neither images nor labels."""


def index_shards(files: list[str]) -> Found:
    """Reads the headers and label files of tar files; raises DataError."""
    found = Found()
    for number, path in enumerate(files):
        try:
            with open(path, "rb") as file:
                shard = _Shard(path)
                for member in members(file, path):
                    shard.add(member, file, found.passed_over)
        except OSError as error:
            raise DataError(f"{printable(path)}: cannot be read ({reason(error)}); check it") from None
        shard.settle(number, found)
    return found


@dataclass(frozen=True)
class _Shard:
    """The images and labels of one tar file, by key: a member's path up to the first dot of its file name.

    Where that makes one key of several images, "a.b.jpg" and "a.c.jpg", their keys end at the last dot if labels are
    named so ("a.b.cls"). Beside "a.jpg", "a.mask.png" is another part of the same sample and passed over.
    """

    path: str
    images: dict[str, Member] = field(default_factory=dict)
    """By path without the ending."""
    labels: dict[str, int | str] = field(default_factory=dict)
    """By path with the ending, .cls or .json in lower case."""

    def add(self, member: Member, file: IO[bytes], passed_over: Counter[str]) -> None:
        stem, ending = os.path.splitext(member.name)
        kind = ending.lower()
        if member.kind == "folder":
            return
        if member.kind != "file" or os.path.basename(member.name).startswith("."):
            passed_over["hidden" if member.kind == "file" else f"{member.kind}s"] += 1
        elif kind in EXTENSIONS:
            if stem in self.images:
                raise self._twice(self.images[stem], member)
            self.images[stem] = member
        elif kind in (".cls", ".json") and member.size <= _LABEL_BYTES:
            file.seek(member.offset)
            label = _label(file.read(member.size), kind)
            if label is not None and self.labels.setdefault(stem + kind, label) != label:
                raise DataError(f"{printable(f'{self.path}:{member.name}')}: a second label of its key; remove one")
        else:
            passed_over[printable(kind or "without an ending")] += 1

    def settle(self, number: int, found: Found) -> None:
        """Gives each image its label."""
        # .json first, so that .cls goes before it
        labels = {os.path.splitext(name)[0]: self.labels[name] for name in sorted(self.labels, reverse=True)}
        keyed: dict[str, Member] = {}
        for stem, member in sorted(self.images.items(), key=lambda item: _key(item[0]) != item[0]):
            key = stem if stem in labels else _key(stem)
            if key not in keyed:
                keyed[key] = member
            elif key in self.images:
                found.passed_over[printable(member.name[len(key) :])] += 1
            else:
                raise self._twice(keyed[key], member)
        for key, member in sorted(keyed.items(), key=lambda item: item[1].offset):
            if key not in labels:
                raise DataError(
                    f"{printable(f'{self.path}:{member.name}')}: no label, expected a .cls or .json file of the same "
                    "key that holds one; add it or remove the image"
                )
            found.keys.append(member.name)
            found.places.append((number, member.offset, member.size))
            found.labels.append(labels[key])
        found.lonely.update(label for key, label in labels.items() if key not in keyed)

    def _twice(self, first: Member, second: Member) -> DataError:
        return DataError(
            f"{printable(f'{self.path}:{second.name}')}: a second image of its key, beside {printable(first.name)}; "
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
