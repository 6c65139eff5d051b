"""What a checkpoint is in memory: weights, config, labels and preprocessing, which always travel together."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast, get_args

from torch import Tensor

from vitascope.checkpoints.checkpoint_html import checkpoint_html
from vitascope.checkpoints.shown import Shown
from vitascope.data.preprocess import Preprocess
from vitascope.errors import CheckpointError, ConfigError
from vitascope.evaluation.sets import PredictionSets
from vitascope.models.bit import BiT
from vitascope.models.config import ModelConfig
from vitascope.models.vit import ViT
from vitascope.weights import model_fingerprint

Activation = Literal["softmax", "sigmoid", "none"]
Prediction = tuple[str, int, float]
"""(label, class index, probability in [0, 1])."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Checkpoint:
    """A model with everything needed to use it."""

    model: ViT | BiT
    """In evaluation mode, float32, on the CPU, as `load` returns it."""
    preprocess: Preprocess
    """From image to the model's input."""
    labels: tuple[str, ...]
    """Class names in the order of the logits; "0", "1", … where nobody named them."""
    activation: Activation = "softmax"
    """How logits become probabilities: "softmax" for one class of several, "sigmoid" for each label by itself,
    "none" for outputs that are numbers and no classes (regression)."""
    card: dict[str, Any] = field(default_factory=dict)
    """Data, recipe, results and origin, as JSON values; the model card is made from it."""
    shown: Shown | None = None
    """Which images it was trained and judged on; None where nobody knows."""
    sets: PredictionSets | None = None
    """Which labels an image may have, and when it is none of these; None where it was not calibrated."""
    format: str = "vitascope"
    """The format it was read from."""

    def __post_init__(self) -> None:
        if len(self.labels) != self.config.classes:
            raise CheckpointError(
                f"{len(self.labels)} labels for a model of {self.config.classes} classes; give one for each"
            )
        check_activation(self.activation)
        if self.sets is not None and len(self.sets.least) not in (1, self.config.classes):
            raise CheckpointError(f"prediction sets of {len(self.sets.least)} classes for {self.config.classes}")
        if self.preprocess.channels != self.config.channels:
            raise CheckpointError(
                f"preprocessing makes {self.preprocess.channels} channels, the model takes {self.config.channels}"
            )

    @property
    def config(self) -> ModelConfig:
        """The model's config."""
        return self.model.config

    def _repr_html_(self) -> str:
        return checkpoint_html(self.config, self.preprocess, self.labels, self.activation, self.card)

    def fingerprint(self) -> str:
        """SHA-256 of all that predictions depend on, every weight included."""
        parts = model_fingerprint(self.model), self.preprocess, self.labels, self.activation, self.sets
        return hashlib.sha256(repr(parts).encode(errors="surrogatepass")).hexdigest()


@contextmanager
def read_from(path: Path) -> Iterator[None]:
    """Whatever is wrong within is a `CheckpointError` that names `path`."""
    try:
        yield
    except (ConfigError, CheckpointError) as error:
        raise CheckpointError(str(error) if str(path) in str(error) else f"{path}: {error}") from error


def probabilities(logits: Tensor, activation: Activation) -> Tensor:
    """Logits (n, K) → probabilities (n, K) in [0, 1]; raises `CheckpointError` where there are none (regression)."""
    if activation == "none":
        raise CheckpointError("this is a regression model: its outputs are numbers, not classes; fine-tune it first")
    return logits.softmax(dim=1) if activation == "softmax" else logits.sigmoid()


def ranked(probabilities: Tensor, labels: Sequence[str], top: int = 5) -> list[list[Prediction]]:
    """The `top` labels of each row (n, K), best first; raises `ConfigError` for none."""
    if top < 1:
        raise ConfigError(f"top is {top}, expected at least 1")
    best = probabilities.topk(min(top, len(labels)), dim=1)
    return [
        [(labels[i], i, p) for i, p in zip(indices, values, strict=True)]
        for indices, values in zip(best.indices.tolist(), best.values.tolist(), strict=True)
    ]


def check_activation(value: object) -> Activation:
    """The value, if it is one of `Activation`; raises `CheckpointError`."""
    if value not in get_args(Activation):
        raise CheckpointError(f"activation is {str(value)[:40]!r}, expected one of {', '.join(get_args(Activation))}")
    return cast(Activation, value)


def are_named(labels: Sequence[str]) -> bool:
    """Whether somebody named the classes; "0", "1", … and Hugging Face's "LABEL_0", … stand for no names."""
    return not all(label in (str(index), f"LABEL_{index}") for index, label in enumerate(labels))


def numbered_labels(classes: int) -> tuple[str, ...]:
    """Labels for classes that nobody named: "0", "1", …"""
    return tuple(str(index) for index in range(classes))
