"""`vitascope embed CHECKPOINT PATHS… --out FILE`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from vitascope.checkpoints.output import check_output
from vitascope.cli.console import Console
from vitascope.errors import ConfigError
from vitascope.fields import Count, FileName, refuse_idle
from vitascope.recipes.asked import Applied

ENDINGS = (".parquet", ".npz")


@dataclass(frozen=True, kw_only=True)
class Embed(Applied):
    """Features of images, what the last linear layer sees."""

    FIRST: ClassVar[tuple[str, ...]] = ("out", "image_size", "batch", "engine", "device")

    checkpoint: str
    """A file, a folder or a run, in any format that loads, or a name; its last layer plays no part."""
    paths: tuple[str, ...]
    """Image files, and folders whose images are all taken."""
    out: FileName
    """New file that ends in .parquet (columns file, features) or .npz (arrays files, features)."""
    batch: Count = 32
    """Images per forward pass."""

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_idle(self, "features have no classes", "prior")
        if Path(self.out).suffix not in ENDINGS:
            raise ConfigError(f"out is {self.out!r}, expected a name that ends in {' or '.join(ENDINGS)}")


def run(asked: Embed, console: Console) -> dict[str, Any]:
    """Computes and writes them."""
    check_output(asked.out, None, remedy="choose another --out file")
    import numpy as np

    from vitascope.checkpoints.load import load
    from vitascope.errors import DataError, ImageError
    from vitascope.inference.features import Embedder, write_features
    from vitascope.inference.files import find_images

    files = find_images(asked.paths)
    embedder = Embedder(
        load(asked.checkpoint, **asked.stated),
        asked.engine,
        device=asked.device,
        batch=asked.batch,
        precision=asked.precision,
    )
    counter, names, rows, failed = console.counter("embedding"), list[str](), [], 0
    for done, (file, row) in enumerate(embedder.files(files), start=1):
        if isinstance(row, ImageError):
            console.say(f"error: {row}")
            failed += 1
        else:
            names.append(str(file))
            rows.append(row)
        counter(done, len(files))
    if not rows:
        raise DataError(f"none of the {len(files)} images can be read; `vitascope check` says why")
    write_features(Path(asked.out), names, np.stack(rows))
    console.say(f"{len(rows):,} images × {embedder.width} features → {asked.out}")
    if failed:
        console.say(f"{failed} of {len(files)} files could not be read")
    return {"out": asked.out, "images": len(rows), "width": embedder.width, "exit_code": 2 if failed else 0}
