"""Names of export formats, free of torch so that a command line can list them."""

from typing import Literal

Form = Literal["image", "batch"]
"""Of the input: one photograph of any size, or images that are resized already."""
FormatName = Literal["onnx", "openvino", "pt2", "web"]
ExportPrecision = Literal["float32", "float16", "bfloat16", "int8"]
PRECISIONS: dict[FormatName, tuple[ExportPrecision, ...]] = {
    "onnx": ("float32", "float16", "int8"),
    "openvino": ("float32", "bfloat16", "int8"),
    "pt2": ("float32",),
    "web": ("float32", "float16"),
}
"""By format, what its products may be computed in."""
PHOTOGRAPHS: tuple[FormatName, ...] = ("onnx", "web")
"""Formats that take one photograph of any size, unless told otherwise."""
SAMPLES = 300
"""Images that calibrate."""
DROP = 1.0
"""Largest loss of accuracy that is accepted, in percentage points."""
OPSET = 18
"""Version of the ONNX operators."""
CALIBRATED = "int8"
"""The precision that takes images to find its ranges."""
