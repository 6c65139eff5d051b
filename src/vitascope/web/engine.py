"""What a server does with its checkpoint, or its export: bytes → pixels → outputs, and the insides of one image."""

from __future__ import annotations

import copy
import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from vitascope.checkpoints.adapt import replace_head
from vitascope.checkpoints.answer import Answer, Sets, answers
from vitascope.checkpoints.checkpoint import Checkpoint, probabilities
from vitascope.checkpoints.kept_examples import KeptExample, captioned
from vitascope.data.images import UInt8
from vitascope.device import resolve_device
from vitascope.errors import CheckpointError, ConfigError
from vitascope.inference.engines.auto import make_engine
from vitascope.inference.engines.table import CPU_ONLY
from vitascope.inference.exported import Exported
from vitascope.teaching.known import Known
from vitascope.views.look import PREDICTIONS, Look, Scope, looks, scope
from vitascope.views.pixels import as_rgb
from vitascope.web.examples import Example, examples
from vitascope.web.plain import PlainLook, why_closed
from vitascope.web.teacher import Teacher
from vitascope.web.tensors import Array

Float32 = npt.NDArray[np.float32]

PLATFORMS = {"onnx": "onnxruntime_onnx", "openvino": "openvino_ir"}
"""By format of an export."""


@dataclasses.dataclass(frozen=True)
class AtLeast:
    """Sets of the classes that are at least so probable."""

    threshold: float

    def members(self, likely: Float32) -> npt.NDArray[np.bool_]:
        """See `Sets`."""
        return np.asarray(likely >= np.float32(self.threshold))


