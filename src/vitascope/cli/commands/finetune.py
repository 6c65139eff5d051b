"""`vitascope finetune CHECKPOINT DATA --out RUN`."""

from __future__ import annotations

from typing import Any

from vitascope.cli.console import Console
from vitascope.cli.parser import Parser
from vitascope.cli.runs import add_run_arguments, refuse_early, run_arguments, show_run
from vitascope.recipes.presets import PRESETS
from vitascope.recipes.settings import FinetuneRecipe


def arguments(parser: Parser) -> None:
    """See `vitascope.cli.Command`."""
    parser.add_recipe(FinetuneRecipe, ("checkpoint", "data"), PRESETS[FinetuneRecipe], flags=("sweep",))
    add_run_arguments(parser)


def run(args: Any, parser: Parser, console: Console) -> dict[str, Any]:
    """See `vitascope.cli.Command`."""
    recipe = parser.recipe(args, FinetuneRecipe)
    refuse_early(recipe.data)
    from vitascope.recipes.finetune import finetune
    from vitascope.recipes.sweep import finetune_with_sweep

    begin = finetune_with_sweep if recipe.sweep else finetune
    model = begin(recipe, **run_arguments(args, console, "fine-tuning"))
    return show_run(model, console)
