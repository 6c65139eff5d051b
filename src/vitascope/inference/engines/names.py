"""Names of the engines, free of torch so that a command line can list them."""

from typing import Literal, get_args

EngineName = Literal["auto", "eager", "compiled", "openvino", "onnx"]
ENGINES: tuple[EngineName, ...] = get_args(EngineName)
