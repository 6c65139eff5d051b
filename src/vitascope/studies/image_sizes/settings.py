"""Which models at which sizes; free of torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from vitascope.errors import ConfigError
from vitascope.fields import Count, FolderName, Side, SizeText, check_fields
from vitascope.models.catalogue import model_config
from vitascope.studies.lineup import Contender, lineup
from vitascope.training.train_settings import Precision


@dataclass(frozen=True, kw_only=True)
class ImageSizes:
    """Images a second and the largest batch of each model at each size."""

    FIRST: ClassVar[tuple[str, ...]] = ("out", "models", "sizes", "memory", "device", "overwrite")

    out: FolderName
    """New folder for the numbers, the figure and their reading."""
    models: str = "ViT-Ti/16,ViT-S/16,R26+ViT-S/32,BiT-R14x1,BiT-R50x1"
    """A line-up (small, paper) or names of the catalogue with commas between."""
    sizes: tuple[Side, ...] = (64, 128, 224, 384)
    """Sides of the image in pixels, ascending, multiples of every patch."""
    memory: SizeText = "16G"
    """Of the machine that a training step has to fit, by formula."""
    batch: Count = 8
    """Images at a time in what is measured."""
    rounds: Count = 3
    """How often each is measured, in turns with all others."""
    threads: Count = 1
    """Of the processor."""
    precision: Precision = "float32"
    """Format of the products."""
    device: str | None = None
    """cpu, cuda, …; none: the GPU if there is one."""
    overwrite: bool = False
    """Replace an earlier study in --out."""

    def __post_init__(self) -> None:
        check_fields(self)
        if len(self.sizes) < 2 or list(self.sizes) != sorted(set(self.sizes)):
            raise ConfigError(f"sizes is {list(self.sizes)}, expected two or more, ascending")
        for contender in self.contenders:
            for size in self.sizes:
                model_config(contender.model, image_size=size)

    @property
    def contenders(self) -> tuple[Contender, ...]:
        """The models."""
        return lineup(self.models)
