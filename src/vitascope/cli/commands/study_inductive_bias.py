"""`vitascope study inductive-bias CHECKPOINT [CHECKPOINTS…] --out DIR`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vitascope.checkpoints.output import check_output
from vitascope.cli.console import Console
from vitascope.cli.runs import checkpoint_names
from vitascope.fields import refuse_idle
from vitascope.studies.inductive_bias.settings import InductiveBias

WHAT = "study"


@dataclass(frozen=True, kw_only=True)
class Compared:
    """Checkpoints side by side, on some images."""

    checkpoints: tuple[str, ...]
    """Files, folders or runs, in any format that loads; ViT, hybrid or BiT."""
    out: str
    """New folder for the numbers, the figure and their reading."""
    overwrite: bool = False
    """Replace an earlier study in --out."""
    data: str | None = None
    """Where images are drawn from, its test split; none: examples of the package."""
    images: int = 64
    """How many images of --data."""
    image_size: int | tuple[int, int] | None = None
    """Side in pixels of the images the models see, or [height, width]; none: as each checkpoint says."""
    device: str | None = None
    """cpu, cuda, …; none: the GPU if there is one."""

    def __post_init__(self) -> None:
        if self.data is None:
            refuse_idle(self, "there is no --data to draw them from", "images")


def run(asked: Compared, settings: InductiveBias, console: Console) -> dict[str, Any]:
    """Measures, and writes the numbers, the figure and their reading."""
    out = Path(asked.out)
    sources = [*asked.checkpoints, *filter(None, [asked.data])]
    check_output(out, WHAT, overwrite=asked.overwrite, sources=sources)
    from vitascope.checkpoints.load import load
    from vitascope.checkpoints.output import atomic_folder
    from vitascope.device import resolve_device
    from vitascope.studies.inductive_bias.report import FIGURE, JSON, write_study
    from vitascope.studies.inductive_bias.study import compare_models, example_pictures, pictures_of

    device = resolve_device(asked.device)
    checkpoints = [load(path, image_size=asked.image_size) for path in asked.checkpoints]
    for checkpoint in checkpoints:
        checkpoint.model.to(device)
    if asked.data is None:
        shown, images = example_pictures([checkpoint.preprocess.size for checkpoint in checkpoints])
    else:
        shown, images = pictures_of(asked.data, asked.images, settings.seed)
    named = list(zip(checkpoint_names(asked.checkpoints), checkpoints, strict=True))
    with atomic_folder(out, what=WHAT, overwrite=asked.overwrite) as folder:
        models = compare_models(named, images, settings, console.counter("measuring"))
        reading = write_study(models, shown, settings, folder)
    console.table("inductive bias", ["statement", "verdict"], [(one.statement, one.verdict) for one in reading])
    console.say(f"figure, numbers and their reading lie in {out}")
    return {
        "out": str(out),
        "study": str(out / JSON),
        "figure": str(out / f"{FIGURE}.png"),
        "images": len(images),
        "reading": [asdict(one) for one in reading],
    }
