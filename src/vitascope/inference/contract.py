"""What an exported graph takes and gives: the names that whoever runs it has to know.

A graph for one photograph:

=================  ==================  ==========================================================================
`image`            uint8 (H, W, 3)     RGB, of any size, decoded and turned upright; the graph resizes, crops and
                                       normalises. (H, W, C) for models of another count of channels than 1 or 3.
`logits`           float32 (1, K)      as the model gives them; features of a model without a head
`probabilities`    float32 (1, K)      by softmax, or label by label
`label`            int64 (1,)          place of the likeliest label
`set`              bool (1, K)         which labels are in the prediction set, where the checkpoint has such
`known`            bool (1,)           with it: false says "none of these"
`rollout`          float32 (1, r, c)   by option, of a ViT: share of each patch in what the head reads
=================  ==================  ==========================================================================

A graph for a batch takes `images`, float32 (B, C, h, w) as preprocessing makes them, and gives `logits` (B, K).

Both carry the metadata of `facts`, each value a JSON text.
"""

from __future__ import annotations

import json
from typing import Any, Protocol

from vitascope.data.preprocess import Preprocess
from vitascope.evaluation.sets import PredictionSets
from vitascope.inference.format_names import Form
from vitascope.version import __version__

IMAGE, IMAGES = "image", "images"
LOGITS, PROBABILITIES, LABEL, SET, KNOWN, ROLLOUT = "logits", "probabilities", "label", "set", "known", "rollout"


class Described(Protocol):
    """A checkpoint, or what was exported of one."""

    @property
    def preprocess(self) -> Preprocess: ...
    @property
    def labels(self) -> tuple[str, ...]: ...
    @property
    def activation(self) -> str: ...
    @property
    def sets(self) -> PredictionSets | None: ...


def facts(model: Described) -> dict[str, str]:
    """Metadata: "labels", "preprocess" (of `Preprocess.to_dict`), "activation", "sets" (or null), "written_by"."""
    values: dict[str, Any] = {
        "labels": model.labels,
        "preprocess": model.preprocess.to_dict(),
        "activation": model.activation,
        "sets": None if model.sets is None else model.sets.as_json(),
        "written_by": f"vitascope {__version__}",
    }
    return {name: json.dumps(value) for name, value in values.items()}


def classifies(model: Described) -> bool:
    """Whether its outputs become probabilities: not of a model without a head, nor of a regression."""
    return bool(model.labels) and model.activation != "none"


def input_of(preprocess: Preprocess, form: Form) -> dict[str, Any]:
    """What goes in, as `export.json` says it."""
    if form == "batch":
        return {"name": IMAGES, "type": "float32", "shape": ["batch", preprocess.channels, *preprocess.size]}
    return {"name": IMAGE, "type": "uint8", "shape": ["height", "width", given(preprocess)]}


def given(preprocess: Preprocess) -> int:
    """Channels of a photograph's array: of a grey model RGB too, which the graph makes grey."""
    return 3 if preprocess.channels == 1 else preprocess.channels
