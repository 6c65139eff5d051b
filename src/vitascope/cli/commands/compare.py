"""`vitascope compare RUN RUN… [DATA]`."""

from __future__ import annotations

from itertools import takewhile
from typing import Any

from vitascope.cli.console import Console
from vitascope.cli.runs import checkpoint_names
from vitascope.data.open import recognise
from vitascope.errors import ConfigError
from vitascope.recipes.asked import Compare


def run(asked: Compare, console: Console) -> dict[str, Any]:
    """Judges, and shows what came of each and in what they differ."""
    from vitascope.checkpoints.locate import is_checkpoint
    from vitascope.recipes.compare import as_tables, compare
    from vitascope.recipes.contenders import contender

    paths = list(takewhile(is_checkpoint, asked.runs))
    data = asked.runs[len(paths) :]
    if len(paths) < 2 or len(data) > 1:
        what = f"{data[0]} is none" if len(paths) < 2 and data else f"got {' '.join(asked.runs) or 'nothing'}"
        raise ConfigError(f"{what}: expected two or more checkpoints or runs, then perhaps one DATA to judge them on")
    for named in data:
        recognise(named)
    contenders = [contender(path, name) for path, name in zip(paths, checkpoint_names(paths), strict=True)]
    compared = compare(
        contenders,
        *data,
        batch=asked.batch,
        engine=asked.engine,
        device=asked.device,
        progress=lambda name: console.counter(f"judging {name}"),
    )
    for title, columns, rows in as_tables(compared):
        console.table(title, columns, rows)
    for note in compared["notes"]:
        console.say(note)
    console.say("in brackets 95 % intervals, of differences by the images that one alone gets right")
    return compared
