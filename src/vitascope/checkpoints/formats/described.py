"""What descriptions of Hugging Face's transformers say of any model: GELU, labels, what outputs are, preprocessing."""

from __future__ import annotations

from typing import Any

from vitascope.checkpoints.checkpoint import Activation, Checkpoint
from vitascope.checkpoints.formats.raw import RawCheckpoint
from vitascope.errors import CheckpointError, ConfigError

GELU = {"gelu": "erf", "gelu_new": "tanh", "gelu_pytorch_tanh": "tanh", "quick_gelu": "quick"}
"""Its form by the name of `hidden_act`."""
WRITTEN_GELU = {"erf": "gelu", "tanh": "gelu_pytorch_tanh", "quick": "quick_gelu"}
_PROBLEMS = {"sigmoid": "multi_label_classification", "none": "regression"}


def activation_of(raw: RawCheckpoint, classes: int) -> Activation:
    """How logits become probabilities, as transformers' image-classification pipeline decides."""
    problem = raw.config.get("problem_type")
    if classes and problem == "regression":
        return "none"
    return "sigmoid" if problem == _PROBLEMS["sigmoid"] or classes == 1 else "softmax"


def outputs_said(checkpoint: Checkpoint) -> dict[str, Any]:
    """What a description says of a checkpoint's outputs: labels, and how logits become probabilities."""
    names = [str(label) for label in checkpoint.labels]
    problem = _PROBLEMS.get(checkpoint.activation)
    return {
        "id2label": {str(index): name for index, name in enumerate(names)},
        "label2id": {name: index for index, name in enumerate(names)},
        **({} if problem is None else {"problem_type": problem}),
    }


def preprocessor_said(checkpoint: Checkpoint) -> dict[str, Any]:
    """preprocessor_config.json; raises `CheckpointError` for preprocessing that it cannot say."""
    try:
        return checkpoint.preprocess.to_huggingface()
    except ConfigError as error:
        raise CheckpointError(f'format "huggingface" cannot hold the preprocessing: {error}') from error
