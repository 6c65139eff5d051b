"""What an ablation is told: its name, sources, the base of its variants, length and seeds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from vitascope.errors import ConfigError
from vitascope.fields import Count
from vitascope.studies.ablation.table import ABLATIONS
from vitascope.studies.ablation.variant import FEW, Base, Kind, Variant
from vitascope.studies.lineup import Contender
from vitascope.studies.settings import Cell, Study
from vitascope.wording import meant

_MODEL, _FIELDS = "ViT-Ti/4", {"width": 64, "depth": 4, "heads": 4, "hidden": 128}


@dataclass(frozen=True, kw_only=True)
class Ablation(Study):
    """Variants of one model on the same images, for the same steps, with the same seeds."""

    FIRST: ClassVar[tuple[str, ...]] = (
        "out", "model", "image_size", "steps", "seeds", "size", "batch", "lr", "shots",
    )  # fmt: skip
    kind: ClassVar[str] = "ablation"
    axis: ClassVar[str] = "steps"

    name: str
    """What is varied: positions (Table 8), head (Figure 9), shape (Figure 8), optimiser (Table 7) or self-supervision
    (Section 4.6)."""
    model: str = _MODEL
    """What variants are changes of: a ViT of the catalogue. The optimiser's are two small ResNets instead."""
    model_fields: dict[str, Any] = field(default_factory=_FIELDS.copy)
    """Fields of its config; the default's are those of the default model alone."""
    image_size: int = 16
    """Side in pixels at pre-training."""
    steps: Count = 2_000
    """Of every pre-training."""
    seeds: Count = 3
    """Runs of each variant; with one, no difference can be told from chance."""
    size: int | None = None
    """Images pre-trained on; none: all of the source."""

    def __post_init__(self) -> None:
        if self.name not in ABLATIONS:
            raise ConfigError(f"no ablation {self.name!r}; {meant(self.name, ABLATIONS)}")
        if self.model != _MODEL and self.model_fields == _FIELDS:
            object.__setattr__(self, "model_fields", {})
        if self.ablation.own_models and (self.model, self.model_fields) != (_MODEL, _FIELDS):
            raise ConfigError(f"the models of {self.name} are its own; leave out --model and --model-fields")
        super().__post_init__()
        if self.further_targets and any(variant.of_target for variant in self.variants):
            raise ConfigError(
                f"{self.name} also begins with the target's own images, of one; leave out further_targets"
            )
        if any("lr" in contender.learning for contender in self.contenders):
            told = {"rates": list(self.rates), "own_rates": [n for n, own in self.own_rates.items() if "lr" in own]}
            if wrong := [f"{name} is {values}" for name, values in told.items() if values]:
                raise ConfigError(f"{' and '.join(wrong)}, but the variants of {self.name} have rates already")

    @property
    def ablation(self) -> Kind:
        """What the name stands for."""
        return ABLATIONS[self.name]

    @property
    def measure(self) -> str:
        """What is judged."""
        return f"{min(self.shots)}-shot" if self.ablation.measure == FEW else self.ablation.measure

    @property
    def variants(self) -> list[Variant]:
        """The rows of its table."""
        return self.ablation.variants(
            Base(model=self.model, fields=self.model_fields, lr=self.lr, weight_decay=self.weight_decay)
        )

    @property
    def contenders(self) -> tuple[Contender, ...]:
        """The models compared."""
        return tuple(variant.contender for variant in self.variants)

    @property
    def sources(self) -> tuple[str, ...]:
        """All that models are pre-trained on."""
        own = any(variant.of_target for variant in self.variants)
        return tuple(dict.fromkeys((self.source, self.target))) if own else (self.source,)

    def grid(self, images: int, *further: int) -> list[Cell]:
        """All seeds 0 first."""
        size = images if self.size is None else self.size
        if not 2 <= size <= images:
            raise ConfigError(f"size is {size}, but {self.source} has {images} images to train on; give another --size")
        return [
            Cell(
                contender=variant.contender,
                size=further[-1] if variant.of_target and further else size,
                steps=self.steps,
                seed=seed,
                source=self.sources.index(self.target) if variant.of_target else 0,
            )
            for seed in range(self.seeds)
            for variant in self.variants
        ]
