"""One word or path → a data set: `open_data`, and the table of what it knows."""

from __future__ import annotations

import difflib
import glob
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from vitascope.data.source import Splits
from vitascope.errors import DataError
from vitascope.wording import printable

Options = dict[str, str]


def _folder(argument: str, options: Options) -> Splits:
    from vitascope.data.sources.folder import open_folder

    _no_options(argument, options)
    return open_folder(argument)


def _parquet(argument: str, options: Options) -> Splits:
    from vitascope.data.sources.parquet import open_parquet

    return open_parquet(argument, options)


def _webdataset(argument: str, options: Options) -> Splits:
    from vitascope.data.sources.webdataset import open_webdataset

    _no_options(argument, options)
    return open_webdataset(argument)


def _digits(argument: str, options: Options) -> Splits:
    from vitascope.data.sources.digits import open_digits

    _no_options("digits", options)
    return open_digits()


def _cifar10(argument: str, options: Options) -> Splits:
    from vitascope.data.sources.cifar import open_cifar

    _no_options("cifar10", options)
    return open_cifar("cifar10")


def _cifar100(argument: str, options: Options) -> Splits:
    from vitascope.data.sources.cifar import open_cifar

    _no_options("cifar100", options)
    return open_cifar("cifar100")


def _fractals(argument: str, options: Options) -> Splits:
    from vitascope.data.sources.fractals import open_fractals

    return open_fractals(options)


