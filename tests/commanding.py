"""Command lines in tests: what they say, and what the functions behind them are given."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vitascope.cli import COMMANDS, main
from vitascope.cli.arguments import Arguments
from vitascope.cli.commands import finetune, pretrain
from vitascope.recipes.recipe import FinetuneRecipe, PretrainRecipe

Run = Callable[..., tuple[int, str, str]]
"""Words → exit code, standard output, standard error; the fixture `run`."""


def refused(capsys: pytest.CaptureFixture[str], *words: str | Path) -> str:
    """The one line on standard error of a command line that ends with 2."""
    assert main([str(word) for word in words]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("vitascope")
    assert err.count("\n") == 1
    assert err.endswith("\n")
    assert "Traceback" not in err
    return err


def told(name: str, function: Callable[..., Any], *words: str | Path) -> list[Any]:
    """What a command's function is given."""
    given = Arguments(name, *COMMANDS[name], function).parse([str(word) for word in words])
    assert isinstance(given, list)
    return given


def pretrain_words(*words: str | Path) -> PretrainRecipe:
    """The recipe that a command line means."""
    recipe = told("pretrain", pretrain.run, *words)[0]
    assert isinstance(recipe, PretrainRecipe)
    return recipe


def finetune_words(*words: str | Path) -> FinetuneRecipe:
    """The recipe that a command line means."""
    recipe = told("finetune", finetune.run, *words)[0]
    assert isinstance(recipe, FinetuneRecipe)
    return recipe
