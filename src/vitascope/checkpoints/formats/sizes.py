"""What the shapes of tensors tell of a model, and what is assumed or asked for where they leave it open."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from torch import Tensor

from vitascope.checkpoints.formats.raw import RawCheckpoint
from vitascope.checkpoints.translate import Layout, Shape
from vitascope.errors import CheckpointError
from vitascope.models.config import Size, ViTConfig

log = logging.getLogger(__name__)

WIDE_HEADS = {1152: 16, 1280: 16, 1408: 16, 1664: 16}
"""Width → heads of H, So400m, g and G, which are wider than 64 channels."""


def numbered(names: Iterable[str], pattern: str) -> int:
    """How many different numbers `pattern` finds in the names: blocks, stages or units, however they are counted.

    Counting them, instead of believing the highest, keeps a file that claims block 999999999 from costing memory.
    """
    return len({match[1] for name in names if (match := re.match(pattern, name))})


def square_side(rows: int) -> int | None:
    """Side of the square grid of so many positions; None if they are no square."""
    side = round(max(rows, 0) ** 0.5)
    return side if side > 0 and side * side == rows else None


@dataclass(frozen=True)
class Sizes:
    """Of a ViT's tensors, by our names."""

    raw: RawCheckpoint
    tensors: Mapping[str, Tensor]
    layout: Layout

    def has(self, own: str, axes: int) -> bool:
        """Whether our tensor of so many axes is there."""
        return self._name(own, axes)[0] in self.tensors

    def side(self, own: str, axes: int, axis: int = 0) -> int:
        """Size along one of them; 0 where the tensor is not there."""
        return self.shape(own, axes)[axis] if self.has(own, axes) else 0

    def shape(self, own: str, axes: int) -> Shape:
        """Of a tensor that decides the config, by our axes; raises `CheckpointError` unless it is there with all."""
        name, order = self._name(own, axes)
        shape = tuple(self.tensors[name].shape) if name in self.tensors else None
        if shape is None or len(shape) != len(order) or 0 in shape:
            got = "is missing" if shape is None else f"is {shape}"
            raise CheckpointError(f"{self.raw.path}: {name} {got}; expected a tensor of {len(order)} axes")
        return tuple(shape[axis] for axis in order)

    def units(self, own: str) -> tuple[int, ...]:
        """How many units each stage of a ResNet has, all of which hold our module `own`, as `stages.*.*.conv1`."""
        place = re.sub(r"\\{\d(:02d)?\\}", r"(\\d+)", re.escape(str(self.layout.names[own])))
        found = {match.groups() for name in self.tensors if (match := re.match(rf"{place}\W", name))}
        counts = Counter(int(stage) for stage, _ in found)
        return tuple(counts[stage] for stage in sorted(counts))

    def _name(self, own: str, axes: int) -> tuple[str, Shape]:
        kept = self.layout.kept(own, (0,) * axes)
        return (kept.names[0], kept.axes) if kept else ("", ())

    def fields(self) -> dict[str, Any]:
        """All fields of a ViT's config that shapes tell; raises `CheckpointError`."""
        width, channels, patch, _ = self.shape("patches.projection.weight", 4)
        block = str(self.layout.names["encoder.blocks.*.norm1"]).partition("{0}")[0]
        fc1, fc2 = (f"encoder.blocks.0.mlp.{name}.weight" for name in ("fc1", "fc2"))
        if self.side(fc1, 2) == 2 * self.side(fc2, 2, 1) > 0:
            raise CheckpointError(f"{self.raw.path}: a ViT with SwiGLU (DINOv2 giant), whose MLPs are not read")
        hidden = self.side("head.hidden.weight", 2)
        return {
            "width": width,
            "channels": channels,
            "patch": patch,
            "depth": numbered(self.tensors, rf"{re.escape(block)}(\d+)\W"),
            "hidden": self.shape("encoder.blocks.0.mlp.fc1.weight", 2)[0],
            "gated_mlp": self.has("encoder.blocks.0.mlp.gate.weight", 2),
            "qkv_bias": self.has("encoder.blocks.0.attention.qkv.bias", 1),
            "classes": self.side("head.linear.weight", 2),
            "class_token": self.has("embedding.class_token", 3),
            "registers": self.side("embedding.registers", 3, 1),
            "norm": "pooled" if self.has("head.norm.weight", 1) else "tokens",
            "representation_size": hidden or None,
            "representation_activation": "tanh" if hidden else "gelu",
        }

    def grid(self, step: int, class_rows: tuple[bool, ...], stated: Size | None = None) -> tuple[Size, bool]:
        """Image size of `step` pixels a token, and which of `class_rows` holds, by the table of positions.

        A size `stated` beside the weights is believed where it fits. Otherwise the grid is taken to be a square, with
        or without a row for the class token. Only where it is none does the caller's size decide, because a table does
        not tell rows from columns. Raises `CheckpointError` where they are open.
        """
        rows = self.shape("embedding.positions.table", 3)[1]
        squares = [(side * step,) * 2 for row in class_rows if (side := square_side(rows - row))]
        asked = [self.raw.image_size, self.raw.model.image_size if self.raw.model is not None else None]
        for size in filter(None, (stated, *squares, *asked)):
            down, across = size[0] // step, size[1] // step
            for row in class_rows:
                if down * across == rows - row:
                    return (down * step, across * step), row
        raise CheckpointError(
            f"{self.raw.path}: {rows} rows of positions are no square grid; "
            "give the image size (height, width) it was trained at"
        )


def heads_for(raw: RawCheckpoint, width: int, stated: object = None, wide: Mapping[int, int] = WIDE_HEADS) -> int:
    """Attention heads where the tensors do not tell: stated beside them, else the caller's, else 64 channels each.

    `wide` says how many where heads have other channels. What is assumed is logged. Raises `CheckpointError`.
    """
    if stated is not None:
        return cast(int, stated)  # which the config checks
    if isinstance(raw.model, ViTConfig) and raw.model.width == width:
        return raw.model.heads
    # At 1536 some have heads of 64, some of 96; guessing would be silently wrong.
    if width in wide or (width % 64 == 0 and width != 1536):
        heads = wide.get(width, width // 64)
        told = "%s: does not say how many attention heads it has; assuming %d of %d"
        log.info(told, raw.path, heads, width // heads)
        return heads
    raise CheckpointError(
        f"{raw.path}: the file does not say how many attention heads a width of {width} has; "
        "say it in Python: vs.save(vs.load(FILE, model=CONFIG), OUT)"
    )
