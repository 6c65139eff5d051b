"""The images that a head was taught with: their features, labels and names, kept beside the model.

The solution needs no more of an image than this, so that others are added and some forgotten without reading the rest
again, to the same result as teaching all that is left at once. A file of safetensors, whose SHA-256 the run's results
hold.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from vitascope.checkpoints.json_file import read_json
from vitascope.checkpoints.run_files import RESULTS
from vitascope.checkpoints.tensor_file import TensorFile, parse_safetensors, read_safetensors, write_safetensors
from vitascope.data.alike import SIDE
from vitascope.data.copies import joined_by_copies
from vitascope.data.groups import joined
from vitascope.data.images import UInt8
from vitascope.data.labels import indicator, label_sets, renumbered, set_name
from vitascope.data.source import Int64, Labels
from vitascope.errors import CheckpointError, ConfigError
from vitascope.json_text import parse
from vitascope.wording import meant, some

FILE = "taught.safetensors"
_ARRAYS = ("features", "labels", "marks", "groups", "keys", "small")
_REMEDY = "copy the whole folder, or begin anew from its model/ elsewhere"


@dataclass(frozen=True, kw_only=True, eq=False)
class Known:
    """n images of width d."""

    features: npt.NDArray[np.float32]
    """(n, d)."""
    classes: tuple[str, ...]
    """Names of the labels."""
    labels: Labels
    """(n,), or (n, K) where an image may have several."""
    names: tuple[str, ...]
    """What messages call each image: its path, as a rule."""
    marks: Int64
    """(n,) eight bytes of the hash of each image's content, 0 where that is not known."""
    groups: Int64
    """(n,): images of one number belong together, and are left out together."""
    keys: Int64 | None = None
    """(n,) what stands for the group that the user says (`data.groups`), of images taught at another time too; None
    where none was said."""
    small: UInt8 | None = None
    """(n, 32, 32) what is compared of each image, so that near copies of it are found later too (`data.alike`); None
    where that was not kept."""
    made_by: str = ""
    """What tells the model of the features from others (`evaluation.features.made_by`); empty where nobody wrote it."""

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def several(self) -> bool:
        """Whether an image may have several labels."""
        return self.labels.ndim == 2

    @property
    def targets(self) -> npt.NDArray[np.float64]:
        """±1, (n, K)."""
        return np.where(indicator(self.labels, len(self.classes)), 1.0, -1.0)

    def label_of(self, place: int) -> str:
        """What people call an image's label, or its labels."""
        return set_name(label_sets(self.labels[place : place + 1])[0], self.classes)

    def with_more(self, more: Known) -> tuple[Known, int, int]:
        """With others beside these, classes that are new after the old; how many were known, how many relabelled.

        An image that is known is not counted twice; under another label the new one holds, because that is how
        mistakes are corrected. Where either may have several labels an image, both have then. Raises `CheckpointError`
        for features of another model.
        """
        if more.features.shape[1] != self.features.shape[1]:
            raise CheckpointError(
                f"features of width {more.features.shape[1]}, the images that are known have {self.features.shape[1]}"
            )
        if self.made_by and more.made_by and self.made_by != more.made_by:
            raise CheckpointError("features of another model than those of the images that are known")
        classes = (*self.classes, *(name for name in more.classes if name not in set(self.classes)))
        own = self.labels
        given = renumbered(more.labels, np.array([classes.index(name) for name in more.classes]), len(classes))
        if self.several or more.several:
            own = renumbered(indicator(own, len(self.classes)), np.arange(len(self.classes)), len(classes))
            given = indicator(given, len(classes))
        old = replace(self, labels=own)._kept(~np.isin(self.marks, more.marks[more.marks != 0]))
        label_of = {mark: k for mark, k in zip(self.marks.tolist(), label_sets(own), strict=True) if mark}
        again = [label for mark, label in zip(more.marks.tolist(), label_sets(given), strict=True) if mark in label_of]
        before = [label_of[mark] for mark in more.marks.tolist() if mark in label_of]
        relabelled = sum(a != b for a, b in zip(again, before, strict=True))
        first = int(old.groups.max(initial=-1)) + 1
        groups, keys = np.concatenate([old.groups, more.groups + first]), None
        if old.keys is not None and more.keys is not None:
            keys = np.concatenate([old.keys, more.keys])
            groups = joined(groups, keys)
        small = None
        if old.small is not None and more.small is not None:
            small = np.concatenate([old.small, more.small])
            groups = joined_by_copies(groups, small, len(old))
        both = Known(
            features=np.concatenate([old.features, more.features]),
            classes=classes,
            labels=np.concatenate([old.labels, given]),
            names=(*old.names, *more.names),
            marks=np.concatenate([old.marks, more.marks]),
            groups=groups,
            keys=keys,
            small=small,
            made_by=more.made_by,
        )
        return both, len(again) - relabelled, relabelled

    def without(self, words: Sequence[str]) -> Known:
        """Without the classes or files of these names; raises `ConfigError` for one that is neither.

        Images that have other labels besides a class that goes stay with those.
        """
        has = indicator(self.labels, len(self.classes))
        forgotten = np.isin(self.classes, list(words))
        gone = np.logical_and(has.any(axis=1), ~has[:, ~forgotten].any(axis=1))
        for word in words:
            if word not in self.classes:
                found = np.array([name == word or Path(name).name == word for name in self.names])
                if not found.any():
                    raise ConfigError(f"{word!r} is no class or file that was taught; {meant(word, self.classes)}")
                gone |= found
        return self.only(~gone, ~forgotten)

    def only(self, rows: npt.NDArray[np.bool_], classes: npt.NDArray[np.bool_] | None = None) -> Known:
        """The images at `rows` (n,) alone, with the classes that any of them has, of `classes` (K,) where given."""
        kept = self._kept(rows)
        has = indicator(kept.labels, len(self.classes))
        occurring = np.flatnonzero(has.any(axis=0) if classes is None else has.any(axis=0) & classes)
        names = tuple(self.classes[i] for i in occurring)
        if self.several:
            return replace(kept, classes=names, labels=has[:, occurring])
        place = np.full(len(self.classes), -1, dtype=np.int64)
        place[occurring] = np.arange(len(occurring))
        return replace(kept, classes=names, labels=place[kept.labels])

    def moved(self, places: Sequence[int], name: str) -> Known:
        """With the images at `places`, of one label each, in the class `name`, which may be new."""
        classes = self.classes if name in self.classes else (*self.classes, name)
        labels = self.labels.copy()
        labels[list(places)] = classes.index(name)
        everyone = np.ones(len(self), dtype=bool)
        return replace(self, classes=classes, labels=labels).only(everyone)

    def renamed(self, old: str, new: str) -> Known:
        """With another name for a class; raises `ConfigError` where there is no such class, or already one so named."""
        if old not in self.classes:
            raise ConfigError(f"{old!r} is no class that was taught; {meant(old, self.classes)}")
        if new != old and new in self.classes:
            raise ConfigError(f"there is a class {new!r} already; move the images into it")
        return replace(self, classes=tuple(new if name == old else name for name in self.classes))

    def _kept(self, rows: npt.NDArray[np.bool_]) -> Known:
        return replace(
            self,
            features=self.features[rows],
            labels=self.labels[rows],
            names=tuple(name for name, kept in zip(self.names, rows, strict=True) if kept),
            marks=self.marks[rows],
            groups=self.groups[rows],
            keys=None if self.keys is None else self.keys[rows],
            small=None if self.small is None else self.small[rows],
        )

    def check_made_by(self, made_by: str, path: str) -> None:
        """`CheckpointError` unless the features are of the model that the checkpoint at `path` has now."""
        if self.made_by and self.made_by != made_by:
            told = "its model is not the one that it was taught with, or sees other images"
            raise CheckpointError(f"{path}: {told}; {_REMEDY}")

    def write(self, folder: Path) -> str:
        """Writes `taught.safetensors`; returns its SHA-256. Raises OSError."""
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        tensors = {name: torch.from_numpy(np.ascontiguousarray(a)) for name, a in arrays.items() if a is not None}
        told = {"classes": json.dumps(self.classes), "names": json.dumps(self.names), "made_by": self.made_by}
        return write_safetensors(folder / FILE, tensors, told)


