"""The model card: README.md of a checkpoint, generated from what training recorded."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from vitascope.checkpoints.checkpoint import Checkpoint
from vitascope.models.config import config_to_dict
from vitascope.version import __version__

_SECTIONS = ("task", "data", "recipe", "results", "checkpoint", "origin")
_SHOWN_LABELS = 40


def model_card(checkpoint: Checkpoint) -> str:
    """Markdown with the front matter that the Hugging Face Hub reads."""
    count = sum(p.numel() for p in checkpoint.model.parameters())
    lines = [
        "---",
        "library_name: vitascope",
        "pipeline_tag: image-classification",
        "tags: [vision-transformer, image-classification, vitascope]",
        "---",
        "",
        f"# {_title(checkpoint)}",
        "",
        f"{count:,} parameters. Written by vitascope {__version__}.",
        "",
        "```python",
        "import vitascope as vs",
        "",
        'checkpoint = vs.load("this/folder")',
        'print(vs.Predictor(checkpoint)(["photo.jpg"]))',
        "```",
        "",
    ]
    named = [*_SECTIONS, *(name for name in checkpoint.card if name not in _SECTIONS)]
    for name in named:
        if checkpoint.card.get(name):
            lines += [f"## {name.capitalize()}", "", *_body(checkpoint.card[name]), ""]
    lines += ["## Model", "", *_body(config_to_dict(checkpoint.config)), ""]
    lines += ["## Preprocessing", "", *_body(checkpoint.preprocess.to_dict()), ""]
    if checkpoint.activation != "softmax":
        lines += ["## Probabilities", "", checkpoint.activation, ""]
    lines += [f"## {len(checkpoint.labels)} classes", "", _classes(checkpoint.labels), ""]
    return "\n".join(lines)


def _title(checkpoint: Checkpoint) -> str:
    kind = "BiT-ResNet" if config_to_dict(checkpoint.config)["architecture"] == "bit" else "Vision Transformer"
    height, width = checkpoint.preprocess.size
    return f"{kind} for {checkpoint.config.classes} classes at {height}×{width}"


def _body(value: Any) -> list[str]:
    if not isinstance(value, Mapping):
        return [_text(value)]
    return ["| | |", "|-|-|", *(f"| {name} | {text} |" for name, text in _flat(value))]


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield _text(f"{prefix}{name}"), _text(value)


def _text(value: Any) -> str:
    # Names of classes and folders are the user's; nothing of them may become markup.
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = " ".join(text.split())
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return "".join(f"\\{c}" if c in "|`*_[]#\\" else c for c in text)


def _classes(labels: tuple[str, ...]) -> str:
    shown = ", ".join(_text(label) for label in labels[:_SHOWN_LABELS])
    return shown + (f", … and {len(labels) - _SHOWN_LABELS} more" if len(labels) > _SHOWN_LABELS else "")