class Engine:
    """A checkpoint on its device, or an exported folder.

    Raises ConfigError for a device or an engine that is not there, CheckpointError for a regression model.

    `forward`, `features` and `look` run the model and must not do so at the same time; the others may. With `teach`
    there is a `teacher`, which begins with what was `started`. `kept` are images of the run, to begin with.
    """

    def __init__(
        self,
        checkpoint: Checkpoint | Exported,
        *,
        device: str | None = None,
        max_pixels: int,
        engine: str | None = None,
        batch: int = 32,
        teach: bool = False,
        started: Known | None = None,
        kept: Sequence[KeptExample] = (),
    ) -> None:
        self.labels = checkpoint.labels
        self.channels = checkpoint.preprocess.channels
        self.size = checkpoint.preprocess.size
        self.fingerprint = checkpoint.fingerprint()
        self.closed = why_closed(checkpoint)
        """Why `scope` and all of a look but the answer are not there; "" where they are."""
        self.platform = PLATFORMS[checkpoint.format] if isinstance(checkpoint, Exported) else "pytorch_vitascope"
        """What computes, as the Open Inference Protocol calls it."""
        self.takes_pixels = not (isinstance(checkpoint, Exported) and checkpoint.form == "image")
        """Whether `forward` takes any numbers: a graph of photographs has 8 bits of each, as files have."""
        self._max_pixels, self._kept = max_pixels, kept
        engine = engine or ("auto" if isinstance(checkpoint, Exported) else "eager")
        self.checkpoint = checkpoint
        # Looks go to the device too; the caller's model stays where it is.
        if isinstance(checkpoint, Checkpoint) and (place := resolve_device(device)).type != "cpu":
            self.checkpoint = dataclasses.replace(checkpoint, model=copy.deepcopy(checkpoint.model).to(place))
        given = checkpoint if engine in CPU_ONLY else self.checkpoint
        self._forward = make_engine(engine, given, device, "float32", batch)
        self.first = self.results(self.forward(np.zeros((1, self.channels, *self.size), np.float32)))
        """Of an empty image: the first pass is slow everywhere, and what has no probabilities is refused here."""
        self.teacher: Teacher | None = None
        if teach and isinstance(given, Exported):
            raise ConfigError(f"{given.folder} is an export, which cannot be taught; serve the checkpoint with --teach")
        if teach and isinstance(checkpoint, Checkpoint) and isinstance(given, Checkpoint):
            # Of features as fine-tuning would see them: a pre-training head's hidden layer is dropped.
            headless = dataclasses.replace(given, model=replace_head(given.model, 0), labels=(), sets=None)
            self._features = make_engine(engine, headless, device, "float32", batch)
            self.teacher = Teacher(checkpoint, headless, max_pixels, started)

    @functools.cached_property
    def scope(self) -> Scope:
        """Everything the page shows of the model alone; raises ConfigError for one that is `closed`."""
        if isinstance(self.checkpoint, Exported):
            raise ConfigError(self.closed)
        return scope(self.checkpoint)

    @functools.cached_property
    def examples(self) -> dict[str, Example]:
        """Images to begin with, by id; read when first asked for, because that takes a second."""
        return {example.id: example for example in examples(self.size, self.labels, self._kept)}

    @property
    def examples_note(self) -> str:
        """What they are, where they are the run's own."""
        return captioned(self._kept)

    def decode(self, content: bytes) -> UInt8:
        """Bytes of a file → uint8 (h, w, C) of the model's size, so that no large image waits; raises ImageError."""
        return self.checkpoint.preprocess.pixels(content, max_pixels=self._max_pixels)

    def prepare(self, content: bytes) -> Float32:
        """Bytes of a file → float32 (C, h, w), what the model takes; raises ImageError."""
        return self.checkpoint.preprocess(content, max_pixels=self._max_pixels).numpy()

    def forward(self, images: Float32) -> Float32:
        """float32 (n, C, h, w) → logits (n, K), or the features of a model without a head."""
        return self._forward(torch.from_numpy(images)).numpy()

    def features(self, images: Float32) -> Float32:
        """float32 (n, C, h, w) → what a head in closed form sees (n, D'); raises CheckpointError where not finite."""
        rows = self._features(torch.from_numpy(images)).float().cpu().numpy()
        if not np.isfinite(rows).all():
            raise CheckpointError("the model's features are not finite (NaN or infinity); did its training diverge?")
        return rows

    def normalised(self, pixels: UInt8) -> Float32:
        """uint8 (h, w, C) of the model's size → float32 (C, h, w), what the model takes."""
        return self.checkpoint.preprocess.normalise(torch.from_numpy(pixels.transpose(2, 0, 1).copy())).numpy()

    def probabilities(self, logits: Float32) -> Float32:
        """float32 (n, K) → probabilities (n, K), by the checkpoint's activation."""
        return probabilities(torch.from_numpy(logits), self.checkpoint.activation).numpy()

    def results(self, outputs: Float32, threshold: float | None = None) -> dict[str, Array]:
        """Of `forward` (n, …) → all that may be asked for, by name: `label` is the most probable one's, `set` says of
        each class whether it is in the prediction set, `known` whether any is; see `sets`.
        """
        if not self.labels:
            return {"features": outputs}
        best = np.array([self.labels[i] for i in outputs.argmax(axis=1)], dtype=object)
        likely = self.probabilities(outputs)
        told: dict[str, Array] = {"logits": outputs, "probabilities": likely, "label": best}
        if (sets := self.sets(threshold)) is None:
            return told
        members = sets.members(likely)
        return {**told, "set": members, "known": np.asarray(members.any(axis=1))}

    def sets(self, threshold: float | None) -> Sets | None:
        """What says which classes an image may have: those of at least `threshold`, or without one the checkpoint's
        prediction sets; None where it has none."""
        return self.checkpoint.sets if threshold is None else AtLeast(threshold)

    def answers(self, logits: Float32, top: int, threshold: float | None = None) -> list[Answer]:
        """float32 (n, K) → the `top` labels of each, best first, and its set; see `sets`."""
        return answers(torch.from_numpy(self.probabilities(logits)), self.labels, self.sets(threshold), top)

    def described(self) -> dict[str, Any]:
        """What answers are made of, as JSON: names in the order of the probabilities, how these come to be, sets."""
        sets = self.checkpoint.sets
        told = {"labels": list(self.labels), "activation": self.checkpoint.activation}
        return {**told, "sets": None if sets is None else sets.as_json()}

    def look(self, pixels: UInt8) -> Look | PlainLook:
        """Everything the page shows of one image of `decode`; of a `closed` model the answer alone."""
        if isinstance(self.checkpoint, Checkpoint) and not self.closed:
            return next(looks(self.checkpoint, [pixels]))
        image, sets = as_rgb(pixels), self.checkpoint.sets
        if not self.labels:
            return PlainLook(image=image, predictions=[])
        (answer,) = self.answers(self.forward(self.normalised(pixels)[None]), PREDICTIONS)
        coverage = None if sets is None else sets.coverage
        return PlainLook(image=image, predictions=answer.predictions, members=answer.members, coverage=coverage)
