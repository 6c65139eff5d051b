"""`vitascope models`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vitascope.cli.console import Console


@dataclass(frozen=True, kw_only=True)
class Models:
    """What is counted."""

    classes: int = 1000
    """Classes of the linear head that is counted."""


def run(asked: Models, console: Console) -> dict[str, Any]:
    """Shows the catalogue of models."""
    from vitascope.models.catalogue import count_parameters, model_config, model_names
    from vitascope.models.config import ViTConfig

    result: dict[str, Any] = {}
    rows: list[list[Any]] = []
    for name in model_names():
        config = model_config(name, classes=asked.classes)
        parameters = count_parameters(config)
        result[name] = {"parameters": parameters, "pixels_per_token": config.pixels_per_token}
        if isinstance(config, ViTConfig):
            kind = "hybrid" if config.stem else "ViT"
            sizes: list[Any] = [config.width, config.depth, config.heads, config.hidden, config.pixels_per_token]
        else:
            kind = "ResNet"
            sizes = [config.features, sum(config.units) * 3 + 2, "–", "–", config.pixels_per_token]
        rows.append([name, kind, parameters, *sizes])
    columns = ["name", "kind", "parameters", "width", "depth", "heads", "MLP", "pixels per token"]
    console.table(f"models, {asked.classes} classes, 224 pixels", columns, rows)
    console.say("The patch number of a ViT is free: ViT-Ti/4 suits images of 32 pixels.")
    return {"models": result}
