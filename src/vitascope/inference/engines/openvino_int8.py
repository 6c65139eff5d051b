"""OpenVINO's products in 8-bit whole numbers: NNCF's quantisation after training.

LayerNorm, softmax and the head stay float: they are a hundredth of the work and the most easily hurt.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from vitascope.inference.engines.traced import quiet
from vitascope.optional import needed


def nncf_library() -> Any:
    """NNCF, after OpenVINO's `library`; raises `ConfigError` that names the extra."""
    with quiet():
        return needed("int8 needs NNCF", "openvino", "nncf")


def quantised(model: Any, images: np.ndarray) -> Any:
    """OpenVINO's `model` with int8 products, ranges taken from normalised float32 `images` (n, C, h, w)."""
    nncf = nncf_library()
    with quiet():
        return nncf.quantize(
            model,
            nncf.Dataset([image[None] for image in images]),
            preset=nncf.QuantizationPreset.MIXED,  # GELU's output is not symmetric
            model_type=nncf.ModelType.TRANSFORMER,
            subset_size=len(images),
            ignored_scope=nncf.IgnoredScope(names=_last_products(model)),
        )


def _last_products(model: Any) -> list[str]:
    """The head: the product nearest to the output."""
    products = [node.get_friendly_name() for node in model.get_ordered_ops() if node.get_type_name() == "MatMul"]
    return products[-1:]
