"""Features of images under a frozen model: each computed once, then kept on disk.

A file in the cache folder holds the images of one source that were asked for so far. Its name is the hash of all that
the numbers depend on: the model's config and every weight, the preprocessing, the images themselves
(`Source.fingerprint`), the kind of processor and the version of this package. So nothing has to be told that a cache
is stale; old files are merely not found again, and may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from contextlib import closing
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from vitascope.cache import cache_folder
from vitascope.data.batches import evaluation_batches
from vitascope.data.preprocess import Preprocess
from vitascope.data.source import Int64, Source, View
from vitascope.errors import CheckpointError
from vitascope.evaluation.evaluate import outputs
from vitascope.version import __version__
from vitascope.weights import model_fingerprint
from vitascope.whole import recall_arrays, remember_arrays

log = logging.getLogger(__name__)

Float32 = npt.NDArray[np.float32]


class FeatureStore:
    """`store(source, positions)` → float32 features, from disk where they are known.

    `model` is a ViT, hybrid or BiT, anything that has `features(images)`. It is used in evaluation mode, in float32,
    on the device where it is; its own mode comes back. `compute`, such as an engine, makes its features of normalised
    images in its place. `folder` is where files are kept, None for nowhere; `progress` hears (done, total) of images
    computed.
    """

    def __init__(
        self,
        model: nn.Module,
        preprocess: Preprocess,
        *,
        batch: int = 64,
        workers: int = 0,
        folder: Path | None = None,
        progress: Callable[[int, int], None] | None = None,
        compute: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        self.model, self.preprocess, self.compute = model, preprocess, compute
        self.batch, self.workers = batch, workers
        self.folder, self.progress = folder, progress
        self.computed = 0
        """Images that went through the model so far."""

    def __call__(self, source: Source, positions: Int64) -> Float32:
        """Features of the images at `positions` (n,) of `source`, (n, D'), what the last linear layer sees.

        Raises ImageError for an unreadable image, `CheckpointError` for features that are not finite.
        """
        path = self._path(source)
        known, rows = _read(path, len(source))
        missing = np.setdiff1d(positions, known)
        if len(missing) or not len(known):
            fresh = self._compute(source, missing)
            order = np.argsort(np.concatenate([known, missing]))
            rows = (np.concatenate([rows, fresh]) if len(known) else fresh)[order]
            known = np.concatenate([known, missing])[order]
            if path is not None and len(rows):
                remember_arrays(path, {"positions": known, "features": rows})
        return rows[np.searchsorted(known, positions)]

    def missing(self, source: Source) -> int:
        """How many of its images nothing is kept of."""
        return len(source) - len(_read(self._path(source), len(source))[0])

    def _compute(self, source: Source, positions: Int64) -> Float32:
        model = cast(Any, self.model)
        device = next(model.parameters()).device
        parts, done = [np.zeros((0, 0), dtype=np.float32)], 0
        batches = evaluation_batches(View(source, positions), self.preprocess.pixels, self.batch, workers=self.workers)

        def features(images: Tensor) -> Tensor:
            x: Tensor = (self.compute or model.features)(self.preprocess.normalise(images))
            return x

        with closing(outputs(model, features, batches, device)) as computed:
            for x, labels in computed:  # (B, D')
                parts.append(x.float().cpu().numpy())
                done += len(labels)
                if self.progress is not None:
                    self.progress(done, len(positions))
        self.computed += done
        rows = np.concatenate(parts[1:] or parts)
        if not np.isfinite(rows).all():
            raise CheckpointError(
                f"the model's features of {source.name} hold NaN or infinity, expected finite numbers; "
                "its training may have diverged"
            )
        return rows

    def _path(self, source: Source) -> Path | None:
        return None if self.folder is None else self.folder / f"{self._key(source)}.npz"

    def _key(self, source: Source) -> str:
        device = next(self.model.parameters()).device.type
        parts = [__version__, self.made_by, device, source.fingerprint()]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:40]

    @cached_property
    def made_by(self) -> str:
        """See `made_by`."""
        return made_by(self.model, self.preprocess)


def made_by(model: nn.Module, preprocess: Preprocess) -> str:
    """What tells features of one model from those of another: 40 hexadecimal digits of its weights and preprocessing.

    `model` is without its head.
    """
    parts = [model_fingerprint(model), preprocess.to_dict()]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:40]


def features_folder() -> Path:
    """Where features are kept."""
    return cache_folder() / "features"


def _read(path: Path | None, size: int) -> tuple[Int64, Float32]:
    """Positions (n,), rising, and their features (n, D'); none where there is no file, or none that is whole."""
    nothing = np.zeros(0, dtype=np.int64), np.zeros((0, 0), dtype=np.float32)
    held = {} if path is None else recall_arrays(path)
    if not held:
        return nothing
    positions, rows = held["positions"], held["features"]
    fits = positions.ndim == 1 and rows.ndim == 2 and len(positions) == len(rows) > 0
    if not fits or positions.dtype != np.int64 or rows.dtype != np.float32 or positions.max() >= size:
        log.warning("%s holds something else; its features are computed again", path)
        return nothing
    return positions, rows
