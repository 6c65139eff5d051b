"""`vitascope convert CHECKPOINT OUT --format F`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from vitascope.checkpoints.formats.names import FormatName
from vitascope.checkpoints.output import check_output
from vitascope.cli.console import Console
from vitascope.recipes.asked import Stated


@dataclass(frozen=True, kw_only=True)
class Convert(Stated):
    """A checkpoint in another format."""

    FIRST: ClassVar[tuple[str, ...]] = ("format", "image_size", "labels", "mean", "half", "model", "overwrite")

    out: str
    """What to write: a folder, or a file for google, torchvision and vit-pytorch."""
    format: FormatName = "vitascope"
    """Format to write."""
    model: str | None = None
    """Name in the catalogue, where the file leaves the architecture open."""
    half: bool = False
    """Write float16: half the bytes, each weight within 0.05 %."""
    overwrite: bool = False
    """Replace what is at OUT."""


def run(asked: Convert, console: Console) -> dict[str, Any]:
    """Loads and saves."""
    check_output(asked.out, "checkpoint", overwrite=asked.overwrite, sources=[asked.checkpoint])
    from vitascope.checkpoints.load import load
    from vitascope.checkpoints.save import save

    checkpoint = load(asked.checkpoint, **asked.stated, model=asked.model)
    save(checkpoint, asked.out, format=asked.format, overwrite=asked.overwrite, half=asked.half)
    parameters = sum(p.numel() for p in checkpoint.model.parameters())
    console.say(f"{asked.checkpoint} ({checkpoint.format}, {parameters:,} parameters) → {asked.out} ({asked.format})")
    return {"out": asked.out, "from": checkpoint.format, "to": asked.format, "parameters": parameters}
