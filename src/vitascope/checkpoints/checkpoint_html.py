"""A checkpoint as a notebook shows it: the model, what it tells apart, what it learned from and how right it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from vitascope import notebook
from vitascope.data.preprocess import Preprocess
from vitascope.evaluation.interval import figures
from vitascope.models.catalogue import architecture_name, count_parameters
from vitascope.models.config import ModelConfig, ViTConfig
from vitascope.wording import count, duration, some

_TOLD = {"task": "made by", "data": "learned from", "checkpoint": "began with"}


def checkpoint_html(
    config: ModelConfig,
    preprocess: Preprocess,
    labels: Sequence[str],
    activation: str,
    card: Mapping[str, Any],
) -> str:
    """Its model's name above a table."""
    name = architecture_name(config) if isinstance(config, ViTConfig) else "BiT-ResNet"
    height, width = preprocess.size
    rows = [
        ("parameters", f"{count_parameters(config):,}"),
        ("images", f"{height} × {width} pixels, {count(preprocess.channels, 'channel')}"),
        ("head", f"{count(len(labels), 'class')}: {some(labels)}" if labels else "none; a start to fine-tune"),
    ]
    rows += [] if activation == "softmax" else [("probabilities", activation)]
    rows += [(told, card[key]) for key, told in _TOLD.items() if isinstance(card.get(key), str)]
    results = card.get("results")
    return notebook.titled(
        name, notebook.table(("", ""), [*rows, *_results(results if isinstance(results, dict) else {})])
    )


def judgements(results: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What a card's results say of images that the model had not learned, by which those were, the best last."""
    left_out = {key.removeprefix("loo_"): value for key, value in results.items()}
    honest = left_out != results and not results.get("trained_on")  # else the features had learned them
    judged: dict[str, dict[str, Any]] = {"left out, each in turn": left_out} if honest else {}
    judged |= {part: results[part] for part in ("validation", "test") if isinstance(results.get(part), dict)}
    return {part: found for part, found in judged.items() if {"images", "loss"} <= found.keys()}


def _results(results: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for part, found in judgements(results).items():
        chosen = ", chosen on" if found.get("chosen_on") else ""
        yield f"{part}{chosen}", "\n".join(f"{name} {text}" for name, text in figures(found).items())
    if isinstance(results.get("seconds"), int | float):
        yield "took", duration(results["seconds"])
