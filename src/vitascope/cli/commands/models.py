"""`vitascope models`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vitascope.cli.console import Console
from vitascope.cli.options import Option, options_of
from vitascope.errors import ConfigError
from vitascope.fields import refuse_idle
from vitascope.models.config import BiTConfig, StemConfig, ViTConfig


@dataclass(frozen=True, kw_only=True)
class Models:
    """What is counted."""

    classes: int = 1000
    """Classes of the linear head that is counted."""
    starts: bool = False
    """Show weights to start from instead, which load by name: the published ones that are worth having."""
    fields: bool = False
    """Show instead what --model-fields takes for a ViT, a hybrid and a ResNet."""

    def __post_init__(self) -> None:
        if self.starts and self.fields:
            raise ConfigError("--starts and --fields are two tables; give one of them")
        if self.starts:
            refuse_idle(self, "starts are counted without a head", "classes")
        if self.fields:
            refuse_idle(self, "fields are not counted", "classes")


def run(asked: Models, console: Console) -> dict[str, Any]:
    """Shows the catalogue of models, of starts, or of a model's fields."""
    if asked.fields:
        return _fields(console)
    return _starts(console) if asked.starts else _models(asked.classes, console)


_OPTIONS = {"image_size", "classes", "dropout", "stochastic_depth"}
"""Fields that options of their own or the data decide."""


def _fields(console: Console) -> dict[str, Any]:
    kinds: dict[str, Any] = {"ViT": ViTConfig, "hybrid": StemConfig, "BiT": BiTConfig}
    told = {
        kind: [option for option in options_of(config) if option.name not in _OPTIONS] for kind, config in kinds.items()
    }
    titles = {"ViT": "a ViT", "hybrid": "a hybrid, besides: {stem: {NAME: VALUE}}", "BiT": "a BiT-ResNet"}
    for kind, options in told.items():
        rows = [[option.name, _default(option), _meaning(option)] for option in options]
        console.table(f"--model-fields of {titles[kind]}", ["name", "default", "meaning"], rows)
    console.say("For example: --model ViT-Ti/4 --model-fields.depth 6, or --model-fields '{depth: 6, heads: 4}'.")
    return {
        "fields": {
            kind: [{"name": o.name, "default": _default(o), "meaning": _meaning(o)} for o in options]
            for kind, options in told.items()
        }
    }


def _default(option: Option) -> str:
    return option.default or ("none" if option.value else "false")


def _meaning(option: Option) -> str:
    words = "" if "true" in option.choices else ", ".join(option.choices)
    return f"{option.text} One of {words}." if words else option.text


def _models(classes: int, console: Console) -> dict[str, Any]:
    from vitascope.models.catalogue import count_parameters, model_config, model_names
    from vitascope.models.config import ViTConfig

    result: dict[str, Any] = {}
    rows: list[list[Any]] = []
    for name in model_names():
        config = model_config(name, classes=classes)
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
    console.table(f"models, {classes} classes, 224 pixels", columns, rows)
    console.say("The patch number of a ViT is free: ViT-Ti/4 suits images of 32 pixels.")
    return {"models": result}


def _starts(console: Console) -> dict[str, Any]:
    from vitascope.checkpoints.starts import STARTS, USUAL_SIZE, speeds
    from vitascope.models.catalogue import count_parameters, forward_flops
    from vitascope.precision import processor

    measured = speeds(processor())
    result: list[dict[str, Any]] = []
    rows: list[list[Any]] = []
    for start in STARTS:
        gigaflops = round(forward_flops(start.config(start.counted_at)) / 1e9, 2)
        parameters = count_parameters(start.config())
        found = measured.get("ways", {}).get(start.name, {})
        rates = {way: found[f"{way}_per_second"]["median"] for way in ("predicted", "trained") if found}
        result.append(
            {
                "name": start.name,
                "family": start.family,
                "model": start.model,
                "parameters": parameters,
                "gflop": gigaflops,
                "counted_at": start.counted_at,
                "pixels": start.pixels,
                "trained_on": start.trained_on,
                "licence": start.licence,
                "top1": start.top1,
                "judged": start.judged,
                "source": start.source,
                "images_per_second": rates,
            }
        )
        top1 = "" if start.top1 is None else f"{start.top1:.1f} % {start.judged}"
        speed = " / ".join(f"{rate:.3g}" for rate in rates.values())
        counted = f"{gigaflops:.1f}" + (f" at {start.counted_at} px" if start.counted_at != USUAL_SIZE else "")
        size = [f"{parameters / 1e6:.1f}", counted, start.pixels]
        rows.append([start.name, *size, start.trained_on, start.licence, top1, start.source, speed])
    columns = ["name", "M parameters", f"GFLOP at {USUAL_SIZE} px", "pixels", "trained on", "licence"]
    console.table(
        "starts: vitascope finetune NAME DATA --out RUN",
        [*columns, "ImageNet-1k top-1", "says", "images/s and core, predicted / trained"],
        rows,
    )
    if measured:
        console.say(f"Images a second were measured on {measured['processor']}: {measured['measure']}.")
    return {"starts": result, "processor": measured.get("processor")}
