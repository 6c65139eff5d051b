"""`vitascope pretrain DATA --model NAME --out RUN`."""

from __future__ import annotations

from typing import Any

from vitascope.cli.console import Console
from vitascope.cli.parser import Parser
from vitascope.cli.runs import add_run_arguments, refuse_early, run_arguments, show_run
from vitascope.recipes.presets import PRESETS
from vitascope.recipes.settings import PretrainRecipe


def arguments(parser: Parser) -> None:
    """See `vitascope.cli.Command`."""
    parser.add_recipe(PretrainRecipe, ("data",), PRESETS[PretrainRecipe])
    add_run_arguments(parser)


def run(args: Any, parser: Parser, console: Console) -> dict[str, Any]:
    """See `vitascope.cli.Command`."""
    recipe = parser.recipe(args, PretrainRecipe)
    refuse_early(recipe.data)
    from vitascope.recipes.pretrain import pretrain

    model = pretrain(recipe, **run_arguments(args, console, "pre-training"))
    return show_run(model, console)
