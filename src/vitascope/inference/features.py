"""Features of images: what a checkpoint's last linear layer sees, for whatever others do with them.

An engine computes them as it computes logits, of the model without its last layer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image

from vitascope.checkpoints.adapt import without_classes
from vitascope.checkpoints.checkpoint import Checkpoint
from vitascope.checkpoints.output import atomic_file
from vitascope.data.preprocess import to_tensor
from vitascope.errors import CheckpointError, ImageError
from vitascope.inference.engines.auto import Auto, make_engine
from vitascope.inference.files import read_files
from vitascope.inference.predictor import AnyImage

Float32 = npt.NDArray[np.float32]


class Embedder:
    """`Embedder(checkpoint)(images)` → float32 (n, D'); `engine`, `device`, `batch`, `precision` as of `Predictor`."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        engine: str = "auto",
        *,
        device: torch.device | str | None = None,
        batch: int = 32,
        precision: str = "float32",
    ) -> None:
        headless = replace(checkpoint, model=without_classes(checkpoint.model), labels=(), sets=None)
        self.preprocess, self.batch = checkpoint.preprocess, batch
        self.width = checkpoint.config.features
        """D'."""
        self.engine = make_engine(engine, headless, device, precision, batch)

    def __call__(self, images: AnyImage | Sequence[AnyImage]) -> Float32:
        """Images as of `Predictor`; raises ImageError, `CheckpointError` for features that are not finite."""
        several = [images] if isinstance(images, str | Path | bytes | Image.Image | np.ndarray) else list(images)
        parts = (several[first : first + self.batch] for first in range(0, len(several), self.batch))
        rows = [self.of([self.preprocess.pixels(image) for image in part]) for part in parts]
        return np.concatenate([np.zeros((0, self.width), dtype=np.float32), *rows])

    def files(self, files: Sequence[Path]) -> Iterator[tuple[Path, Float32 | ImageError]]:
        """Each file's features (D',), or why there are none, in the order of `files`."""
        if isinstance(self.engine, Auto):
            self.engine.expect(len(files))
        for batch in read_files(self.preprocess, files, self.batch):
            rows = iter(self.of([image for _, image in batch if not isinstance(image, ImageError)]))
            for file, image in batch:
                yield file, image if isinstance(image, ImageError) else next(rows)

    @torch.inference_mode()
    def of(self, pixels: list[np.ndarray]) -> Float32:
        """Of at most a batch of images that have the model's size, uint8 (h, w, C) → (n, D')."""
        if not pixels:
            return np.zeros((0, self.width), dtype=np.float32)
        rows = self.engine(self.preprocess.normalise(to_tensor(pixels)))
        if not rows.isfinite().all():
            raise CheckpointError("the model's features are not finite (NaN or infinity); did its training diverge?")
        return cast(Float32, rows.float().cpu().numpy())


def features(checkpoint: Checkpoint, images: AnyImage | Sequence[AnyImage]) -> Float32:
    """What the last linear layer sees of images (paths, bytes, Pillow images, uint8 arrays), float32 (n, D')."""
    return Embedder(checkpoint)(images)


def write_features(path: Path, files: Sequence[str], rows: Float32) -> None:
    """A new .parquet (columns file, features: lists of float32) or .npz (arrays files, features), wholly or not at all.

    A file's name may be no UTF-8; then its odd bytes are written as \\udcNN. Raises `OutputError`.
    """
    names = [name.encode(errors="backslashreplace").decode() for name in files]
    with atomic_file(path) as temporary:
        if path.suffix == ".npz":
            with temporary.open("wb") as file:
                np.savez(file, allow_pickle=False, files=np.array(names), features=rows)
        else:
            flat = pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), rows.shape[1])
            pq.write_table(pa.table({"file": names, "features": flat}), temporary)
