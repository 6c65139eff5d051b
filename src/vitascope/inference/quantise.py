"""Products in 8-bit whole numbers: NNCF's quantisation after training, and what it costs in accuracy.

LayerNorm, softmax and the head stay float: they are a hundredth of the work and the most easily hurt.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from vitascope.checkpoints.checkpoint import Checkpoint
from vitascope.data.copies import digests
from vitascope.data.source import Source
from vitascope.errors import ExportError
from vitascope.inference.class_token import for_prediction
from vitascope.inference.engines import openvino
from vitascope.inference.engines.pytorch import Engine
from vitascope.inference.engines.traced import quiet
from vitascope.optional import needed
from vitascope.streams import Stream, generator

_BATCH = 32


def library() -> Any:
    """NNCF; raises `ConfigError` that names the extra."""
    openvino.library()  # first, for its reports' sake
    with quiet():
        return needed("int8 needs NNCF", "openvino", "nncf")


def quantised(model: Any, checkpoint: Checkpoint, source: Source, samples: int) -> Any:
    """OpenVINO's `model` with int8 products, ranges taken from the first `samples` drawn images of `source`."""
    nncf = library()
    images = [checkpoint.preprocess(source[int(i)])[None].numpy() for i in _drawn(source)[:samples]]
    with quiet():
        return nncf.quantize(
            model,
            nncf.Dataset(images),
            preset=nncf.QuantizationPreset.MIXED,  # GELU's output is not symmetric
            model_type=nncf.ModelType.TRANSFORMER,
            subset_size=samples,
            ignored_scope=nncf.IgnoredScope(names=_last_products(model)),
        )


@torch.no_grad()
def judged(engine: Engine, checkpoint: Checkpoint, source: Source, samples: int) -> dict[str, Any]:
    """On `samples` images that did not calibrate, the share that keeps its label, and the shares of right labels.

    "trained_on" is how many of them the checkpoint is known to have been trained on; None where nothing is known.
    """
    positions = _drawn(source)[samples : 2 * samples]
    model = for_prediction(checkpoint.model)
    labels: dict[str, list[Tensor]] = {"float32": [], "int8": []}
    for first in range(0, len(positions), _BATCH):
        images = torch.stack([checkpoint.preprocess(source[int(i)]) for i in positions[first : first + _BATCH]])
        logits = engine(images)
        if not logits.isfinite().all():
            raise ExportError("the quantised model's outputs are not finite (NaN or infinity); nothing was written")
        labels["float32"].append(model(images).argmax(1))
        labels["int8"].append(logits.argmax(1))
    given = {name: torch.cat(parts).numpy() for name, parts in labels.items()}
    shown, marks = checkpoint.shown, digests(source)
    result: dict[str, Any] = {
        "calibration": {"data": source.name, "images": samples},
        "judged_on": len(positions),
        "trained_on": None,
        "same_label": float((given["float32"] == given["int8"]).mean()),
    }
    if shown is not None and shown.known and marks is not None:
        result["trained_on"] = int(np.isin(marks[positions], shown.trained).sum())
    if source.classes and source.classes == checkpoint.labels and not source.several:
        right = np.asarray(source.labels)[positions]
        result["top1"] = {name: float((right == labels).mean()) for name, labels in given.items()}
    return result


def _drawn(source: Source) -> np.ndarray:
    """All positions in an order that is the same every time; classes may lie one after another in a source."""
    return generator(Stream.CALIBRATION, 0).permutation(len(source))


def _last_products(model: Any) -> list[str]:
    """The head: the product nearest to the output."""
    products = [node.get_friendly_name() for node in model.get_ordered_ops() if node.get_type_name() == "MatMul"]
    return products[-1:]
