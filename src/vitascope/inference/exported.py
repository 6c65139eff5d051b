"""A folder that `vitascope export` wrote, opened again: predictions and accuracy of what will really run."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitascope.checkpoints.checkpoint import Activation, Checkpoint, check_activation
from vitascope.checkpoints.load import load
from vitascope.checkpoints.stated import Labels, Statistics, restated
from vitascope.checkpoints.store import PREPROCESSOR
from vitascope.data.preprocess import Preprocess
from vitascope.errors import CheckpointError, ConfigError
from vitascope.inference.engines import onnx, openvino
from vitascope.inference.engines.eager import Engine

LABELS, RECORD = "labels.json", "export.json"
FILES = {"onnx": "model.onnx", "openvino": "model.xml"}
"""Where each format keeps its graph."""


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
            why = (str(error).splitlines() or [type(error).__name__])[0]
            raise CheckpointError(f"{path} cannot be read ({why}); export it again") from error


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
        record: Any = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        preprocess = Preprocess.from_dict(json.loads((folder / PREPROCESSOR).read_text(encoding="utf-8")))
        names = json.loads((folder / LABELS).read_text(encoding="utf-8"))
        exported = Exported(
            folder=folder,
            format=record["format"],
            preprocess=preprocess,
            labels=tuple(names),
            activation=check_activation(record.get("activation", "softmax")),
        )
        known = exported.format in FILES
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{folder} is no complete export ({error}); export it again") from error
    if not known:
        raise CheckpointError(f"{folder} is of format {exported.format!r}, expected {' or '.join(FILES)}")
    if image_size is not None and preprocess.with_size(image_size).size != preprocess.size:
        raise ConfigError(f"{folder} takes images of {preprocess.size}; export the checkpoint with the other size")
    return restated(exported, labels, mean, std)
