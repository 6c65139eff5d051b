"""`vitascope convert CHECKPOINT OUT --format F`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vitascope.checkpoints.formats.names import FORMATS
from vitascope.checkpoints.output import check_output
from vitascope.cli.console import Console
from vitascope.errors import ConfigError
from vitascope.recipes.asked import Stated


@dataclass(frozen=True, kw_only=True)
class Convert(Stated):
    """A checkpoint in another format."""

    out: str
    """What to write: a folder, or a file for google, torchvision and vit-pytorch."""
    format: str = "vitascope"
    """Format to write: vitascope, google, timm, huggingface, torchvision or vit-pytorch."""
    model: str | None = None
    """Name in the catalogue, where the file leaves the architecture open."""
    half: bool = False
    """Write float16: half the bytes, each weight within 0.05 %."""
    overwrite: bool = False
    """Replace what is at OUT."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.format not in FORMATS:
            raise ConfigError(f"format is {self.format!r}, choose from {', '.join(map(repr, FORMATS))}")


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
