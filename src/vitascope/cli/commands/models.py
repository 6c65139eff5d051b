"""`vitascope models`."""

from __future__ import annotations

from typing import Any

from vitascope.cli.console import Console
from vitascope.cli.parser import Parser


def arguments(parser: Parser) -> None:
    """See `vitascope.cli.Command`."""
    parser.add("--classes", type=int, default=1000, help="classes of the linear head that is counted")


def run(args: Any, parser: Parser, console: Console) -> dict[str, Any]:
    """See `vitascope.cli.Command`."""
    from vitascope.models.catalogue import count_parameters, model_config, model_names
    from vitascope.models.config import ViTConfig

    result: dict[str, Any] = {}
    rows: list[list[Any]] = []
    for name in model_names():
        config = model_config(name, classes=args.classes)
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
    console.table(f"models, {args.classes} classes, 224 pixels", columns, rows)
    console.say("The patch number of a ViT is free: ViT-Ti/4 suits images of 32 pixels.")
    return {"models": result}
