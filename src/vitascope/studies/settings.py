"""What a study that trains is told: sources, contenders, grid and the hyper-parameters that all runs share."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import asdict, dataclass, field, is_dataclass
from typing import Annotated, Any, ClassVar

from vitascope.errors import ConfigError
from vitascope.fields import Count, FolderName, Range, Several
from vitascope.models.catalogue import model_config
from vitascope.studies.learning import Learning
from vitascope.studies.lineup import Contender, lineup


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One pre-training of a grid, with all that is measured on its result."""

    contender: Contender
    """The model."""
    size: int
    """Images it is pre-trained on."""
    steps: int
    """Optimiser steps of pre-training."""
    seed: int
    """Of the subset, the initial values and the order."""
    source: int = 0
    """Which of the study's sources they are from."""

    @property
    def key(self) -> str:
        """Names its folder and file: "BiT-R50x1-2500-400-s0"."""
        end = f"-d{self.source}" if self.source else ""
        return f"{self.contender.file_name}-{self.size}-{self.steps}-s{self.seed}{end}"


@dataclass(frozen=True, kw_only=True)
class Study(Learning):
    """What all runs of a study share; the same hyper-parameters for every model and size, as in Section 4.3."""

    kind: ClassVar[str]
    axis: ClassVar[str]
    """What of a cell its results are shown against."""

    source: str
    """What models are pre-trained on; its training images, of which some are kept aside for early stopping."""
    target: str
    """What they are fine-tuned and judged on; needs a test split."""
    further_targets: tuple[str, ...] = ()
    """The same besides it: accuracies are then means over all targets, as in Figure 5; several as ["one", "two"]."""
    out: FolderName
    """The study's folder: one run a cell, and the tables. Started again, it goes on."""
    validation_images: Count = 1000
    """Images kept out of every subset, on which the best step is chosen (early stopping)."""
    shots: Annotated[tuple[Count, ...], Several()] = (5, 50)
    """Images per class for linear few-shot accuracy; the paper's Figure 4 has 5."""
    draws: Count = 3
    """Draws of the shots."""
    l2: Annotated[tuple[Annotated[float, Range(1e-12)], ...], Several()] = (1024.0,)
    """λ of the ridge regression on shots; the first is what statements are judged by."""
    target_images: Count | None = None
    """So many of each target's training images, drawn once; none: all."""
    test_images: Count | None = None
    """So many of each target's test images, drawn once; none: all."""
    keep_copies: bool = False
    """Pre-train on images that are also among a target's test images, exactly or nearly, instead of leaving them out
    (Section 4.1). A source that is the target itself keeps them: it is fine-tuned on as it is."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(set(self.targets)) < len(self.targets):
            raise ConfigError(f"targets are {', '.join(self.targets)}, expected each once")
        known = {contender.name for contender in self.contenders} | self.grid_only().get("own_models", {}).keys()
        if strangers := [name for name in self.own_rates if name not in known]:
            raise ConfigError(f"own_rates has {', '.join(strangers)}, expected names of {', '.join(sorted(known))}")
        sizes = {self.image_size, self.image_size if self.finetune_size is None else self.finetune_size}
        for contender in self.contenders:
            for size in sizes:  # a model that cannot see them is not found out after hours of pre-training
                model_config(contender.model, **contender.fields, image_size=size)

    @property
    @abstractmethod
    def contenders(self) -> tuple[Contender, ...]:
        """The models compared."""

    @property
    def sources(self) -> tuple[str, ...]:
        """All that models are pre-trained on."""
        return (self.source,)

    @property
    def targets(self) -> tuple[str, ...]:
        """All that they are fine-tuned and judged on; rates of fine-tuning are tried on the first."""
        return (self.target, *self.further_targets)

    @abstractmethod
    def grid(self, images: int, *further: int) -> list[Cell]:
        """All cells where the sources have so many images to train on, most wanted first; raises `ConfigError`."""

    def kept(self) -> dict[str, Any]:
        """All that must stay as it was when a study goes on; its grid may grow or shrink."""
        return {"study": self.kind, **{name: v for name, v in self._told().items() if name not in _GRID}}

    def grid_only(self) -> dict[str, Any]:
        """What may change when it goes on: who is compared, and where."""
        return {name: v for name, v in self._told().items() if name in _GRID}

    def defined(self) -> dict[str, Any]:
        """What each contender is, by name: it must stay so while another may join."""
        return {
            contender.name: {
                "model": contender.model,
                "fields": contender.fields,
                "learning": {name: _plain(value) for name, value in contender.learning.items()},
                "own_rates": self.own_rates.get(contender.name, {}),
            }
            for contender in self.contenders
        }

    def _told(self) -> dict[str, Any]:
        return {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self).items() if name != "out"}


_GRID = {"models", "own_models", "own_rates", "sizes", "seeds", "steps", "size"}


def _plain(value: Any) -> Any:
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value


@dataclass(frozen=True, kw_only=True)
class OfLineup(Study):
    """A study of models by name."""

    models: str = "small"
    """A line-up (small, paper) or names with commas between: of those, of `own_models`, or `vitascope models`."""
    own_models: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Models of one's own, by the name that they shall have: {ViT-96/4: {model: ViT-Ti/4, width: 96, heads: 3}}; a
    name of the catalogue and fields of its config (`models --fields`)."""

    @property
    def contenders(self) -> tuple[Contender, ...]:
        """The models compared."""
        return lineup(self.models, self.own_models)


