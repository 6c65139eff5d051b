"""Products in 8-bit whole numbers: NNCF's quantisation after training, and what it costs in accuracy.

LayerNorm, softmax and the head stay float: they are a hundredth of the work and the most easily hurt.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vitascope.checkpoints.checkpoint import Checkpoint
from vitascope.data.source import Source
from vitascope.errors import ExportError
from vitascope.inference.class_token import for_prediction
from vitascope.inference.engines.openvino import import_openvino
from vitascope.inference.quiet import quiet
from vitascope.optional import needed
from vitascope.streams import Stream, generator

_BATCH = 32


def import_nncf() -> Any:
    """The package; raises `ConfigError` that names the extra."""
    import_openvino()  # first, for its reports' sake
    with quiet():
        return needed("int8 needs NNCF", "openvino", "nncf")


def quantised(model: Any, checkpoint: Checkpoint, source: Source, samples: int) -> Any:
    """OpenVINO's `model` with int8 products, ranges taken from the first `samples` drawn images of `source`."""
    nncf = import_nncf()
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
def judged(engine: Callable[[Tensor], Tensor], checkpoint: Checkpoint, source: Source, samples: int) -> dict[str, Any]:
    """On `samples` images that did not calibrate, the share that keeps its label, and the shares of right labels."""
    positions = _drawn(source)[samples : 2 * samples]
    model = for_prediction(checkpoint.model)
    ours, theirs = [], []
    for images in _batches(checkpoint, source, positions):
        ours.append(model(images).argmax(1))
        logits = engine(images)
        if not logits.isfinite().all():
            raise ExportError("the quantised model's outputs are not finite (NaN or infinity); nothing was written")
        theirs.append(logits.argmax(1))
    float32, int8 = torch.cat(ours).numpy(), torch.cat(theirs).numpy()
    result: dict[str, Any] = {
        "calibration": {"data": source.name, "images": samples},
        "judged_on": len(positions),
        "same_label": float((float32 == int8).mean()),
    }
    if source.classes == checkpoint.labels:
        right = np.asarray(source.labels)[positions]
        result["top1"] = {"float32": float((float32 == right).mean()), "int8": float((int8 == right).mean())}
    return result


def _batches(checkpoint: Checkpoint, source: Source, positions: np.ndarray) -> Iterator[Tensor]:
    for first in range(0, len(positions), _BATCH):
        yield torch.stack([checkpoint.preprocess(source[int(i)]) for i in positions[first : first + _BATCH]])


def _drawn(source: Source) -> np.ndarray:
    """All positions in an order that is the same every time; classes may lie one after another in a source."""
    return generator(Stream.CALIBRATION, 0).permutation(len(source))


def _last_products(model: Any) -> list[str]:
    """The head: the product nearest to the output."""
    products = [node.get_friendly_name() for node in model.get_ordered_ops() if node.get_type_name() == "MatMul"]
    return products[-1:]
