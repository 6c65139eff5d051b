"""What the report of a run is made of."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitascope.checkpoints.checkpoint import Checkpoint
from vitascope.checkpoints.run_files import environment
from vitascope.data.images import UInt8
from vitascope.evaluation.answers import Answers
from vitascope.inference.exported import Exported
from vitascope.models.catalogue import architecture_name
from vitascope.reports.page import Section
from vitascope.wording import count

TOLD = {
    "test": "images kept for the end (test)",
    "validation": "images held out from learning (validation)",
    "left out": "each image in turn, by a model that learned from all others",
    "train": "all that there is",
}
"""In words, what a set of images is."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Judged:
    """Images that a model was judged on, and what came of it."""

    split: str
    """In a word: test, validation, left out, …"""
    told: str
    """In words, one of `TOLD` or the like."""
    figures: Mapping[str, Any]
    """As `Tally.judged` has them."""
    answers: Answers
    """Of each image that was counted."""
    name_of: Callable[[int], str]
    """What messages call the image at a place of `answers`."""
    picture: Callable[[int], UInt8]
    """That image, uint8 (H, W, 3); raises `ImageError` where it cannot be had."""
    caution: str = ""
    """What makes the figures look better than they are; sentences, or empty."""
    unseen: bool = True
    """Whether other images like these may be expected to fare alike, since the model learned from none of them."""


@dataclass(frozen=True, kw_only=True)
class Suspect:
    """An image whose label is likelier wrong than right."""

    file: str
    """What messages call it."""
    label: str
    """As it stands."""
    instead: str
    """What it looks like."""
    wrong: float
    """The probability that the label is wrong."""
    picture: Callable[[], UInt8]
    """The image; raises `ImageError` where it cannot be had."""


@dataclass(frozen=True, kw_only=True, eq=False)
class RunReport:
    """All that the page of a run shows."""

    data: str
    """What was learned or judged, as people call it."""
    checkpoint: Checkpoint | Exported
    """The model."""
    judged: Sequence[Judged]
    """The first is the one most is shown of; none where nothing was held out."""
    results: Mapping[str, Any]
    """What results.json holds; of it "forecast" (beside "loo_top1", "images", "interval"), "gains" and "copies" are
    shown."""
    foretold_by: str = ""
    """Whose "forecast" that is, in words, where it is another model's."""
    keep: int = 0
    """How many of the images it was judged on are kept beside the model, for the page of `serve`."""
    suspects: Sequence[Suspect] = ()
    """Surest first."""
    curves: Path | None = None
    """The folder of a run whose record has learning curves."""
    first: Sequence[Section] = ()
    """Sections of who asks for the report, right after how good it is."""
    made: Sequence[tuple[str, str]] = ()
    """What was done and with which data: (what, how)."""
    next: Sequence[tuple[str, str]] = ()
    """What to do with it: (why, command)."""

    @property
    def wrong(self) -> dict[str, float]:
        """By file, the probability that its label is wrong."""
        return {suspect.file: suspect.wrong for suspect in self.suspects}


def cautions(*sentences: str, group: str | None = None) -> str:
    """The sentences that are not empty, and what is to say where several images belong to one `group`."""
    alike = f"Images of one group ({group}) are alike, so that the range is rather wider than said."
    return " ".join([*filter(None, sentences), *([alike] if group else [])])


def use_commands(run: str, *, exported: bool = False) -> list[tuple[str, str]]:
    """What a model in `run`, quoted for a shell, is good for: (why, command)."""
    every = [
        ("what new photographs show", f"vitascope predict {run} NEW-PHOTOS --csv predictions.csv"),
        ("how good it is on others, and which it gets wrong", f"vitascope evaluate {run} OTHERS --errors wrong"),
        ("look inside", f"vitascope inspect {run} --out inside"),
        ("use it from other programs, or in the browser", f"vitascope serve {run}"),
    ]
    return [use for use in every if not (exported and use[1].startswith("vitascope inspect"))]  # which has no inside


def model_text(checkpoint: Checkpoint | Exported) -> str:
    """What a model is, in words."""
    height, width = checkpoint.preprocess.size
    seen = f"for images of {height} × {width} pixels"
    if isinstance(checkpoint, Exported):
        return f"exported for {checkpoint.format}, {seen}"
    parameters = sum(p.numel() for p in checkpoint.model.parameters())
    return f"{architecture_name(checkpoint.config)}, {parameters / 1e6:.3g} million parameters, {seen}"


def made_on() -> list[tuple[str, str]]:
    """What a run ran on, and its words."""
    where = environment()
    place = f"{where['gpu'] or where['processor']}, {count(where['threads'], 'thread')}"
    versions = f"vitascope {where['vitascope']}, torch {where['torch']}, Python {where['python']}"
    return [("computer", place), ("versions", versions), ("command", shlex.join(where["command"]))]
