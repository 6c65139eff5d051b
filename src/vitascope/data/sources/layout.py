"""Where the class folders lie: at once, in train/ and val/, in a folder too many; or a folder that only looks so."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass, field
from pathlib import Path

from vitascope.data.source import split_of_name
from vitascope.data.walk import Listing, is_image_of_any_kind, listing, walk
from vitascope.errors import DataError
from vitascope.wording import printable, some

log = logging.getLogger(__name__)

_SPLITS = ("train", "val", "valid", "validation", "dev", "eval", "test")
_GENERIC = {"set", "data", "dataset", "images", "image", "imgs", "img", "photos", "pictures", "pics", "files"} | {
    "folder",
    "folders",
    "split",
    "splits",
}
_FOLD = re.compile(r"k?[ _-]?(fold|cv|split|part|partition|subset|batch)[ _-]?\d+")


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Where to look for class folders."""

    root: Path
    """The folder as given."""
    splits: dict[str, Path]
    """Split → the folder of its class folders."""
    whole: bool
    """Whether there are no splits, so that everything is "train"."""
    passed_over: list[Path] = field(default_factory=list)
    """Files, litter and folders on the way to the class folders."""
    beside: list[Path] = field(default_factory=list)
    """Folders beside the splits; said already."""


def find_layout(root: Path) -> Layout:
    """Splits and class folders of a folder; raises DataError where it cannot be what it looks like.

    A folder called train, val, valid, validation, dev, eval or test is a split if it holds folders and no images
    itself, so that a class may be called "train". A folder that alone holds all images, in folders of its own, is
    entered. Anything else that looks like a split is refused rather than taken for a class.
    """
    place, here, passed_over = _entered(root)
    if place != root:
        log.info("%s: entered, as %s holds no other images", printable(str(place)), printable(str(root)))
    parts: dict[str, Path] = {}
    flat: list[Path] = []
    nested: list[Path] = []
    for folder in here.folders:
        if split_of_name(folder.name) is None and not _is_fold(folder.name):
            continue  # a name such as "seg_train" or "fold_1" would be suspicious of a class
        inner = listing(folder)
        if not inner.folders or _has_images(inner):
            flat.append(folder)
            continue
        split = split_of_name(folder.name) if folder.name.lower() in _SPLITS else None
        if split is None:
            nested.append(folder)
        elif split in parts:
            raise DataError(
                f"{printable(str(root))}: both {printable(parts[split].name)}/ and {printable(folder.name)}/, "
                f"expected one {split} split; remove or rename one"
            )
        else:
            parts[split] = folder
    _refuse_others(place, nested, parts)
    if not parts:
        _refuse_flat(place, here.folders, flat)
        return Layout(root=root, splits={"train": place}, whole=True, passed_over=passed_over)
    beside = [folder for folder in here.folders if folder not in parts.values()]
    for folder in beside:
        why = ", as it holds no class folders" if folder in flat else ""
        log.warning("%s: ignored beside the splits%s", printable(str(folder)), why)
    passed_over += [*here.litter, *here.files]
    splits: dict[str, Path] = {}
    for split, folder in parts.items():
        splits[split], _, others = _entered(folder)
        passed_over += others
    return Layout(root=root, splits=splits, whole=False, passed_over=passed_over, beside=beside)


def _entered(folder: Path) -> tuple[Path, Listing, list[Path]]:
    """The folder, or the only one in it that holds images, as archives unpack; what that holds; what lies beside it."""
    here, seen, beside = listing(folder), {folder.resolve()}, list[Path]()
    while not _has_images(here):
        inner = _only_with_images(here.folders)
        if inner is None or inner.resolve() in seen:
            break
        if inner.name.lower() in _SPLITS and split_of_name(inner.name) != split_of_name(folder.name):
            break
        below = listing(inner)
        if not below.folders or _has_images(below):
            break
        beside += [*here.litter, *here.files, *(other for other in here.folders if other != inner)]
        folder, here = inner, below
        seen.add(folder.resolve())
    return folder, here, beside


def _only_with_images(folders: list[Path]) -> Path | None:
    """The one folder with images in it, at any depth, where the others hold files of another kind only."""
    found: Path | None = None
    for folder in folders:
        files = walk(folder, [])
        first = next(files, None)
        if first is None:
            return None  # an empty folder may be a class that is still to be filled
        if is_image_of_any_kind(first.name) or any(is_image_of_any_kind(file.name) for file in files):
            if found is not None:
                return None
            found = folder
    return found


def _refuse_others(root: Path, nested: list[Path], parts: dict[str, Path]) -> None:
    """DataError for folders of folders that look like splits and are not called so."""
    known = [*nested, *parts.values()]
    wrong = [folder for folder in nested if _is_split(folder.name) or any(_twins(folder, other) for other in known)]
    if wrong:
        raise DataError(
            f"{printable(str(root))}: {some([folder.name for folder in wrong])} look like splits, expected class "
            "folders, or train/, val/ and test/ of them; rename these folders, or give one of them"
        )


def _refuse_flat(root: Path, folders: list[Path], flat: list[Path]) -> None:
    """DataError where all images lie in folders that are no classes: splits, or images/ beside labels/."""
    alone = _only_with_images(folders)
    if alone is not None and len(folders) > 1:
        raise DataError(
            f"{printable(str(root))}: {printable(alone.name)}/ alone holds images, expected CLASS/IMAGE for every "
            "class; put the images of each class in a folder named after it"
        )
    if flat and all(folder in flat and _is_split(folder.name) for folder in folders if _holds_images(folder)):
        names = [folder.name for folder in flat]
        hold = "hold" if len(names) > 1 else "holds"
        raise DataError(
            f"{printable(str(root))}: {some(names)} {hold} no class folders, expected "
            f"{printable(names[0])}/CLASS/IMAGE; move the images of each class into a folder named after it"
        )


def _holds_images(folder: Path) -> bool:
    return any(is_image_of_any_kind(file.name) for file in walk(folder, []))


def _has_images(found: Listing) -> bool:
    return any(is_image_of_any_kind(file.name) for file in found.files)


def _is_fold(name: str) -> bool:
    return _FOLD.fullmatch(name.lower()) is not None


def _is_split(name: str) -> bool:
    """Whether a name says nothing but a split: "Training", "test_images", "train2017", not "steam train"."""
    words = [word for word in re.split(r"[^a-z]+", name.lower()) if word]
    return split_of_name(name) is not None and all(word in _GENERIC or split_of_name(word) for word in words)


def _twins(one: Path, other: Path) -> bool:
    """Whether two folders are of different splits or folds and hold folders of the same names."""
    if one == other or (split_of_name(one.name) == split_of_name(other.name) and not _is_fold(one.name)):
        return False
    names = [{folder.name for folder in _entered(place)[1].folders} for place in (one, other)]
    return bool(names[0] & names[1])
