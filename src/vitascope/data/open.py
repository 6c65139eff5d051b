"""One word or path → a data set: `open_data`, and the table of what it knows."""

from __future__ import annotations

import difflib
import glob
import importlib
import inspect
import os
from dataclasses import dataclass
from pathlib import Path

from vitascope.data.source import Splits
from vitascope.errors import DataError
from vitascope.wording import printable

Options = dict[str, str]


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
    needs: str = ""
    """What it takes besides the core package; "" for nothing."""
    opener: str
    """MODULE.FUNCTION of `vitascope.data.sources`: takes the path, or what stands behind the name, or else the name.
    Its keywords are the options; one called `seed` is the run's unless it is given."""
    unlabelled: str = ""
    """The same for who needs no labels, where the data may have none; "" where all are labelled."""
    is_path: bool = False
    """Whether it is a path, not a name."""
    is_named: bool = False
    """Whether one of many is named behind the name."""

    def open(self, argument: str, options: Options, seed: int = 0, *, labels: bool = True) -> Splits:
        """Its splits, without `labels` as if there were none; raises DataError."""
        module, _, function = (self.opener if labels else self.unlabelled or self.opener).partition(".")
        opener = getattr(importlib.import_module(f"vitascope.data.sources.{module}"), function)
        parameters = inspect.signature(opener).parameters.values()
        known = [each.name for each in parameters if each.kind is each.KEYWORD_ONLY]
        unknown = sorted(set(options) - set(known))
        if unknown and not any(each.kind is each.VAR_KEYWORD for each in parameters):
            expected = " or ".join(f"{name}=COLUMN" for name in known) or "none; leave it out"
            raise DataError(f"{printable(argument)}: unknown option {unknown[0]!r}, expected {expected}")
        splits: Splits = opener(argument, **({"seed": str(seed)} if "seed" in known else {}) | options)
        return splits if labels else splits.unlabelled()


CATALOGUE: tuple[Entry, ...] = (
    Entry(
        name="folder",
        typed="photos/",
        holds="a folder of class folders, with or without train/ and val/, validation/ or test/ in it",
        splits="those found, else train",
        opener="folder.open_folder",
        unlabelled="folder.open_images",
        is_path=True,
    ),
    Entry(
        name="parquet",
        typed="cifar100/ or cifar100/:label=coarse_label",
        holds="parquet in the Hub's layout, a file or a folder; labels or lists of them; options image=, label=COLUMN",
        splits="by file name, else train",
        opener="parquet.open_parquet",
        unlabelled="parquet.open_images",
        is_path=True,
    ),
    Entry(
        name="csv",
        typed="labels.csv or labels.csv:file=COLUMN,label=COLUMN",
        holds="CSV or TSV that lists image files and their labels, one or several an image; options file=, label=, "
        "labels=, split=COLUMN",
        splits="by a column split, else train",
        opener="listed.open_listed",
        unlabelled="listed.open_images",
        is_path=True,
    ),
    Entry(
        name="webdataset",
        typed="'shards/train-{000..009}.tar'",
        holds="tar shards of KEY.jpg with KEY.cls or KEY.json: a file, a folder, a pattern",
        splits="by file name, else train",
        opener="webdataset.open_webdataset",
        unlabelled="webdataset.open_images",
        is_path=True,
    ),
    Entry(
        name="digits",
        typed="digits",
        holds="1,797 handwritten digits, 8×8 grey, 10 classes, that scikit-learn carries",
        splits="train, test",
        opener="digits.open_digits",
    ),
    Entry(
        name="fractals",
        typed="fractals or fractals:KEY=VALUE,…",
        holds="generated fractals, one iterated function system per class",
        splits="train, validation",
        opener="fractals.open_fractals",
    ),
    Entry(
        name="cifar10",
        typed="cifar10",
        holds="60,000 photographs, 32×32 colour, 10 classes (Krizhevsky, 2009)",
        splits="train, test",
        needs="a download of 162 MiB, once",
        opener="cifar.open_cifar",
    ),
    Entry(
        name="cifar100",
        typed="cifar100",
        holds="60,000 photographs, 32×32 colour, 100 classes (Krizhevsky, 2009)",
        splits="train, test",
        needs="a download of 161 MiB, once",
        opener="cifar.open_cifar",
    ),
    Entry(
        name="hf",
        typed="hf:OWNER/NAME or hf:OWNER/NAME:CONFIG",
        holds="an image data set of the Hugging Face Hub; options image=COLUMN, label=COLUMN",
        splits="the data set's",
        needs="pip install 'vitascope[datasets]'; a download, once",
        opener="huggingface.open_huggingface",
        unlabelled="huggingface.open_images",
        is_named=True,
    ),
)

