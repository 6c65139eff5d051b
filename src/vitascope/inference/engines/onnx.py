"""ONNX Runtime, on the graph that PyTorch's exporter writes."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vitascope.checkpoints.checkpoint import Checkpoint
from vitascope.data.preprocess import Preprocess
from vitascope.errors import ConfigError
from vitascope.inference.contract import IMAGE, IMAGES, LOGITS, facts, given
from vitascope.inference.engines.onnx_smaller import halve, quantise
from vitascope.inference.engines.pytorch import Engine
from vitascope.inference.engines.traced import Further, traceable
from vitascope.inference.format_names import OPSET, Form
from vitascope.inference.photograph import check_photographs, take_photographs
from vitascope.optional import needed

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


def library(precision: str = "float32") -> Any:
    """The runtime, the same for every precision; raises `ConfigError` that names the extra."""
    return needed("this needs ONNX and its runtime", "onnx", "onnxruntime", "onnx", "onnxscript")


def write(
    checkpoint: Checkpoint,
    path: Path,
    precision: str = "float32",
    images: np.ndarray | None = None,
    *,
    opset: int = OPSET,
    form: Form = "batch",
    further: Further | None = None,
) -> None:
    """The checkpoint's model as an ONNX file of a form of `contract.py`; a `further` output is of one photograph only.

    int8 takes its ranges from normalised `images` (n, C, h, w). Raises `ConfigError`.
    """
    weights = sum(p.numel() * p.element_size() for p in checkpoint.model.parameters())
    if precision != "float32" and weights > _ONE_FILE:
        raise ConfigError(f"a model of {weights / 1e9:.1f} GB is written to ONNX in float32 only, not in {precision}")
    if form == "image":
        check_photographs(checkpoint.preprocess)
    elif further:
        raise ConfigError(f"{further.name} is given of one photograph, not of a batch; choose --input image")
    with traceable(checkpoint, single=form == "image", further=further) as (model, example, shapes):
        given_back = [LOGITS, further.name] if further else [LOGITS]
        names: dict[str, Any] = {"input_names": [IMAGES], "output_names": given_back}
        program = torch.onnx.export(model, example, dynamo=True, opset_version=opset, verbose=False, **names, **shapes)
        assert program is not None
        # What each operator comes from, with paths of this machine: ten times a small model's size, of use to nobody.
        for node in program.model.graph.all_nodes():
            node.metadata_props.clear()
        program.model.metadata_props.update(facts(checkpoint))
        program.save(str(path), external_data=weights > _ONE_FILE)
        if precision == "float16":
            halve(path)
        elif images is not None:
            quantise(path, images)
    if form == "image":
        take_photographs(path, checkpoint)


def read(path: Path, precision: str = "float32") -> Engine:
    """The engine of a `model.onnx` for batches; raises what ONNX Runtime raises."""
    opened = session(path)

    def run(images: Tensor) -> Tensor:
        return torch.from_numpy(opened.run([LOGITS], {IMAGES: images.numpy()})[0])

    return run


def read_photographs(path: Path, preprocess: Preprocess) -> Engine:
    """The engine of a `model.onnx` for photographs, one after another; raises what ONNX Runtime raises.

    It is given pixels of the model's size, of which `images` were made, and leaves them as they are.
    """
    opened = session(path)

    def run(images: Tensor) -> Tensor:
        pixels = preprocess.restored(images).permute(0, 2, 3, 1).numpy()  # (B, h, w, C)
        if preprocess.channels != given(preprocess):
            pixels = pixels.repeat(given(preprocess), axis=3)
        rows = [opened.run([LOGITS], {IMAGE: image})[0] for image in pixels]
        return torch.from_numpy(np.concatenate(rows))

    return run


def session(model: Path | bytes) -> Any:
    """ONNX Runtime's, of a file or its bytes, with as many threads as PyTorch would take; raises what that raises."""
    onnxruntime = library()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    # Otherwise its threads go on spinning and take the processor from whatever comes next.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(
        str(model) if isinstance(model, Path) else model, options, providers=["CPUExecutionProvider"]
    )
