"""Where the class folders lie: at once, in train/ and val/, in a folder too many; or a folder that only looks so."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass, field

from vitascope.data.source import split_of_name
from vitascope.data.walk import Folder
from vitascope.errors import DataError, UnlabelledError
from vitascope.wording import printable, some

log = logging.getLogger(__name__)

_SPLITS = ("train", "val", "valid", "validation", "dev", "eval", "test")
# May stand beside a split's word in a name that still says nothing else.
_GENERIC = re.compile("set|data|dataset|imgs?|images?|photos|pictures|pics|files|folders?|splits?")
_FOLD = re.compile(r"k?[ _-]?(fold|cv|split|part|partition|subset|batch)[ _-]?\d+")


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Where to look for class folders."""

    splits: dict[str, Folder]
    """Split → the folder of its class folders."""
    unsplit: bool
    """Whether there are no splits, so that everything is "train"."""
    passed_over: list[str] = field(default_factory=list)
    """Files, litter and folders on the way to the class folders."""
    beside: list[str] = field(default_factory=list)
    """Folders beside the splits; said already."""


def find_layout(root: Folder) -> Layout:
    """Splits and class folders of a folder; raises DataError where it cannot be what it looks like.

    A folder called train, val, valid, validation, dev, eval or test is a split if it holds folders and no images
    itself, so that a class may be called "train". A folder that alone holds all images, in folders of its own, is
    entered. Anything else that looks like a split is refused rather than taken for a class.
    """
    place, passed_over = _entered(root)
    if place != root:
        log.info("%s: entered, as %s holds no other images", printable(place.path), printable(root.path))
    # A name such as "seg_train" or "fold_1" is suspicious of a class.
    suspicious = [folder for folder in place.folders if split_of_name(folder.name) or _is_fold(folder.name)]
    flat = [folder for folder in suspicious if not folder.folders or folder.has_images]
    parts: dict[str, Folder] = {}
    nested: list[Folder] = []
    for folder in suspicious:
        split = split_of_name(folder.name) if folder.name.lower() in _SPLITS else None
        if folder in flat:
            continue
        if split is None:
            nested.append(folder)
        elif (other := parts.setdefault(split, folder)) is not folder:
            raise _two_of_a_split(root, other, folder, split)
    known = [*nested, *parts.values()]
    wrong = [folder for folder in nested if _is_split(folder.name) or any(_twins(folder, other) for other in known)]
    if wrong:
        raise DataError(
            f"{printable(place.path)}: {some([folder.name for folder in wrong])} look like splits, expected class "
            "folders, or train/, val/ and test/ of them; rename these folders, or give one of them"
        )
    if not parts:
        _refuse_flat(place, flat)
        return Layout(splits={"train": place}, unsplit=True, passed_over=passed_over)
    beside = [folder for folder in place.folders if folder not in parts.values()]
    for folder in beside:
        why = ", as it holds no class folders" if folder in flat else ""
        log.warning("%s: ignored beside the splits%s", printable(folder.path), why)
    entered = {split: _entered(folder) for split, folder in parts.items()}
    passed_over += [*place.litter, *place.files, *(path for _, others in entered.values() for path in others)]
    return Layout(
        splits={split: folder for split, (folder, _) in entered.items()},
        unsplit=False,
        passed_over=passed_over,
        beside=[folder.path for folder in beside],
    )


def find_parts(root: Folder) -> dict[str, list[Folder]]:
    """Split → the folders whose own files are its, where nobody needs classes; everything is "train" without splits.

    A folder whose name says nothing but a split is one: test/, Training/, val2017/. Beside one for training, images
    elsewhere are left out, which is said; without one they are what is trained on. One for training alone, with images
    beside it, is a folder like any other. Raises DataError where two are of one split.
    """
    place, _ = _entered(root)
    parts: dict[str, Folder] = {}
    for folder in place.folders:
        split = split_of_name(folder.name) if _is_split(folder.name) and folder.holds_images else None
        if split is not None and (other := parts.setdefault(split, folder)) is not folder:
            raise _two_of_a_split(root, other, folder, split)
    others = [folder for folder in place.folders if folder not in parts.values() and folder.holds_images]
    if not parts or (list(parts) == ["train"] and (others or place.has_images)):
        return {"train": list(root.walk())}
    walked = {split: list(folder.walk()) for split, folder in parts.items()}
    if "train" not in parts:
        return {"train": [place, *(inner for folder in others for inner in folder.walk())], **walked}
    for folder in [*others, *([place] if place.has_images else [])]:
        log.warning("%s: images beside the splits are left out", printable(folder.path))
    return walked


def _two_of_a_split(root: Folder, one: Folder, other: Folder, split: str) -> DataError:
    return DataError(
        f"{printable(root.path)}: both {printable(one.name)}/ and {printable(other.name)}/, "
        f"expected one {split} split; remove or rename one"
    )


def _entered(folder: Folder) -> tuple[Folder, list[str]]:
    """The folder, or the only one in it that holds images, as archives unpack; and what lies beside that."""
    beside: list[str] = []
    while not folder.has_images:
        inner = _only_with_images(folder.folders)
        if inner is None or not inner.folders or inner.has_images:
            break
        if inner.name.lower() in _SPLITS and split_of_name(inner.name) != split_of_name(folder.name):
            break
        others = [other.path for other in folder.folders if other is not inner]
        beside += [*folder.litter, *folder.files, *others]
        folder = inner
    return folder, beside


def _only_with_images(folders: list[Folder]) -> Folder | None:
    """The one folder with images in it, at any depth, where the others hold files of another kind only."""
    if any(not any(inner.files for inner in folder.walk()) for folder in folders):
        return None  # an empty folder may be a class that is still to be filled
    found = [folder for folder in folders if folder.holds_images]
    return found[0] if len(found) == 1 else None


def _refuse_flat(root: Folder, flat: list[Folder]) -> None:
    """UnlabelledError where all images lie in folders that are no classes: splits, or images/ beside labels/."""
    alone = _only_with_images(root.folders)
    if alone is not None and len(root.folders) > 1:
        raise UnlabelledError(
            f"{printable(root.path)}: {printable(alone.name)}/ alone holds images, expected CLASS/IMAGE for every "
            "class; put the images of each class in a folder named after it"
        )
    filled = [folder for folder in root.folders if folder.holds_images] if flat else []
    if flat and all(folder in flat and _is_split(folder.name) for folder in filled):
        names = [folder.name for folder in flat]
        raise UnlabelledError(
            f"{printable(root.path)}: {some(names)} {'hold' if len(names) > 1 else 'holds'} no class folders, expected "
            f"{printable(names[0])}/CLASS/IMAGE; move the images of each class into a folder named after it"
        )


def _is_fold(name: str) -> bool:
    return _FOLD.fullmatch(name.lower()) is not None


def _is_split(name: str) -> bool:
    """Whether a name says nothing but a split: "Training", "test_images", "train2017", not "steam train"."""
    words = [word for word in re.split(r"[^a-z]+", name.lower()) if word]
    return split_of_name(name) is not None and all(_GENERIC.fullmatch(word) or split_of_name(word) for word in words)


def _twins(one: Folder, other: Folder) -> bool:
    """Whether two folders are of different splits or folds and hold folders of the same names."""
    if one == other or (split_of_name(one.name) == split_of_name(other.name) and not _is_fold(one.name)):
        return False
    names = [{folder.name for folder in _entered(place)[0].folders} for place in (one, other)]
    return bool(names[0] & names[1])
