"""A folder that `vitascope export` wrote, opened again: predictions and accuracy of what will really run."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from vitascope import json_text
from vitascope.checkpoints.checkpoint import Activation, Checkpoint, check_activation
from vitascope.checkpoints.json_file import read_json
from vitascope.checkpoints.load import load
from vitascope.checkpoints.prior import Prior
from vitascope.checkpoints.shown import Shown, read_shown
from vitascope.checkpoints.stated import Labels, Statistics, restated
from vitascope.checkpoints.store import PREPROCESSOR
from vitascope.data.preprocess import Preprocess
from vitascope.errors import CheckpointError, ConfigError, UserError
from vitascope.evaluation.sets import PredictionSets, sets_from_json
from vitascope.inference.contract import IMAGE
from vitascope.inference.engines import onnx, openvino, pt2
from vitascope.inference.engines.pytorch import Engine
from vitascope.inference.format_names import Form, FormatName
from vitascope.whole import sha256
from vitascope.wording import first_line

LABELS, RECORD = "labels.json", "export.json"
RUNTIMES: dict[FormatName, Any] = {"onnx": onnx, "openvino": openvino, "pt2": pt2}
"""By format, the module of the engine that it runs on."""
OPENED = ("onnx", "openvino")
"""Those that are opened again: who opens a .pt2 of somebody else lets it run any program."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Exported:
    """What the folder says; `engine` makes it run."""

    folder: Path
    format: FormatName
    """One of `OPENED`."""
    preprocess: Preprocess
    labels: tuple[str, ...]
    activation: Activation = "softmax"
    """As of `Checkpoint`."""
    shown: Shown | None = None
    """As of `Checkpoint`."""
    sets: PredictionSets | None = None
    """As of `Checkpoint`."""
    form: Form = "batch"
    """Of the input."""
    precision: str = "float32"
    """What its products are computed in."""

    def fingerprint(self) -> str:
        """As of `Checkpoint`."""
        parts = sha256(self.folder / RECORD), self.preprocess, self.labels, self.sets
        return hashlib.sha256(repr(parts).encode(errors="surrogatepass")).hexdigest()

    def engine(
        self, name: str = "auto", device: torch.device | str | None = None, precision: str = "float32"
    ) -> Engine:
        """Raises `ConfigError` without the extra and for anything but what it is, `CheckpointError` for damage."""
        instead = "use the checkpoint itself"
        if name not in ("auto", self.format):
            raise ConfigError(f"{self.folder} runs on engine {self.format}, not {name}; {instead}")
        if device is not None and torch.device(device).type != "cpu":
            raise ConfigError(f"{self.folder} runs on the CPU, not on {device}; {instead}")
        if precision not in ("auto", "float32"):
            raise ConfigError(f"{self.folder} has its own precision; {instead} for {precision}")
        RUNTIMES[self.format].library()
        try:
            return read_back(self.folder, self.format, self.preprocess, self.precision, self.form)
        except Exception as error:
            path = self.folder / RUNTIMES[self.format].FILES[0]
            raise CheckpointError(f"{path} cannot be read ({first_line(error)}); export it again") from error


def read_back(folder: Path, format: FormatName, preprocess: Preprocess, precision: str, form: Form) -> Engine:
    """The engine of what was written into a folder; raises what its runtime raises."""
    runtime = RUNTIMES[format]
    path = folder / runtime.FILES[0]
    engine: Engine = onnx.read_photographs(path, preprocess) if form == "image" else runtime.read(path, precision)
    return engine


def open_model(
    path: str | Path,
    *,
    image_size: int | tuple[int, int] | None = None,
    labels: Labels | None = None,
    mean: Statistics | None = None,
    std: Statistics | None = None,
    prior: Prior | None = None,
) -> Checkpoint | Exported:
    """An exported folder, or any checkpoint that loads; what is stated as for `load`.

    Raises `CheckpointError`; `ConfigError` for another image size or prior than an export has.
    """
    folder = Path(path)
    if not os.path.isfile(folder / RECORD):
        return load(path, image_size=image_size, labels=labels, mean=mean, std=std, prior=prior)
    if prior is not None:
        raise ConfigError(f"{folder} has its prior within; export the checkpoint with the other --prior")
    try:
        record = read_json(folder / RECORD)
        exported = None if record.get("format") == "pt2" else _read(folder, record)
    except (OSError, ValueError, KeyError, TypeError, IndexError, UserError) as error:
        raise CheckpointError(f"{folder} is no complete export ({error}); export it again") from error
    if exported is None:
        raise ConfigError(f"{folder} holds a .pt2, which may run any program when opened; give the checkpoint itself")
    size = exported.preprocess.size
    if image_size is not None and exported.preprocess.with_size(image_size).size != size:
        raise ConfigError(f"{folder} takes images of {size}; export the checkpoint with the other size")
    return restated(exported, labels, mean, std)


def _read(folder: Path, record: dict[str, Any]) -> Exported:
    """Everything that is there, once every file has the SHA-256 that export.json says."""
    format, stated = record.get("format"), record.get("sha256")
    if format not in OPENED:
        raise ConfigError(f"of format {format!r}, expected {' or '.join(OPENED)}")
    if not isinstance(stated, dict) or not {PREPROCESSOR, LABELS, *RUNTIMES[format].FILES} <= stated.keys():
        raise CheckpointError(f"{RECORD} lacks the SHA-256 of its files")
    for name, expected in stated.items():
        if Path(name).name != name or not (folder / name).is_file():
            raise CheckpointError(f"there is no {name!r}")
        if (actual := sha256(folder / name)) != expected:
            told = f"SHA-256 is {actual[:12]}…, {RECORD} says {str(expected)[:12]}…: damaged or changed"
            raise CheckpointError(f"{name} cannot be read as it was written: {told}")
    labels, outputs = json_text.parse((folder / LABELS).read_bytes()), record["output"]["shape"][1]
    if not isinstance(labels, list) or not all(isinstance(name, str) for name in labels):
        raise CheckpointError(f"{LABELS} is no list of names")
    if len(labels) != (0 if outputs == "features" else outputs):
        raise CheckpointError(f"{LABELS} has {len(labels)} names for {outputs} outputs")
    return Exported(
        folder=folder,
        format=format,
        preprocess=Preprocess.from_dict(read_json(folder / PREPROCESSOR)),
        labels=tuple(labels),
        activation=check_activation(record.get("activation", "softmax")),
        shown=read_shown(folder, record.get("shown")),
        sets=sets_from_json(record["sets"]) if record.get("sets") else None,
        precision=str(record.get("precision", "float32")),
        form="image" if record["input"]["name"] == IMAGE else "batch",
    )