@dataclass(frozen=True, kw_only=True)
class DataScaling(OfLineup):
    """Figures 3 and 4: accuracy against the number of images pre-trained on, at the same number of steps."""

    FIRST: ClassVar[tuple[str, ...]] = (
        "out",
        "models",
        "image_size",
        "sizes",
        "seeds",
        "steps",
        "batch",
        "lr",
        "shots",
    )
    kind: ClassVar[str] = "data-scaling"
    axis: ClassVar[str] = "size"

    sizes: Annotated[tuple[Annotated[int, Range(2)], ...], Several(0)] = ()
    """Numbers of images, nested random subsets; none: all of the source, a quarter, a sixteenth."""
    further: tuple[str, ...] = ()
    """Instead of sizes: further sources, larger each time, all used whole (as ImageNet, ImageNet-21k, JFT);
    several as ["one", "two"]."""
    seeds: Annotated[tuple[Count, ...], Several(again=True)] = (3,)
    """Seeds of each size, ascending, or one number for all."""
    steps: Count = 10_000
    """Of every pre-training; with `epochs` at most."""
    epochs: Annotated[float, Range(1e-6)] | None = None
    """Passes over each set, in place of as many steps for all."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sizes and self.further:
            raise ConfigError(f"sizes={list(self.sizes)} and further={list(self.further)}: give only one of them")

    @property
    def sources(self) -> tuple[str, ...]:
        """All that models are pre-trained on."""
        return (self.source, *self.further)

    def grid(self, images: int, *further: int) -> list[Cell]:
        """All seeds 0 first, then the next ones, so that what is done at any time covers all sizes."""
        quarters = sorted({max(images // 16, 2), max(images // 4, 2), images})
        sizes = [images, *further] if further else list(self.sizes) or quarters
        seeds = self.seeds * len(sizes) if len(self.seeds) == 1 else self.seeds
        if len(seeds) != len(sizes):
            raise ConfigError(f"seeds has {len(seeds)} numbers for {len(sizes)} sizes; give one, or one for each")
        if not further:
            by_size = dict(sorted(zip(sizes, seeds, strict=True)))
            sizes, seeds = list(by_size), tuple(by_size.values())
        if sizes != sorted(set(sizes)):
            raise ConfigError(f"the sources have {sizes} images to train on; give them in ascending order of size")
        if not further and sizes[-1] > images:
            raise ConfigError(
                f"sizes has {sizes[-1]}, but {self.source} has {images} images to train on besides "
                f"{self.validation_images} for validation; give smaller --sizes"
            )
        return [
            Cell(contender=contender, size=size, steps=self.length(size), seed=seed, source=place if further else 0)
            for seed in range(max(seeds))
            for place, (size, count) in enumerate(zip(sizes, seeds, strict=True))
            for contender in self.contenders
            if seed < count
        ]

    def length(self, size: int) -> int:
        """Steps of a pre-training on so many images."""
        return self.steps if self.epochs is None else min(math.ceil(self.epochs * size / self.batch), self.steps)


@dataclass(frozen=True, kw_only=True)
class Compute(OfLineup):
    """Figure 5: accuracy against the computation of pre-training, each budget with a schedule of its own."""

    FIRST: ClassVar[tuple[str, ...]] = ("out", "models", "image_size", "steps", "seeds", "size", "batch", "lr", "shots")
    kind: ClassVar[str] = "compute"
    axis: ClassVar[str] = "steps"

    steps: Annotated[tuple[Count, ...], Several()] = (2_500, 5_000, 10_000, 20_000)
    """Lengths of pre-training."""
    seeds: Count = 2
    """Runs of each model and length; with one, no difference can be told from chance."""
    size: int | None = None
    """Images pre-trained on; none: all of the source."""

    def grid(self, images: int, *further: int) -> list[Cell]:
        """All seeds 0 first, shorter runs before longer ones."""
        size = images if self.size is None else self.size
        if not 2 <= size <= images:
            raise ConfigError(f"size is {size}, but {self.source} has {images} images to train on; give another --size")
        return [
            Cell(contender=contender, size=size, steps=steps, seed=seed)
            for seed in range(self.seeds)
            for steps in sorted(self.steps)
            for contender in self.contenders
        ]


def passes(study: Study, size: int, steps: int) -> float:
    """How often an image is seen in pre-training, on average; below 1 some never are."""
    return steps * study.batch / size
