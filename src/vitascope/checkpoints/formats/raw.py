"""A foreign checkpoint before and after it is understood, and how descriptions beside the weights are read."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from vitascope.checkpoints.checkpoint import Activation
from vitascope.checkpoints.translate import Layout
from vitascope.data.preprocess import Preprocess
from vitascope.errors import CheckpointError, ConfigError
from vitascope.fields import height_width
from vitascope.models.config import ModelConfig, Size
from vitascope.version import __version__
from vitascope.wording import count, some

log = logging.getLogger(__name__)

WRITTEN_BY = {"written_by": f"vitascope {__version__}"}
"""In descriptions of foreign formats, so that what we wrote can be told from what came from elsewhere."""


@dataclass(frozen=True, kw_only=True)
class RawCheckpoint:
    """Tensors with the descriptions that lie beside them, as they are in a foreign file or folder."""

    path: Path = Path()
    """Where it was read, for messages."""
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

    @property
    def architecture(self) -> str:
        """timm's name of it, from the description beside the weights or what its training script stored; or ""."""
        stated = (self.config.get("architecture"), *(self.metadata.get(key) for key in ("arch", "args.model")))
        return next((name for name in stated if isinstance(name, str)), "")

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

    def meaning(self, table: Mapping[str, str], stated: object, key: str) -> Any:
        """What a name in the description stands for; `CheckpointError` for anything but a name of the table."""
        if not isinstance(stated, str) or stated not in table:
            told = f"{key} {str(stated)[:40]!r} in config.json, expected {', '.join(table)}"
            raise CheckpointError(f"{self.path}: {told}")
        return table[stated]

    def part(self, prefix: str, beside: tuple[str, ...] = (), unused: tuple[str, ...] = ()) -> dict[str, Tensor]:
        """The tensors under `prefix`, where there is one, without it, and those that begin with one of `beside`.

        What is left out, as is what then begins with one of `unused`, is logged.
        """
        within = any(name.startswith(prefix) for name in self.tensors)
        taken = {
            name.removeprefix(prefix): tensor
            for name, tensor in self.tensors.items()
            if not within or name.startswith((prefix, *beside))
        }
        taken = {name: tensor for name, tensor in taken.items() if not name.startswith(unused)}
        left = [name for name in self.tensors if name.removeprefix(prefix) not in taken]
        if left:
            told = "%s: taken: the image tower; left out: %d other tensors (%s)"
            log.info(told, self.path, len(left), some(left, 3))
        return taken

    def renamed(self, renames: Sequence[tuple[str, str]], unused: str = r"\Z.") -> dict[str, Tensor]:
        """The tensors under the names that patterns and replacements give, without those that begin as `unused`.

        What is left out is logged. Raises `CheckpointError` where two become one.
        """
        result: dict[str, Tensor] = {}
        left: list[str] = []
        for name, tensor in self.tensors.items():
            for pattern, replacement in renames:
                name = re.sub(pattern, replacement, name)
            if re.match(unused, name):
                left.append(name)
                continue
            if name in result:
                raise CheckpointError(f"{self.path}: {name} is there twice, under two names")
            result[name] = tensor
        if left:
            what = f"{count(len(left), 'tensor')} of masked training ({some(left, 3)})"
            log.info("%s: left out: %s", self.path, what)
        return result


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A foreign checkpoint understood: everything but the weights' translation."""

    config: ModelConfig
    """The model."""
    layout: Layout
    """How its tensors are named and laid out."""
    tensors: Mapping[str, Tensor]
    """The file's tensors under the names of the layout."""
    preprocess: Preprocess
    """Given by the file, or the format's usual one."""
    labels: tuple[str, ...] = ()
    """Class names; empty if the file has none."""
    activation: Activation = "softmax"
    """How its logits become probabilities."""


def mapping(value: object) -> Mapping[str, Any]:
    """The value, if it is a description in a description; else an empty one."""
    return value if isinstance(value, Mapping) else {}


def stated_size(value: object) -> Size | None:
    """Height and width from a description: one number or two; None for anything else."""
    try:
        return height_width(value, "image_size")
    except ConfigError:
        return None


def labels_of(names: object, classes: int) -> tuple[str, ...]:
    """Class names from a description beside the weights, in the order of the logits; empty where there are none.

    A class that a table of numbers and names leaves out keeps its number, which is logged; so is a list that is left
    out because it has not a name for each class.
    """
    table = dict(enumerate(names)) if isinstance(names, list) else names
    if not isinstance(table, Mapping) or not table or not classes:
        return ()
    listed = [table.get(index, table.get(str(index))) for index in range(classes)]
    nameless = [str(index) for index, name in enumerate(listed) if not isinstance(name, str)]
    if isinstance(names, list) and (nameless or len(names) != classes):
        log.warning("%d names for %d classes are left out; their numbers stand for them", len(names), classes)
        return ()
    if nameless:
        log.warning(
            "no name for %d of %d classes (%s); their numbers stand for them", len(nameless), classes, some(nameless)
        )
    return tuple(name if isinstance(name, str) else str(index) for index, name in enumerate(listed))
