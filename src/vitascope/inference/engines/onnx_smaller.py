"""An ONNX file with weights of half the size, or with products in 8-bit whole numbers."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from vitascope.inference.contract import IMAGES

_PRODUCTS = ("MatMul", "Gemm", "Conv")


def halve(path: Path) -> None:
    """Makes it float16, with inputs and outputs as they were."""
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    onnx.save(convert_float_to_float16(onnx.load(str(path)), keep_io_types=True), str(path))


def quantise(path: Path, images: np.ndarray) -> None:
    """Makes its products int8, ranges taken from normalised float32 `images` (n, C, h, w), weights by column.

    LayerNorm, softmax and the head stay float: they are a hundredth of the work and the most easily hurt.
    """
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.left: Iterator[np.ndarray] = iter(images)

        def get_next(self) -> dict[str, Any] | None:
            image = next(self.left, None)
            return None if image is None else {IMAGES: image[None]}

    nodes = onnx.load(str(path), load_external_data=False).graph.node
    head = [node.name for node in nodes if node.op_type in _PRODUCTS][-1:]
    float32 = path.with_name("float32.onnx")
    path.rename(float32)
    root = logging.getLogger()  # where it advises to prepare the graph, which PyTorch's exporter has done
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        quantize_static(
            str(float32),
            str(path),
            Reader(),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,  # GELU's output is not symmetric
            weight_type=QuantType.QInt8,
            op_types_to_quantize=list(_PRODUCTS),
            nodes_to_exclude=head,
        )
    finally:
        root.setLevel(level)
        float32.unlink()
