"""Tables for terminals of any width: columns where they are legible, otherwise a paragraph for each row."""

from __future__ import annotations

from collections.abc import Sequence

from rich.box import SIMPLE, Box
from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

_BETWEEN = 3
"""Columns from one column to the next."""
_LEGIBLE = 24
"""Columns that a text of several words has at least, where it is longer."""


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], width: int | None, *, plain: bool) -> RenderableType:
    """Rows of texts under `columns`, numbers to the right; `width` None is as wide as it needs to be."""
    numeric = [
        bool(rows) and all(row[n][:1].isdigit() or row[n][:1] in "-–" for row in rows) for n, _ in enumerate(columns)
    ]
    natural, least = zip(*(_widths(n, columns, rows, numeric[n]) for n in range(len(columns))), strict=True)
    widths = list(natural)
    if width is not None:
        room = width - _BETWEEN * len(columns) + 1
        while sum(widths) > room:
            spare = [have - need for have, need in zip(widths, least, strict=True)]
            if max(spare) <= 0:
                return _paragraphs(columns, rows, named=numeric[0])
            widest = max((n for n in range(len(widths)) if spare[n] > 0), key=lambda n: widths[n])
            widths[widest] -= 1
    box = Box(str(SIMPLE).replace("─", "-"), ascii=True) if plain else SIMPLE
    drawn = Table(box=box, pad_edge=False)
    for name, right, taken in zip(columns, numeric, widths, strict=True):
        drawn.add_column(escape(name), justify="right" if right else "left", overflow="fold", width=taken)
    for row in rows:
        drawn.add_row(*map(escape, row))
    return drawn


def _widths(n: int, columns: Sequence[str], rows: Sequence[Sequence[str]], numeric: bool) -> tuple[int, int]:
    """What column `n` takes in one line, and what it is legible in: no word is broken, no number from its unit."""
    texts = [columns[n], *(row[n] for row in rows)]
    whole = max(map(cell_len, texts))
    words = max((cell_len(word) for text in texts for word in text.split()), default=0)
    sentences = any(text.count(" ") > 2 for text in texts[1:])
    if numeric and not sentences:
        words = max(words, *(cell_len(text) for text in texts[1:]))
    return whole, min(whole, max(words, _LEGIBLE) if sentences else words)


def _paragraphs(columns: Sequence[str], rows: Sequence[Sequence[str]], *, named: bool) -> RenderableType:
    """The first column as a heading, if `named` with its name, and the others below it, each with its own."""
    lines: list[RenderableType] = [Text("")]
    for first, *others in rows:
        lines.append(Text(f"{columns[0]}: {first}" if named else first, overflow="fold"))
        below = [(name, value) for name, value in zip(columns[1:], others, strict=True) if value]
        told = Text("\n".join(f"{name}: {value}" for name, value in below), overflow="fold")
        lines.append(Padding(told, (0, 0, 0, 4), expand=False))
    return Group(*lines, Text(""))
