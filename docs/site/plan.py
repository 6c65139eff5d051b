"""The order of the site: titles, and where each page lies."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from vitascope.cli import COMMANDS

README_PARTS = {
    "Your own photographs": "photographs.md",
    "From photographs without labels": "without_labels.md",
    "Look inside": "look_inside.md",
    "Compare: ViT or ConvNet for my data?": "compare.md",
    "In Python": "python.md",
    "Commands": "commands.md",
    "The paper, file by file": "paper_files.md",
    "Results so far": "results.md",
    "Speed": "speed.md",
}
"""Section of README.md → the page that it is here."""

NAV: dict[str, Any] = {
    "Start": "index.md",
    "Tutorials": {
        "Your photographs": "docs/your_photographs.md",
        "Read the paper with the code": "docs/step_by_step.md",
        "Notebook: the first classifier": "notebooks/first_classifier.md",
        "Notebook: patch by patch": "notebooks/patch_by_patch.md",
    },
    "How to": {
        "Photographs, command by command": "photographs.md",
        "Train in one command": "docs/train.md",
        "Teach in seconds": "docs/teach.md",
        "Read a report": "docs/report.md",
        "Bring data of any form": "docs/data.md",
        "Start without labels": "without_labels.md",
        "Look inside": "look_inside.md",
        "Compare models on your data": "compare.md",
        "Predict fast, and export": "docs/inference.md",
        "Serve, watch and deploy": "docs/serve.md",
        "Use weights of others": "docs/checkpoints.md",
        "Fit into memory": "docs/memory.md",
        "From Python": "python.md",
    },
    "Reference": {
        "Which option first": "docs/reference/first.md",
        "Commands": "commands.md",
        "Every option": {
            "How values are written": "docs/reference/commands.md",
            **{name: f"docs/reference/commands/{name.replace(' ', '-')}.md" for name in COMMANDS},
        },
        "Presets": "docs/reference/presets.md",
        "Python": "docs/reference/python.md",
        "The paper, file by file": "paper_files.md",
        "Architecture": "docs/architecture.md",
        "Security": "SECURITY.md",
        "Contributing": "CONTRIBUTING.md",
        "Changes": "CHANGELOG.md",
    },
    "Results": {
        "Results so far": "results.md",
        "The paper, table by table": "docs/paper.md",
        "What was tried, what failed": "results/README.md",
        "Gallery": "docs/gallery.md",
        "ViT beside ResNet": "docs/comparison.md",
        "Speed": "speed.md",
    },
}


def places_of(part: Any) -> Iterator[str]:
    """Where the pages of a part of the order lie."""
    if isinstance(part, str):
        yield part
    else:
        for inner in part.values():
            yield from places_of(inner)


def with_the_rest(places: Iterable[str]) -> dict[str, Any]:
    """The order, with pages of docs/ that it does not name at the end of the how-to pages."""
    named = set(places_of(NAV))
    rest = {place.rpartition("/")[2].removesuffix(".md").replace("_", " ").capitalize(): place for place in places}
    return {**NAV, "How to": {**NAV["How to"], **{title: place for title, place in rest.items() if place not in named}}}