_ENTRIES = {entry.name: entry for entry in CATALOGUE}
_NAMES = [entry.name for entry in CATALOGUE if not entry.is_path]
_PARQUET_FOLDERS = ("data", "train", "val", "validation", "test")


def open_data(spec: str, *, seed: int = 0, labels: bool = True) -> Splits:
    """What `spec` means → its splits, nothing decoded yet.

    `spec` is a path (class folders, parquet, a CSV list, tar shards; a pattern with *, ?, [ ] or {000..009} for
    shards), or a name of CATALOGUE, with options as NAME:key=value,key=value. A path wins over a name: a folder called
    digits beside you is that folder. `seed` is for data that is generated, unless its options give one. Without
    `labels` there need not be any, and none are seen. Raises DataError, with the nearest names, for what it does not
    know; `UnlabelledError` where labels are missing.
    """
    entry, argument, options = recognise(spec)
    return entry.open(argument, options, seed, labels=labels)


def recognise(spec: str) -> tuple[Entry, str, Options]:
    """What `spec` means → kind of data, path or name, options; nothing opened, no torch. Raises DataError."""
    if not spec:
        raise DataError(f"no data named, expected a path or one of {', '.join(_NAMES)}")
    expanded = os.path.expanduser(spec)
    for argument, rest in ((expanded, ""), _cut(expanded)):
        kind = _kind_of_path(argument) if argument else None
        # Class folders take no options, so that "fractals:size=16" beside a folder called fractals means the name.
        if kind is not None and not (rest and kind == "folder" and argument in _ENTRIES):
            return _ENTRIES[kind], argument, _options(rest, spec)
    name, _, tail = spec.partition(":")
    entry = _ENTRIES.get(name)
    if entry is None or entry.is_path:
        raise _unknown(spec)
    argument, rest = _cut(tail)
    if bool(argument) != entry.is_named:
        raise DataError(f"{printable(spec)} names no data, expected {entry.typed}")
    return entry, argument or name, _options(rest, spec)


def _cut(text: str) -> tuple[str, str]:
    """Without a last ":key=value,…", and that."""
    head, _, tail = text.rpartition(":")
    return (head, tail) if "=" in tail else (text, "")


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
            if path.suffix in (".csv", ".tsv"):
                return "csv"
            if path.name.endswith((".tar", ".tar.gz", ".tgz")):
                return "webdataset"
            raise DataError(
                f"{printable(text)}: a file of unknown kind, expected a folder, a .parquet, .csv or .tar file; "
                "check the path"
            )
    except (OSError, ValueError):  # a name too long, a NUL in it
        return None
    return "webdataset" if text.endswith(".tar") and ("{" in text or glob.has_magic(text)) else None


def _options(tail: str, spec: str) -> Options:
    options: Options = {}
    for item in filter(None, tail.split(",")):
        key, equals, value = item.partition("=")
        if not (equals and key and value):
            raise DataError(f"{printable(spec)}: option {item!r}, expected key=value; write NAME:key=value,key=value")
        options[key.strip()] = value.strip()
    return options


def _unknown(spec: str) -> DataError:
    shown, names = printable(spec), ", ".join(_NAMES)
    if "/" in spec or "\\" in spec or spec.startswith((".", "~")) or Path(spec).suffix:
        return DataError(f"{shown}: no such file or folder; check the path (or give one of {names})")
    near = difflib.get_close_matches(spec.partition(":")[0].lower().replace("-", ""), _NAMES, n=2, cutoff=0.5)
    meant = f"; did you mean {' or '.join(near)}?" if near else ""
    return DataError(f"{shown}: no such folder, and no data of this name; expected a path or one of {names}{meant}")
