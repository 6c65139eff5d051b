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
_HEAD = """---
library_name: vitascope
pipeline_tag: {task}
tags: [vision-transformer, {task}, vitascope]
{license}---

# {kind} {head} at {height}×{width}

{count:,} parameters. Written by vitascope {version}.

```python
import vitascope as vs

checkpoint = vs.load("{place}")
{use}
```

"""
_PREDICTS = 'print(vs.Predictor(checkpoint)(["photo.jpg"]))'
_SEES = 'features = checkpoint.model.features(checkpoint.preprocess("photo.jpg")[None])  # (1, D); a start to fine-tune'


def model_card(checkpoint: Checkpoint, place: str = "this/folder", license: str = "") -> str:
    """Markdown with the front matter that the Hugging Face Hub reads; `place` is what `load` is given."""
    config, labels = config_to_dict(checkpoint.config), checkpoint.labels
    height, width = checkpoint.preprocess.size
    head = _HEAD.format(
        kind="BiT-ResNet" if config["architecture"] == "bit" else "Vision Transformer",
        task="image-classification" if labels else "image-feature-extraction",
        head=f"for {len(labels)} classes" if labels else "without a head",
        use=_PREDICTS if labels else _SEES,
        height=height,
        width=width,
        count=sum(p.numel() for p in checkpoint.model.parameters()),
        version=__version__,
        place=place,
        license=f"license: {json.dumps(license)}\n" if license else "",
    )
    known = {name: checkpoint.card.get(name) for name in _SECTIONS}
    told = {name.capitalize(): value for name, value in (known | checkpoint.card).items() if value}
    told |= {"Model": config, "Preprocessing": checkpoint.preprocess.to_dict()}
    if checkpoint.activation != "softmax":
        told["Probabilities"] = checkpoint.activation
    bodies = [f"## {title}\n\n{_body(value)}\n" for title, value in told.items()]
    shown = ", ".join(_text(label) for label in labels[:_SHOWN_LABELS])
    more = f", … and {len(labels) - _SHOWN_LABELS} more" if len(labels) > _SHOWN_LABELS else ""
    classes = [f"## {len(labels)} classes\n\n{shown}{more}\n"] if labels else []
    return head + "\n".join([*bodies, *classes])


def _body(value: Any) -> str:
    if not isinstance(value, Mapping):
        return _text(value)
    return "\n".join(["| | |", "|-|-|", *(f"| {name} | {text} |" for name, text in _flat(value))])


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, Mapping) and len(value) > _SHOWN_LABELS:
            yield _text(f"{prefix}{name}"), f"{len(value)} entries, in config.json"
        elif isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield _text(f"{prefix}{name}"), _text(value)


def _text(value: Any) -> str:
    # Names of classes and folders are the user's; nothing of them may become markup.
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = " ".join(text.split())
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return "".join(f"\\{c}" if c in "|`*_[]#\\" else c for c in text)