def read_taught(path: str | Path) -> tuple[Known, dict[str, Any]] | None:
    """What a run of `teach` knows and its results, from it or from its model/; None for any other checkpoint.

    Raises `CheckpointError` where either is not as it was written: what was taught is never left out silently.
    """
    place = Path(path)
    if not os.path.exists(place):  # a name
        return None
    for folder in (place, place.parent):
        try:
            results = read_json(folder / RESULTS)
        except CheckpointError as error:
            if (folder / FILE).exists():
                raise CheckpointError(f"{error}; {_REMEDY}") from error
            continue  # there is none, or somebody else's
        if "taught_sha256" in results or (folder / FILE).exists():
            return _read(folder, results.get("taught_sha256")), _checked(results, folder / RESULTS)
    return None


def _checked(results: dict[str, Any], path: Path) -> dict[str, Any]:
    """Results of teaching whose settings are as they were written; raises `CheckpointError`."""
    try:
        numbers = np.array([results["l2"], *np.atleast_1d(results["temperature"])], dtype=np.float64)
        sound = numbers.ndim == 1 and bool(np.isfinite(numbers).all() and (numbers > 0).all())
    except (KeyError, TypeError, ValueError, OverflowError):
        sound = False
    if not sound or not isinstance(results.get("balance"), bool):
        raise CheckpointError(f"{path}: not as it was written (l2, temperature or balance); {_REMEDY}")
    return results


