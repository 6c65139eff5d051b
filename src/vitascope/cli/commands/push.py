"""`vitascope push CHECKPOINT OWNER/NAME`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from vitascope.checkpoints.named import check_known
from vitascope.cli.console import Console
from vitascope.recipes.asked import Stated
from vitascope.wording import memory_text


@dataclass(frozen=True, kw_only=True)
class Push(Stated):
    """A checkpoint for the Hugging Face Hub."""

    FIRST: ClassVar[tuple[str, ...]] = ("public", "overwrite", "license", "half", "labels")

    repository: str
    """OWNER/NAME on the Hub, made where it is not there yet."""
    public: bool = False
    """Let everybody see a new repository; else its owner alone. One that is there stays as it is."""
    overwrite: bool = False
    """Replace what an earlier push wrote; the Hub keeps that in its history."""
    license: str = ""
    """For the model card, as the Hub calls it, such as apache-2.0."""
    half: bool = False
    """Send float16: half the bytes, each weight within 0.05 %."""


def run(asked: Push, console: Console) -> dict[str, Any]:
    """Asks the Hub first, then loads and sends."""
    check_known(asked.checkpoint)
    from vitascope.checkpoints.push import push, target

    to = target(asked.repository, overwrite=asked.overwrite)
    from vitascope.checkpoints.load import load

    pushed = push(
        load(asked.checkpoint, **asked.stated), to, public=asked.public, half=asked.half, license=asked.license
    )
    size = memory_text(sum(pushed.files.values()))
    console.say(f'{asked.checkpoint} is at {pushed.url} ({size}); in Python: vs.load("{asked.repository}")')
    return {"repository": asked.repository, "url": pushed.url, "revision": pushed.revision, "files": pushed.files}