def _huggingface(argument: str, options: Options) -> Splits:
    from vitascope.data.sources.huggingface import open_huggingface

    return open_huggingface(argument, options)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A kind of data: one row of the table that `vitascope data` prints."""

    name: str
    """How it is called; also what is typed, for data that is no path."""
    typed: str
    """What to type, by example."""
    holds: str
    """What it is, in one line."""
    splits: str
    """Which splits it has."""
    needs: str
    """What it takes besides the core package; "" for nothing."""
    opener: Callable[[str, Options], Splits]
    """(what stands after the name or the path itself, options) → Splits; imports its module when called."""


CATALOGUE: tuple[Entry, ...] = (
    Entry(
        name="folder",
        typed="photos/",
        holds="a folder of class folders, with or without train/ and val/, validation/ or test/ in it",
        splits="those found, else train",
        needs="",
        opener=_folder,
    ),
    Entry(
        name="parquet",
        typed="cifar100/ or cifar100/:label=coarse_label",
        holds="parquet in the Hub's layout, a file or a folder; options image=COLUMN, label=COLUMN",
        splits="by file name, else train",
        needs="",
        opener=_parquet,
    ),
    Entry(
        name="webdataset",
        typed="'shards/train-{000..009}.tar'",
        holds="tar shards of KEY.jpg with KEY.cls or KEY.json: a file, a folder, a pattern",
        splits="by file name, else train",
        needs="",
        opener=_webdataset,
    ),
    Entry(
        name="digits",
        typed="digits",
        holds="1,797 handwritten digits, 8×8 grey, 10 classes, that scikit-learn carries",
        splits="train, test",
        needs="",
        opener=_digits,
    ),
    Entry(
        name="fractals",
        typed="fractals or fractals:KEY=VALUE,…",
        holds="generated fractals, one iterated function system per class",
        splits="train, validation",
        needs="",
        opener=_fractals,
    ),
    Entry(
        name="cifar10",
        typed="cifar10",
        holds="60,000 photographs, 32×32 colour, 10 classes (Krizhevsky, 2009)",
        splits="train, test",
        needs="a download of 162 MiB, once",
        opener=_cifar10,
    ),
    Entry(
        name="cifar100",
        typed="cifar100",
        holds="60,000 photographs, 32×32 colour, 100 classes (Krizhevsky, 2009)",
        splits="train, test",
        needs="a download of 161 MiB, once",
        opener=_cifar100,
    ),
    Entry(
        name="hf",
        typed="hf:OWNER/NAME or hf:OWNER/NAME:CONFIG",
        holds="an image data set of the Hugging Face Hub; options image=COLUMN, label=COLUMN",
        splits="the data set's",
        needs="pip install 'vitascope[datasets]'; a download, once",
        opener=_huggingface,
    ),
)

_PATHS = ("folder", "parquet", "webdataset")
_PARQUET_FOLDERS = ("data", "train", "val", "validation", "test")
_ENTRIES = {entry.name: entry for entry in CATALOGUE}


def open_data(spec: str, *, seed: int = 0) -> Splits:
    """What `spec` means → its splits, nothing decoded yet.

    `spec` is a path (class folders, parquet, tar shards; a pattern with *, ?, [ ] or {000..009} for shards), or a
    name of CATALOGUE, with options as NAME:key=value,key=value. A path wins over a name: a folder called digits
    beside you is that folder. `seed` is for data that is generated, unless its options give one.
    Raises DataError, with the nearest names, for what it does not know.
    """
    entry, argument, options = recognise(spec)
    if entry.name == "fractals":
        options.setdefault("seed", str(seed))
    return entry.opener(argument, options)


def recognise(spec: str) -> tuple[Entry, str, Options]:
    """What `spec` means → kind of data, path or name, options; nothing opened, no torch. Raises DataError."""
    if not spec:
        raise DataError(f"no data named, expected a path or one of {_names()}")
    for argument, tail in _readings(os.path.expanduser(spec)):
        kind = _kind_of_path(argument)
        # Class folders take no options, so that "fractals:size=16" beside a folder called fractals means the name.
        if kind is not None and not (tail and kind == "folder" and argument in _ENTRIES):
            return _ENTRIES[kind], argument, _options(tail, spec)
    name, _, rest = spec.partition(":")
    entry = _ENTRIES.get(name)
    if entry is None or entry.name in _PATHS:
        raise _unknown(spec)
    if name == "hf":
        parts = rest.split(":")
        tail = parts.pop() if len(parts) > 1 and "=" in parts[-1] else ""
        return entry, ":".join(parts), _options(tail, spec)
    return entry, "", _options(rest, spec)


def _readings(spec: str) -> list[tuple[str, str]]:
    """A spec as (path, options): whole, then without a last ":key=value,…"."""
    path, colon, tail = spec.rpartition(":")
    return [(spec, ""), (path, tail)] if colon and path and "=" in tail else [(spec, "")]


def _kind_of_path(text: str) -> str | None:
    """Which kind of data lies at a path; None where nothing does."""
    path = Path(text)
    try:
        if path.is_dir():
            # Never deeper than this: class folders may hold a million files.
            patterns = ["*.parquet", *(f"{inner}/*.parquet" for inner in _PARQUET_FOLDERS)]
            if any(next(path.glob(pattern), None) is not None for pattern in patterns):
                return "parquet"
            return "webdataset" if next(path.glob("*.tar"), None) is not None else "folder"
        if path.is_file():
            if path.suffix == ".parquet":
                return "parquet"
            if path.name.endswith((".tar", ".tar.gz", ".tgz")):
                return "webdataset"
            raise DataError(
                f"{printable(text)}: a file of unknown kind, expected a folder, a .parquet or a .tar file; "
                "check the path"
            )
    except (OSError, ValueError):  # a name too long, a NUL in it
        return None
    if text.endswith(".tar") and ("{" in text or glob.has_magic(text)):
        return "webdataset"
    return None


def _options(tail: str, spec: str) -> Options:
    options: Options = {}
    for item in filter(None, tail.split(",")):
        key, equals, value = item.partition("=")
        if not (equals and key and value):
            raise DataError(f"{printable(spec)}: option {item!r}, expected key=value; write NAME:key=value,key=value")
        options[key.strip()] = value.strip()
    return options


def _no_options(name: str, options: Options) -> None:
    if options:
        raise DataError(f"{printable(name)}: unknown option {next(iter(options))!r}, expected none; leave it out")


def _names() -> str:
    return ", ".join(entry.name for entry in CATALOGUE if entry.name not in _PATHS)


def _unknown(spec: str) -> DataError:
    shown = printable(spec)
    if "/" in spec or "\\" in spec or spec.startswith((".", "~")) or Path(spec).suffix:
        return DataError(f"{shown}: no such file or folder; check the path (or give one of {_names()})")
    names = [entry.name for entry in CATALOGUE if entry.name not in _PATHS]
    near = difflib.get_close_matches(spec.partition(":")[0].lower().replace("-", ""), names, n=2, cutoff=0.5)
    meant = f"; did you mean {' or '.join(near)}?" if near else ""
    return DataError(f"{shown}: no such folder, and no data of this name; expected a path or one of {_names()}{meant}")
