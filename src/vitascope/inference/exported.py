"""A folder that `vitascope export` wrote, opened again: predictions and accuracy of what will really run."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitascope import json_text
from vitascope.checkpoints.checkpoint import Activation, Checkpoint, check_activation
from vitascope.checkpoints.json_file import read_json
from vitascope.checkpoints.load import load
from vitascope.checkpoints.shown import Shown, read_shown
from vitascope.checkpoints.stated import Labels, Statistics, restated
from vitascope.checkpoints.store import PREPROCESSOR
from vitascope.data.preprocess import Preprocess
from vitascope.errors import CheckpointError, ConfigError, UserError
from vitascope.inference.engines import onnx, openvino
from vitascope.inference.engines.eager import Engine
from vitascope.wording import first_line

LABELS, RECORD = "labels.json", "export.json"
FILES = {"onnx": "model.onnx", "openvino": "model.xml"}
"""Where each format keeps its graph."""
_MODEL = {"onnx": ["model.onnx"], "openvino": ["model.xml", "model.bin"]}


@dataclass(frozen=True, kw_only=True, eq=False)
class Exported:
    """What the folder says; `engine` makes it run."""

    folder: Path
    format: str
    """A key of `FILES`."""
    preprocess: Preprocess
    labels: tuple[str, ...]
    activation: Activation = "softmax"
    """As of `Checkpoint`."""
    shown: Shown | None = None
    """As of `Checkpoint`."""

    def fingerprint(self) -> str:
        """As of `Checkpoint`."""
        parts = sha256(self.folder / RECORD), self.preprocess, self.labels
        return hashlib.sha256(repr(parts).encode(errors="surrogatepass")).hexdigest()

    def engine(self) -> Engine:
        """Raises `ConfigError` without the extra, `CheckpointError` for a damaged model."""
        path = self.folder / FILES[self.format]
        if self.format == "onnx":
            onnx.need_onnx()
        else:
            openvino.import_openvino()
        try:
            return onnx.read(path) if self.format == "onnx" else openvino.read(path)
        except Exception as error:
            raise CheckpointError(f"{path} cannot be read ({first_line(error)}); export it again") from error


def open_model(
    path: str | Path,
    *,
    image_size: int | tuple[int, int] | None = None,
    labels: Labels | None = None,
    mean: Statistics | None = None,
    std: Statistics | None = None,
) -> Checkpoint | Exported:
    """An exported folder, or any checkpoint that loads; what is stated as for `load`.

    Raises `CheckpointError`; `ConfigError` for another image size than an export has.
    """
    folder = Path(path)
    if not (folder / RECORD).is_file():
        return load(path, image_size=image_size, labels=labels, mean=mean, std=std)
    try:
        record = read_json(folder / RECORD)
        if record.get("format") in FILES:
            _verify(folder, record)
            preprocess = Preprocess.from_dict(read_json(folder / PREPROCESSOR))
            exported = Exported(
                folder=folder,
                format=record["format"],
                preprocess=preprocess,
                labels=_names(json_text.parse((folder / LABELS).read_bytes()), record["output"]["shape"][1]),
                activation=check_activation(record.get("activation", "softmax")),
                shown=read_shown(folder, record.get("shown")),
            )
    except (OSError, ValueError, KeyError, TypeError, IndexError, UserError) as error:
        raise CheckpointError(f"{folder} is no complete export ({error}); export it again") from error
    if record.get("format") not in FILES:
        raise CheckpointError(f"{folder} is of format {record.get('format')!r}, expected {' or '.join(FILES)}")
    if image_size is not None and preprocess.with_size(image_size).size != preprocess.size:
        raise ConfigError(f"{folder} takes images of {preprocess.size}; export the checkpoint with the other size")
    return restated(exported, labels, mean, std)


def _verify(folder: Path, record: dict[str, Any]) -> None:
    """`CheckpointError` unless every file is there and has the SHA-256 that export.json says."""
    stated = record.get("sha256")
    if not isinstance(stated, dict) or not {PREPROCESSOR, LABELS, *_MODEL[record["format"]]} <= stated.keys():
        raise CheckpointError(f"{RECORD} lacks the SHA-256 of its files")
    for name, expected in stated.items():
        if Path(name).name != name or not (folder / name).is_file():
            raise CheckpointError(f"there is no {name!r}")
        if (found := sha256(folder / name)) != expected:
            told = f"SHA-256 is {found[:12]}…, {RECORD} says {str(expected)[:12]}…: damaged or changed"
            raise CheckpointError(f"{name} cannot be read as it was written: {told}")


def _names(held: Any, outputs: int | str) -> tuple[str, ...]:
    if not isinstance(held, list) or not all(isinstance(name, str) for name in held):
        raise CheckpointError(f"{LABELS} is no list of names")
    if len(held) != (0 if outputs == "features" else outputs):
        raise CheckpointError(f"{LABELS} has {len(held)} names for {outputs} outputs")
    return tuple(held)


def sha256(path: Path) -> str:
    """Of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
