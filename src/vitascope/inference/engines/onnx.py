"""ONNX Runtime, on the graph that PyTorch's exporter writes."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vitascope.checkpoints.checkpoint import Checkpoint
from vitascope.errors import ConfigError
from vitascope.inference.engines.pytorch import Engine
from vitascope.inference.engines.traced import traceable
from vitascope.optional import needed

OPSET = 18
FILES = ("model.onnx",)
"""Of an export: first what is opened."""
_ONE_FILE = 1_800_000_000  # bytes of weights; ONNX files end at 2 GiB, beyond it weights lie beside them


def onnx(checkpoint: Checkpoint, device: torch.device, precision: str, batch: int) -> Engine:
    """The checkpoint's model on the CPU, float32; raises `ConfigError` without the extra."""
    if precision != "float32":
        raise ConfigError(f"engine onnx computes float32 only, not {precision}; choose engine openvino or eager")
    library()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, *FILES)
        write(checkpoint, path)
        return read(path)


def library() -> Any:
    """Raises `ConfigError` that names the extra, where it is absent."""
    return needed("this needs ONNX and its runtime", "onnx", "onnxruntime", "onnx", "onnxscript")


def write(checkpoint: Checkpoint, path: Path, opset: int = OPSET) -> None:
    """The checkpoint's model as an ONNX file, for any batch of images of the checkpoint's size."""
    with traceable(checkpoint) as (model, images, shapes):
        names: dict[str, Any] = {"input_names": ["images"], "output_names": ["logits"]}
        program = torch.onnx.export(model, images, dynamo=True, opset_version=opset, verbose=False, **names, **shapes)
        assert program is not None
        weights = sum(p.numel() * p.element_size() for p in checkpoint.model.parameters())
        program.save(str(path), external_data=weights > _ONE_FILE)


def read(path: Path) -> Engine:
    """The engine of a `model.onnx`, with as many threads as PyTorch would take; raises what ONNX Runtime raises."""
    onnxruntime = library()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    # Otherwise its threads go on spinning and take the processor from whatever comes next.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def run(images: Tensor) -> Tensor:
        return torch.from_numpy(session.run(None, {"images": images.numpy()})[0])

    return run
