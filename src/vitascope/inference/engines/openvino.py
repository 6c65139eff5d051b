"""OpenVINO: the model converted from PyTorch's exported graph, fused and laid out for this CPU."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vitascope.checkpoints.checkpoint import Checkpoint
from vitascope.inference.engines.openvino_int8 import nncf_library, quantised
from vitascope.inference.engines.pytorch import Engine
from vitascope.inference.engines.traced import traceable
from vitascope.inference.format_names import CALIBRATED
from vitascope.optional import needed

FILES = ("model.xml", "model.bin")
"""Of an export: first what is opened."""
HINTS = {"float32": "f32", "bfloat16": "bf16"}
"""Names of our precisions; without one OpenVINO takes bfloat16 wherever the processor has it."""


def openvino(checkpoint: Checkpoint, device: torch.device, precision: str, batch: int) -> Engine:
    """The checkpoint's model on the CPU; raises `ConfigError` without the extra."""
    return OpenVinoEngine(convert(checkpoint), precision)


class OpenVinoEngine:
    """Runs a converted model with as many threads as PyTorch would take."""

    def __init__(self, model: Any, precision: str) -> None:
        settings = {
            "INFERENCE_PRECISION_HINT": HINTS[precision],
            "PERFORMANCE_HINT": "LATENCY",  # all threads work on one batch
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        }
        self._request = library().compile_model(model, "CPU", settings).create_infer_request()
        self._lock = threading.Lock()

    def __call__(self, images: Tensor) -> Tensor:
        """See `Engine`."""
        with self._lock:
            result = self._request.infer([images.contiguous().numpy()], share_inputs=True)
        return torch.from_numpy(result[0])


def library(precision: str = "float32") -> Any:
    """The package; raises `ConfigError` that names the extra, of what int8 needs besides too."""
    # Imported first, it reports every use to its makers unless a user has declined; without it OpenVINO stays silent.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    package = needed("this needs OpenVINO", "openvino", "openvino")
    if precision == CALIBRATED:
        nncf_library()
    return package


def convert(checkpoint: Checkpoint) -> Any:
    """The checkpoint's model as OpenVINO's, float32, for any batch of images of the checkpoint's size."""
    ov = library()
    with traceable(checkpoint) as (model, images, shapes):
        converted = ov.convert_model(torch.export.export(model, images, **shapes))
    converted.inputs[0].get_tensor().set_names({"images"})
    converted.outputs[0].get_tensor().set_names({"logits"})
    return converted


def write(checkpoint: Checkpoint, path: Path, precision: str = "float32", images: np.ndarray | None = None) -> None:
    """The checkpoint's model as `model.xml` and `model.bin`; int8 takes its ranges from `images` (n, C, h, w).

    For bfloat16 weights are written in 16 bits, float16, which have three more than the products take of them.
    """
    model = convert(checkpoint)
    if images is not None:
        model = quantised(model, images)
    library().save_model(model, path, compress_to_fp16=precision == "bfloat16")


def read(path: Path, precision: str = "float32") -> Engine:
    """The engine of an exported `model.xml`; raises what OpenVINO raises."""
    return OpenVinoEngine(library().Core().read_model(path), precision if precision in HINTS else "float32")
