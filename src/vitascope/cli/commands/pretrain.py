"""`vitascope pretrain DATA --model NAME --out RUN`."""

from __future__ import annotations

from typing import Any

from vitascope.cli.console import Console
from vitascope.cli.runs import Begin, show_run
from vitascope.recipes.recipe import PretrainRecipe


def run(recipe: PretrainRecipe, begin: Begin, console: Console) -> dict[str, Any]:
    """Pre-trains."""
    from vitascope.recipes.pretrain import pretrain

    return show_run(pretrain(recipe, **begin.how(console, "pre-training")), console)
