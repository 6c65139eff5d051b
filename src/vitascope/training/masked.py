"""Learning from images without labels: to say what their hidden patches hold (Section 4.6, B.1.2; arXiv 2111.06377)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vitascope.errors import DivergedError
from vitascope.evaluation.metrics import Processes, Summary
from vitascope.layers.config import ViTConfig
from vitascope.models.config import ModelConfig
from vitascope.models.masked_config import CELLS, LEVELS, MaskedConfig
from vitascope.models.memory import Memory, masked_memory
from vitascope.streams import Stream, generator
from vitascope.training.masked_targets import colours, corrupted, normalised, parted, patches_at, reduced
from vitascope.training.objective import Objective, Tensors
from vitascope.training.parallel import World


@dataclass
class MaskedTally:
    """Sums over evaluated images."""

    tells_classes: bool
    """Whether there is a right colour."""
    sums: np.ndarray = field(default_factory=lambda: np.zeros(3))
    """Images, losses, shares of colours that are right; float64."""

    def add(self, figures: Tensor, labels: Tensor) -> None:
        """Counts a batch of (loss, share right) (B, 2). Raises `DivergedError` for a loss that is not finite."""
        values = figures.double().cpu().numpy()
        if not np.isfinite(values).all():
            raise DivergedError("the model's outputs are not finite; try a smaller learning rate, or float32")
        self.sums += [len(values), *values.sum(axis=0)]

    @property
    def images(self) -> int:
        """Images counted."""
        return round(self.sums[0])

    @property
    def score(self) -> float:
        """What tells the better of two models: the loss, less being better."""
        return -float(self.sums[1]) / max(self.images, 1)

    def over(self, processes: Processes) -> None:
        """Takes the sums of all processes together."""
        self.sums = processes.sum(self.sums)

    def summary(self) -> Summary:
        """Images, mean loss and, where colours are told apart, the share of them that is right."""
        accuracy = {"colours": float(self.sums[2]) / max(self.images, 1)} if self.tells_classes else {}
        return {"images": self.images, "loss": -self.score, **accuracy}

    def judged(self, classes: Sequence[str]) -> dict[str, Any]:
        """The same: what is hidden has no classes."""
        return dict(self.summary())


@dataclass(frozen=True)
class MaskedImages(Objective):
    """To say of the hidden patches of each image what they hold; labels play no part.

    What is hidden in a step is drawn for the images of all processes at once, so that their number changes nothing.
    """

    masked: MaskedConfig
    """What is hidden, and what is to be said of it."""
    config: ViTConfig
    """Of the model."""

    def prepare(self, images: Tensor, labels: Tensor, step: int, world: World) -> tuple[Tensors, Tensors]:
        share = slice(world.rank * len(images), (world.rank + 1) * len(images))
        rng = generator(Stream.MASK, self.settings.seed, step)
        hidden, shown = (
            torch.from_numpy(places[share]).to(images.device)
            for places in self._drawn(len(images) * world.size, self._patches(images), rng)
        )
        return self._asked(images, hidden, shown)

    def loss(self, output: Tensor, answers: Tensors) -> Tensor:
        return self._losses(output, answers[0]).mean()

    def tally(self) -> MaskedTally:
        return MaskedTally(self.masked.tells_classes)

    def judging(self, model: nn.Module, world: World) -> Callable[[Tensor], Tensor]:
        done = 0

        def figures(images: Tensor) -> Tensor:
            """(loss, share of colours that are right), (B, 2); what is hidden depends on an image's place alone."""
            nonlocal done
            places = [world.rank + world.size * (done + number) for number in range(len(images))]
            done += len(images)
            seed, patches = self.settings.seed, self._patches(images)
            drawn = [self._drawn(1, patches, generator(Stream.JUDGED_MASK, seed, place)) for place in places]
            hidden, shown = (torch.from_numpy(np.concatenate(part)) for part in zip(*drawn, strict=True))
            asked, (answer,) = self._asked(images, hidden.to(images.device), shown.to(images.device))
            output = model(*asked)
            right = torch.zeros(len(images), device=images.device)
            if self.masked.tells_classes:
                right = (self._by_class(output).argmax(dim=-1) == answer).float().mean(dim=(1, 2))
            return torch.stack([self._losses(output, answer), right], dim=1)

        return figures

    def memory(self, config: ModelConfig, images: int, **options: Any) -> Memory:
        return masked_memory(cast(ViTConfig, config), self.masked, images, **options)

    def _patches(self, images: Tensor) -> int:
        return (images.shape[2] // self.config.patch) * (images.shape[3] // self.config.patch)

    def _drawn(self, images: int, patches: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """What a masked model is told: places of hidden patches, and what is shown."""
        hidden, seen = parted(images, patches, self.masked.hidden(patches), rng)
        return hidden, seen if self.masked.autoencoder else corrupted(hidden, patches, rng)

    def _asked(self, images: Tensor, hidden: Tensor, shown: Tensor) -> tuple[Tensors, Tensors]:
        """What a masked model is given of uint8 images, and what it ought to say, (B, m, ·)."""
        seen, c, target = self.preprocess.normalise(images), self.config, self.masked.target
        if self.masked.tells_classes:
            patches = patches_at(images, hidden, c.patch)
            answer = colours(patches, c.channels) if target == "colour" else reduced(patches, c.channels)
        else:
            answer = patches_at(seen, hidden, c.patch)
            answer = normalised(answer) if target == "normalised" else answer
        return (seen, hidden, shown), (answer,)

    def _losses(self, output: Tensor, answer: Tensor) -> Tensor:
        """Of each image, the mean over its hidden patches, float32 (B,)."""
        if not self.masked.tells_classes:
            return (output.float() - answer).square().mean(dim=(1, 2))
        logits = self._by_class(output).float().flatten(0, 2)
        return F.cross_entropy(logits, answer.flatten(), reduction="none").reshape(len(answer), -1).mean(dim=1)

    def _by_class(self, output: Tensor) -> Tensor:
        """(B, m, cells² · K) → (B, m, cells², K)."""
        cells = CELLS**2 if self.masked.target == "colours" else 1
        return output.reshape(*output.shape[:2], cells, LEVELS**self.config.channels)
