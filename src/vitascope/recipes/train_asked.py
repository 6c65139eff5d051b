"""What may be said to `train`, and to the demo that shows it; free of torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from vitascope.errors import ConfigError
from vitascope.fields import CheckpointName, Count, FolderName, Probability, Range, TimeText, check_fields, refuse_idle
from vitascope.recipes.asked import Placed
from vitascope.training.train_settings import FromZero, seconds


@dataclass(frozen=True, kw_only=True)
class Train(Placed):
    """From photographs to a classifier: what may be said of it. Whatever is left open is chosen, and told with why."""

    FIRST: ClassVar[tuple[str, ...]] = (
        "time_budget",
        "start",
        "image_size",
        "way",
        "holdout",
        "group",
        "threads",
        "resume",
        "overwrite",
    )

    data: str
    """Photographs in one folder per class, or other data (`vitascope data` lists the kinds)."""
    out: FolderName
    """New folder for the model, its report and its figures."""
    time_budget: TimeText = "10m"
    """Wall time of all of it, such as 90s, 10m, 2h."""
    start: CheckpointName = "auto"
    """What to begin from: a checkpoint or a name; auto: the best published one that suits and can be had, without a
    network the package's own."""
    image_size: int | None = None
    """Side in pixels of the images the model sees; none: whichever leave-one-out says is best."""
    way: Literal["both", "teach", "finetune"] = "both"
    """Teach a head in closed form, fine-tune from it, or keep whichever of both is better on images held out."""
    holdout: Probability = 0.2
    """Share of the photographs held out to choose and to judge on, where the data has no validation split."""
    group: str | None = None
    """What stays on one side besides copies: a column of the data's table, or a regular expression on paths."""
    lr: FromZero | None = None
    """Learning rate of fine-tuning; none: by its recipe."""
    batch: Count | None = None
    """Images per step of fine-tuning; none: by its recipe."""
    flip: bool | None = None
    """Mirror images in fine-tuning; none: if the taught head knows mirrored images as well as others."""
    threads: Count | None = None
    """Threads that compute; none: whichever number is faster here and now."""
    keep_examples: Annotated[int, Range(0, 100)] = 6
    """Photographs it was judged on, kept small in --out (not in its model/) with their labels, for the page of `serve`;
    0 for none."""
    seed: Annotated[int, Range(0)] = 0
    """Fixes the hold-out, order and augmentation."""
    resume: bool = False
    """Go on with what was begun in --out and interrupted."""
    overwrite: bool = False
    """Replace what was trained into --out before."""

    def __post_init__(self) -> None:
        check_fields(self)
        seconds(self.time_budget)
        if self.holdout == 0:
            raise ConfigError("holdout is 0, expected a share above 0: what is kept is chosen on images held out")
        if self.way == "teach":
            refuse_idle(self, "nothing is fine-tuned", "lr", "batch", "flip")
        if self.resume and self.overwrite:
            raise ConfigError("--resume and --overwrite contradict each other: give one")


@dataclass(frozen=True, kw_only=True)
class Demo:
    """Where, from which seed, and for how long."""

    FIRST: ClassVar[tuple[str, ...]] = ("out", "seed", "time_budget")

    out: FolderName = "runs/demo"
    """The demo's folder; an earlier demo in it is replaced."""
    seed: Annotated[int, Range(0)] = 0
    """Fixes what is held out, initial values, order and augmentation."""
    time_budget: TimeText = "110s"
    """Of `train`, which is more than half of it all."""
    scratch_steps: Count = 60
    """Steps of 50 images from random values, for comparison."""

    def __post_init__(self) -> None:
        check_fields(self)
        seconds(self.time_budget)
