"""The help of a command in two tiers: what matters first, in at most a screen, and every option."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterable, Iterator, Sequence

from vitascope.cli.options import Described, Option, sentence
from vitascope.cli.plain import as_shown

_LABELS = 28
"""Columns for an option and its value; a longer one has a line of its own."""
_WIDEST = 100
"""Longer lines are hard to read."""


def help_text(command: Described, everything: bool = False, width: int | None = None) -> str:
    """The help of `command` in lines of at most `width` columns, by default the terminal's."""
    width = columns(width)
    places = command.by_place()
    groups = command.groups()
    required = [option for _, options in groups for option in options if option.required]
    usage = [option.value if option.required else f"[{option.value}]" for option in places]
    usage += [f"{option.spelt} {option.value}" for option in required]
    said = as_shown(f"usage: vitascope {' '.join([command.command, *usage])} [options]")
    lines = [*textwrap.wrap(said, width, subsequent_indent="    ", break_on_hyphens=False), ""]
    lines += textwrap.wrap(as_shown(command.about), width, break_on_hyphens=False)
    if everything:
        shown = [("", places), *groups] if places else groups
        for title, options in shown:
            lines += [
                "",
                *textwrap.wrap(as_shown(f"{title}:") if title else "", width),
                *_rows(options, places, width, whole=True),
            ]
        return "\n".join(lines)
    first = command.first()
    lines += ["", *_rows([*places, *first], places, width, whole=False)]
    more = sum(len(options) for _, options in groups) - len(first)
    rest = f"vitascope {command.command} --help-all: {more} more options, and all that is to say of each."
    return "\n".join([*lines, "", *textwrap.wrap(rest, width, break_on_hyphens=False)])


def _rows(options: Iterable[Option], places: list[Option], width: int, *, whole: bool) -> Iterable[str]:
    rows = []
    for option in options:
        text = option.text if whole else f"{sentence(option.text)}."
        text += f" (default: {option.default})" if option.default else ""
        rows.append((f"  {option.value}" if option in places else f"  {option.spelt} {option.value}".rstrip(), text))
    return listed(rows, width)


def columns(width: int | None = None) -> int:
    """Those of a line of help: `width`, or the terminal's, where that can be read."""
    return max(min(width or shutil.get_terminal_size().columns, _WIDEST), 50)


def listed(rows: Sequence[tuple[str, str]], width: int) -> Iterator[str]:
    """Lines of labels with their texts beside them."""
    labelled = [(as_shown(label), as_shown(text)) for label, text in rows]
    column = min(max((len(label) for label, _ in labelled), default=0) + 2, _LABELS)
    for label, text in labelled:
        lines = textwrap.wrap(text, width - column, break_on_hyphens=False)
        if len(label) + 2 > column:
            while len(label) > width:
                cut = label.rindex(",", 0, width) + 1
                yield label[:cut]
                label = f"    {label[cut:]}"
            yield label
            label = ""
        yield f"{label:<{column}}{lines[0] if lines else ''}".rstrip()
        yield from (f"{'':<{column}}{line}" for line in lines[1:])
