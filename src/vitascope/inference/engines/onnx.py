"""ONNX Runtime, on the graph that PyTorch's exporter writes."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vitascope.checkpoints.checkpoint import Checkpoint
from vitascope.errors import ConfigError
from vitascope.inference.class_token import for_prediction
from vitascope.inference.engines.eager import Engine
from vitascope.inference.quiet import quiet
from vitascope.optional import needed

OPSET = 18
_ONE_FILE = 1_800_000_000  # bytes of weights; ONNX files end at 2 GiB, beyond it weights lie beside them


def onnx(checkpoint: Checkpoint, device: torch.device, precision: str, batch: int) -> Engine:
    """The checkpoint's model on the CPU, float32; raises `ConfigError` without the extra."""
    if precision != "float32":
        raise ConfigError(f"engine onnx computes float32 only, not {precision}; choose engine openvino or eager")
    need_onnx()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        write(checkpoint, path)
        return read(path)


def need_onnx() -> None:
    """Raises `ConfigError` that names the extra, where it is absent."""
    needed("this needs ONNX and its runtime", "onnx", "onnx", "onnxruntime", "onnxscript")


def write(checkpoint: Checkpoint, path: Path, opset: int = OPSET) -> None:
    """The checkpoint's model as an ONNX file, for any batch of images of the checkpoint's size."""
    model, preprocess = for_prediction(checkpoint.model), checkpoint.preprocess
    # Two images: the exporter takes a batch of 1 for a constant. Run once before, so that computed positions are
    # constants of the graph and not the exporter's placeholders in the model's memory.
    images = torch.zeros(2, preprocess.channels, *preprocess.size)
    batch = torch.export.Dim("batch", min=1)
    with torch.no_grad(), quiet():
        model(images)
        program = torch.onnx.export(
            model,
            (images,),
            dynamo=True,
            input_names=["images"],
            output_names=["logits"],
            dynamic_shapes=({0: batch},),
            opset_version=opset,
            verbose=False,
        )
        assert program is not None
        weights = sum(p.numel() * p.element_size() for p in checkpoint.model.parameters())
        program.save(str(path), external_data=weights > _ONE_FILE)


def read(path: Path) -> Engine:
    """The engine of a `model.onnx`, with as many threads as PyTorch would take; raises what ONNX Runtime raises."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    # Otherwise its threads go on spinning and take the processor from whatever comes next.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session: Any = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def run(images: Tensor) -> Tensor:
        return torch.from_numpy(session.run(None, {"images": images.numpy()})[0])

    return run