def _read(folder: Path, sha256: object) -> Known:
    """What `write` wrote, with the SHA-256 it returned; raises `CheckpointError`."""
    path = folder / FILE
    if not path.is_file():
        raise CheckpointError(f"{path}: missing, and with it what the run was taught; {_REMEDY}")
    return _understood(read_safetensors(path), sha256, path)


def parse_taught(data: bytes, sha256: str) -> Known:
    """Of the bytes of `taught.safetensors` and the SHA-256 in its run's results; raises `CheckpointError`."""
    path = Path(FILE)
    return _understood(parse_safetensors(data, path), sha256, path)


def _understood(content: TensorFile, sha256: object, path: Path) -> Known:
    if content.sha256 != sha256:
        raise CheckpointError(f"{path}: not as it was written (SHA-256); {_REMEDY}")
    try:
        classes, names = (tuple(map(str, parse(content.metadata[name]))) for name in ("classes", "names"))
        arrays = {name: tensor.numpy() for name, tensor in content.tensors.items()}
        known = Known(classes=classes, names=names, made_by=content.metadata.get("made_by", ""), **arrays)
        _check(known)
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: holds something else ({some([str(error)])}); {_REMEDY}") from error
    return known


def _check(known: Known) -> None:
    """ValueError unless all of it belongs together."""
    n, classes, features = len(known.names), len(known.classes), known.features
    if features.ndim != 2 or features.dtype != np.float32 or not np.isfinite(features).all():
        raise ValueError("features")
    labels = known.labels
    several = labels.shape == (n, classes) and labels.dtype == np.bool_
    single = labels.shape == (n,) and labels.dtype == np.int64
    if not several and not (single and labels.min(initial=0) >= 0 and labels.max(initial=-1) < classes):
        raise ValueError("labels")
    numbers = [values for values in (known.marks, known.groups, known.keys) if values is not None]
    if any(values.shape != (n,) or values.dtype != np.int64 for values in numbers):
        raise ValueError("marks or groups")
    if known.small is not None and (known.small.shape != (n, SIDE, SIDE) or known.small.dtype != np.uint8):
        raise ValueError("small")
    if len(features) != n or len(set(known.classes)) != classes:
        raise ValueError("names")
