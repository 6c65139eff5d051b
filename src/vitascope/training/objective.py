"""What a step makes smaller and how it is judged: the labels' cross-entropy here, masked patches in `masked`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, Unpack

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vitascope.checkpoints.checkpoint import Activation
from vitascope.data.mix import mix_batch
from vitascope.data.preprocess import Preprocess
from vitascope.data.source import Source
from vitascope.evaluation.answers import Answering, numbered
from vitascope.evaluation.evaluate import Counting, count
from vitascope.evaluation.label_metrics import LabelTally
from vitascope.evaluation.metrics import Processes, Summary, Tally
from vitascope.models.config import ModelConfig
from vitascope.models.memory import Memory, training_memory
from vitascope.streams import Stream, generator
from vitascope.training.parallel import World
from vitascope.training.train_settings import TrainSettings

Tensors = tuple[Tensor, ...]
"""Each begins with the images of a batch, so that all can be parted alike."""


class Counts(Protocol):
    """What is counted in an evaluation, so that batches and processes add up."""

    @property
    def images(self) -> int:
        """Images counted."""

    @property
    def score(self) -> float:
        """What tells the better of two models; higher is better."""

    def add(self, output: Tensor, labels: Tensor, /) -> None:
        """Counts a batch of what `Objective.judging` made of it."""

    def over(self, processes: Processes, /) -> None:
        """Takes the counts of all processes together."""

    def summary(self) -> Summary:
        """The figures of the whole set, JSON-able."""

    def judged(self, classes: Sequence[str], /) -> dict[str, Any]:
        """The same with what it takes to judge them, JSON-able."""


@dataclass(frozen=True)
class Objective(ABC):
    """One way to learn from images; it holds settings, and nothing that changes."""

    settings: TrainSettings
    """Of the run."""
    preprocess: Preprocess
    """How the model sees images."""
    classes: int
    """K, of the data; 0 where nothing is labelled."""
    activation: ClassVar[Activation] = "softmax"
    """How the logits of what is learned become probabilities."""

    @abstractmethod
    def prepare(self, images: Tensor, labels: Tensor, step: int, world: World) -> tuple[Tensors, Tensors]:
        """What the model is given of this process's uint8 images (B, C, H, W) in a step, and what that is held against.

        Whatever is drawn depends on the seed, the step and the process alone.
        """

    @abstractmethod
    def loss(self, output: Tensor, answers: Tensors) -> Tensor:
        """The mean loss over the images that gave `output`, a float32 scalar."""

    @abstractmethod
    def tally(self) -> Counts:
        """Counts of nothing yet."""

    @abstractmethod
    def judging(self, model: nn.Module, world: World) -> Callable[[Tensor], Tensor]:
        """A function of uint8 images (B, C, H, W), taken in the order of this process's share, to what is counted."""

    def memory(self, config: ModelConfig, images: int, **options: Any) -> Memory:
        """What a step on so many images at once takes; options of `training_memory`."""
        return training_memory(config, images, **options)


class Classification(Objective):
    """To tell the classes of labelled images, of which MixUp and CutMix make blends."""

    def prepare(self, images: Tensor, labels: Tensor, step: int, world: World) -> tuple[Tensors, Tensors]:
        images = self.preprocess.normalise(images)
        draw = generator(Stream.MIX, self.settings.seed, step, world.rank)
        images, labels = mix_batch(images, labels, self.classes, self.settings.augment, draw)
        return (images,), (labels,)

    def loss(self, output: Tensor, answers: Tensors) -> Tensor:
        return cross_entropy(output, answers[0], self.settings.loss, self.settings.label_smoothing)

    def tally(self) -> Counts:
        return Tally(self.classes)

    def judging(self, model: nn.Module, world: World) -> Callable[[Tensor], Tensor]:
        return lambda images: model(self.preprocess.normalise(images))


class Labelling(Classification):
    """To tell which labels each image has, of which there may be several, each by itself."""

    activation = "sigmoid"

    def tally(self) -> LabelTally:
        return LabelTally(self.classes)


def classification(source: Source) -> type[Classification | Labelling]:
    """The objective for labelled images."""
    return Labelling if source.several else Classification


def evaluate(objective: Objective, model: nn.Module, source: Source, world: World, **how: Unpack[Counting]) -> Counts:
    """Counts this process's share of `source`; `how` besides what the objective and the process say.

    In float32, whatever the run trains in: what is said of a model is what `evaluate` says of it.
    Where images are labelled, what comes back is `Answering`: it keeps what was said of each.
    """
    place: Counting = {"device": world.device, "rank": world.rank, "processes": world.size, **how}
    counts, compute = objective.tally(), objective.judging(model, world)
    if isinstance(counts, Tally | LabelTally):
        kept = Answering(counts, source.labels)
        return count(kept, model, compute, numbered(source), objective.preprocess, **place)
    return count(counts, model, compute, source, objective.preprocess, **place)


def soft_targets(labels: Tensor, classes: int, smoothing: float) -> Tensor:
    """Labels int64 (B,), or float targets (B, K) of mixed images, → targets (B, K) with `smoothing` spread evenly."""
    targets = F.one_hot(labels, classes).float() if labels.ndim == 1 else labels.float()
    return targets * (1 - smoothing) + smoothing / classes if smoothing else targets


def cross_entropy(logits: Tensor, labels: Tensor, loss: str, smoothing: float = 0.0) -> Tensor:
    """Mean loss over the batch, a float32 scalar.

    "softmax" is cross-entropy over the classes. "sigmoid" sums binary cross-entropy over the classes, as
    `big_vision` does when pre-training on images with several labels.
    """
    logits = logits.float()
    if loss == "softmax":
        if labels.ndim == 1:
            return F.cross_entropy(logits, labels, label_smoothing=smoothing)
        return torch.sum(-soft_targets(labels, logits.shape[1], smoothing) * logits.log_softmax(dim=1), dim=1).mean()
    targets = soft_targets(labels, logits.shape[1], smoothing)
    return F.binary_cross_entropy_with_logits(logits, targets, reduction="none").sum(dim=1).mean()
