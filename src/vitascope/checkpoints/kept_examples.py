"""A few images that a run was judged on, small, beside its model: what the page of `serve` opens with.

They lie in the run's folder and never in its `model/`, so that who passes on a model passes on no photograph.
"""

from __future__ import annotations

import base64
import io
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from vitascope import json_text
from vitascope.checkpoints.locate import locate
from vitascope.checkpoints.run_files import EXAMPLES, MODEL, write_json
from vitascope.data.images import UInt8, read_image
from vitascope.errors import ImageError
from vitascope.wording import reason

log = logging.getLogger(__name__)

_LARGEST = 32 << 20  # bytes of a file that is read
_LOSSLESS = 64  # pixels of the shorter side up to which every one of them counts


@dataclass(frozen=True, kw_only=True)
class KeptExample:
    """An image and what is known of it."""

    label: str
    """Its true label, or labels."""
    split: str
    """Which images it is of: "test", "validation", "left out" of those that were taught."""
    content: bytes
    """PNG or JPEG."""


def small_file(image: UInt8, side: int) -> bytes:
    """uint8 (H, W, 3) as a file, its shorter side no longer than `side` pixels."""
    picture, file = Image.fromarray(image), io.BytesIO()
    shorter = min(picture.size)
    if shorter > side:
        width, height = (max(round(length * side / shorter), 1) for length in picture.size)
        picture = picture.resize((width, height), Image.Resampling.LANCZOS)
    if min(picture.size) <= _LOSSLESS:
        picture.save(file, "PNG")
    else:
        picture.save(file, "JPEG", quality=90)
    return file.getvalue()


def write_examples(folder: Path, examples: Sequence[KeptExample]) -> None:
    """Writes them into a run's folder; of none, takes away what was there."""
    if not examples:
        (folder / EXAMPLES).unlink(missing_ok=True)
        return
    rows = [{**vars(each), "content": base64.b64encode(each.content).decode()} for each in examples]
    write_json(folder / EXAMPLES, {"examples": rows})


def captioned(examples: Sequence[KeptExample]) -> str:
    """What they are, for people; "" of none."""
    if not examples:
        return ""
    taught = any(each.split == "left out" for each in examples)
    return "Taught, with their labels:" if taught else "Held out, with their true labels:"


def read_examples(checkpoint: str) -> list[KeptExample]:
    """Those beside the model of a run; none of anything else, nor, with a warning, of a file that is damaged."""
    place = locate(checkpoint).place
    path = place.parent / EXAMPLES
    if place.name != MODEL or not os.path.isfile(path):
        return []
    try:
        if path.stat().st_size > _LARGEST:
            raise ValueError("too large")
        rows = json_text.parse(path.read_bytes())["examples"]
        kept = [
            KeptExample(label=str(row["label"]), split=str(row["split"]), content=base64.b64decode(row["content"]))
            for row in rows
        ]
        for each in kept:
            read_image(each.content)
        return kept
    except (OSError, ValueError, KeyError, TypeError, ImageError) as error:
        log.warning("%s cannot be read (%s): no photographs of the run are shown", path, reason(error))
        return []
