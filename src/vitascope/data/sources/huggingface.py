"""`hf:owner/name[:config]`: image data sets of the Hugging Face Hub, through the `datasets` library, map-style."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from vitascope.data.fingerprint import stamp
from vitascope.data.source import Labels, Source, Splits, split_of_name
from vitascope.data.sources.classes import number_labels
from vitascope.data.sources.table import OTHER_LABELS, TableSource, choose_columns, choose_image, texts_of
from vitascope.errors import DataError
from vitascope.optional import needed
from vitascope.wording import printable, reason

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class HubSource(TableSource):
    """One split; pickled as the data set, which the library maps again instead of copying."""

    dataset: Any
    """As the library gives it."""
    column: str
    """The column of images."""

    def image(self, row: int) -> bytes | str | None:
        value = self.dataset.data.column(self.column)[row].as_py()
        # A row without bytes names a file on this machine, where the library has put it.
        if isinstance(value, dict):
            return value["bytes"] if value["bytes"] is not None else value.get("path") or None
        return value

    def table_columns(self) -> tuple[str, ...]:
        return tuple(self.dataset.data.column_names)

    def table_column(self, name: str) -> list[str] | None:
        return texts_of(self.dataset.data.column(name)) if name in self.table_columns() else None

    def identity(self) -> Iterable[bytes]:
        digest = hashlib.sha256()
        for row in range(len(self)):
            image = self.image(row)
            content = image if isinstance(image, bytes) else stamp(image or "").encode("utf-8", "surrogateescape")
            digest.update(f"{len(content)}\n".encode() + content)
        yield digest.hexdigest().encode()

    def parts(self) -> list[str]:
        return [str(self.dataset.data.column(self.column).nbytes)]


def open_huggingface(name: str, *, image: str | None = None, label: str | None = None) -> Splits:
    """`name` "owner/name" or "owner/name:config" → its train, validation and test splits.

    `image` and `label` name columns. Code that comes with a data set is never run. Raises ConfigError without
    the `datasets` library, DataError without the data set, and where its columns do not fit.
    """
    where, parts = _loaded(name)
    first = next(iter(parts.values()))
    images, answers, names = choose_columns(first.data.schema, first.features.to_dict(), where, image, label)
    given = {split: dataset.data.column(answers) for split, dataset in parts.items()}
    classes, labels = number_labels(given, names, where, OTHER_LABELS)
    return _splits(name, parts, images, classes, labels)


def open_images(name: str, *, image: str | None = None) -> Splits:
    """The same without labels, of which there need not be any column."""
    where, parts = _loaded(name)
    column = choose_image(next(iter(parts.values())).data.schema, where, image)
    labels: dict[str, Labels] = {split: np.zeros(len(dataset), dtype=np.int64) for split, dataset in parts.items()}
    return _splits(name, parts, column, (), labels)


def _splits(
    name: str, parts: dict[str, Any], column: str, classes: tuple[str, ...], labels: dict[str, Labels]
) -> Splits:
    repository = name.partition(":")[0]
    sources: dict[str, Source] = {
        split: HubSource(f"{repository} {split}", classes, labels[split], parts[split], column) for split in labels
    }
    return Splits(**sources)


def _loaded(name: str) -> tuple[str, dict[str, Any]]:
    """How messages call it, and the data set of each split."""
    repository, _, config = name.partition(":")
    where = printable(f"hf:{name}")
    if repository.count("/") > 1 or not all(repository.split("/")):
        raise DataError(f"{where}: expected hf:OWNER/NAME or hf:OWNER/NAME:CONFIG; mend the name")
    library = needed(f"{where}: needs the datasets library", "datasets", "datasets")
    try:
        loaded = library.load_dataset(repository, config or None)
    except Exception as error:  # the library's own errors and those of a dozen network libraries below it
        raise DataError(f"{where}: cannot be loaded ({reason(error)}); check name, config and network") from None
    parts: dict[str, Any] = {}
    for split_name, dataset in loaded.items():
        split = split_of_name(split_name)
        if split is None or split in parts or len(dataset) == 0:
            log.warning("%s: split %s left out", where, split_name)
            continue
        parts[split] = dataset
    if not parts:
        raise DataError(f"{where}: splits {', '.join(loaded)}, expected train, validation or test; use another")
    return where, parts
