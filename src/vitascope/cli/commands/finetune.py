"""`vitascope finetune CHECKPOINT DATA --out RUN`."""

from __future__ import annotations

from typing import Any

from vitascope.cli.console import Console
from vitascope.cli.runs import Begin, show_run
from vitascope.recipes.recipe import FinetuneRecipe


def run(recipe: FinetuneRecipe, begin: Begin, console: Console) -> dict[str, Any]:
    """Fine-tunes, with the best of several rates where asked to."""
    from vitascope.recipes.finetune import finetune
    from vitascope.recipes.sweep import finetune_with_sweep

    tune = finetune_with_sweep if recipe.sweep else finetune
    return show_run(tune(recipe, **begin.how(console, "fine-tuning")), console)
