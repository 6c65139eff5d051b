"""What a reader found at a path, and what a format makes of it."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from vitascope.checkpoints.checkpoint import Activation
from vitascope.checkpoints.keys import Row
from vitascope.data.preprocess import Preprocess
from vitascope.errors import CheckpointError
from vitascope.models.config import ModelConfig, Size, ViTConfig

log = logging.getLogger(__name__)

MAX_DEPTH = 1024
"""More blocks than this in one stacked tensor are taken for a damaged file."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """Tensors with the descriptions that lie beside them, before anybody knows what they are."""

    path: Path
    """Where it was found, for messages."""
    tensors: Mapping[str, Tensor]
    """Name → tensor as stored."""
    config: Mapping[str, Any] = field(default_factory=dict)
    """`config.json` beside the weights; empty if there is none."""
    preprocessor: Mapping[str, Any] | None = None
    """`preprocessor_config.json` beside the weights."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """Text inside the weights' file."""
    model: ModelConfig | None = None
    """What the caller says it is; decides what a file leaves open, such as the number of heads."""
    image_size: Size | None = None
    """What the caller asks for; decides the grid only where the file's positions are not a square."""
    normalised: bool = False
    """Whether the caller states mean and deviation, so that nothing need be said of those assumed."""

    def assume(self, preprocess: Preprocess) -> Preprocess:
        """`preprocess`, with a warning that nothing describes it and how to do that."""
        if not self.normalised:
            both = preprocess.mean, preprocess.std
            mean, std = (",".join(f"{value:g}" for value in dict.fromkeys(values)) for values in both)
            log.warning(
                "%s: nothing beside the weights says how images were prepared; assuming mean %s and std %s. If others "
                "(DeiT, DINO: imagenet), state them: vitascope convert CHECKPOINT OUT --mean imagenet",
                self.path.name,
                mean,
                std,
            )
        return preprocess

    @property
    def architecture(self) -> str:
        """timm's name of it, from the description beside the weights or what its training script stored; or ""."""
        stated = (self.config.get("architecture"), *(self.metadata.get(key) for key in ("arch", "args.model")))
        return next((name for name in stated if isinstance(name, str)), "")


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A foreign checkpoint understood: everything but the weights' translation."""

    config: ModelConfig
    """The model."""
    rows: Sequence[Row]
    """How its tensors are named and laid out in the file."""
    tensors: Mapping[str, Tensor]
    """The file's tensors under the names that `rows` use."""
    preprocess: Preprocess
    """Given by the file, or the format's usual one."""
    labels: tuple[str, ...] = ()
    """Class names; empty if the file has none."""
    activation: Activation = "softmax"
    """How its logits become probabilities."""

    def __post_init__(self) -> None:
        if self.preprocess.channels != self.config.channels:
            raise CheckpointError(
                f"the preprocessing described makes {self.preprocess.channels} channels, "
                f"the weights take {self.config.channels}"
            )


def numbered(names: Iterable[str], pattern: str) -> int:
    """How many different numbers `pattern` finds in the names: blocks, stages or units, however they are counted.

    Counting them, instead of believing the highest, keeps a file that claims block 999999999 from costing memory.
    """
    return len({match[1] for name in names if (match := re.match(pattern, name))})


def shape_of(found: Found, tensors: Mapping[str, Tensor], name: str, axes: int) -> tuple[int, ...]:
    """Shape of a tensor that decides the config; raises `CheckpointError` unless it is there with so many axes."""
    if name not in tensors or tensors[name].ndim != axes:
        got = f"is {tuple(tensors[name].shape)}" if name in tensors else "is missing"
        raise CheckpointError(f"{found.path}: {name} {got}; expected a tensor of {axes} axes")
    return tuple(tensors[name].shape)


def stated_size(value: object) -> Size | None:
    """Height and width from a description: one number or two; None for anything else."""
    pair = [value, value] if isinstance(value, int) else value
    if isinstance(pair, list | tuple) and len(pair) == 2 and all(isinstance(side, int) for side in pair):
        return pair[0], pair[1]
    return None


def meaning(found: Found, table: Mapping[str, str], stated: object, key: str) -> Any:
    """What a name in the description stands for; raises `CheckpointError` for anything but a name of the table."""
    if not isinstance(stated, str) or stated not in table:
        raise CheckpointError(f"{found.path}: {key} {str(stated)[:40]!r} in config.json, expected {', '.join(table)}")
    return table[stated]


def square_grid(rows: int, extra: int) -> int | None:
    """Side of the square grid that a table of `rows` has after `extra` other rows; None if it is no square."""
    side = round(max(rows - extra, 0) ** 0.5)
    return side if side > 0 and side * side == rows - extra else None


def table_size(
    found: Found,
    rows: int,
    *,
    class_token: bool,
    pixels_per_token: int,
    class_row: bool | None = None,
    stated: Size | None = None,
) -> tuple[Size, bool]:
    """Image size and `class_row` of a position table of `rows`; raises `CheckpointError` where they are open.

    A size `stated` beside the weights is believed where it fits. Otherwise the grid is taken to be a square,
    with or without a class row as `class_row` says or else as it comes out. Only where it is none does the
    caller's size decide, because a table does not tell rows from columns.
    """
    choices = [class_row] if class_row is not None else [True, False] if class_token else [False]

    def fitting(size: Size | None) -> tuple[Size, bool] | None:
        if size is None:
            return None
        grid = size[0] // pixels_per_token, size[1] // pixels_per_token
        fits = [choice for choice in choices if grid[0] * grid[1] == rows - int(choice)]
        return ((grid[0] * pixels_per_token, grid[1] * pixels_per_token), fits[0]) if fits else None

    sides = [square_grid(rows, int(choice)) for choice in choices]
    squares = [(side * pixels_per_token,) * 2 for side in sides if side is not None]
    asked = [found.image_size, found.model.image_size if found.model is not None else None]
    for size in (stated, *squares, *asked):
        result = fitting(size)
        if result is not None:
            return result
    raise CheckpointError(
        f"{found.path}: {rows} rows of positions are no square grid; "
        "give the image size (height, width) it was trained at"
    )


def heads_for(found: Found, width: int, stated: object = None) -> int:
    """Attention heads where the tensors do not tell: stated beside them, else the caller's, else 64 channels each.

    What is assumed is logged.
    """
    if stated is not None:
        if not isinstance(stated, int) or isinstance(stated, bool):
            raise CheckpointError(f"{found.path}: the number of heads is {str(stated)[:40]!r}, expected a whole number")
        return stated
    if isinstance(found.model, ViTConfig) and found.model.width == width:
        return found.model.heads
    published = {1152: 16, 1280: 16, 1408: 16, 1664: 16}  # H, So400m, g and G have heads wider than 64
    # At 1536 some have heads of 64, some of 96; guessing would be silently wrong.
    if width in published or (width % 64 == 0 and width != 1536):
        heads = published.get(width, width // 64)
        log.info(
            "%s: does not say how many attention heads it has; assuming %d of %d", found.path, heads, width // heads
        )
        return heads
    raise CheckpointError(
        f"{found.path}: the file does not say how many attention heads a width of {width} has; "
        "say it in Python: vs.save(vs.load(FILE, model=CONFIG), OUT)"
    )
