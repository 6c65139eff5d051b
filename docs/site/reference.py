"""The reference, generated: options from the settings' dataclasses as help has them, Python from its docstrings."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator
from dataclasses import MISSING, fields, is_dataclass
from typing import Any

from docstring_parser import parse_from_object

import vitascope as vs
from gather import Page, anchor
from vitascope.cli import COMMANDS, described
from vitascope.cli.options import Described, Option, sentence
from vitascope.models.catalogue import model_names
from vitascope.recipes.presets import PRESETS

FOLDER = "docs/reference"
VALUES = """A value is written as help has it: `N` a whole number, `X` a number, `TIME` as `90s`, `10m` or `2h`, `SIZE`
as `500M` or `2G`, `X,X` several with commas between, `{a,b}` one of these words. Rates, shares and probabilities have
no unit; images are counted, sides are in pixels, and what has another unit says so.
"""


def pages() -> Iterator[Page]:
    """All pages of the reference."""
    commands = [described(name) for name in COMMANDS]
    yield Page(f"{FOLDER}/first.md", "\n".join(_first(commands)))
    yield Page(f"{FOLDER}/commands.md", "\n".join(_list()))
    for command in commands:
        yield Page(_place(command.command), "\n".join(_command(command)))
    yield Page(f"{FOLDER}/presets.md", "\n".join(_presets()))
    yield Page(f"{FOLDER}/python.md", "\n".join(_python()))


def _place(name: str) -> str:
    return f"{FOLDER}/commands/{name.replace(' ', '-')}.md"


def _list() -> Iterator[str]:
    yield from ["# Every command and option", "", VALUES, "| command | does |", "|---|---|"]
    for name, (_, summary) in COMMANDS.items():
        yield f"| [{name}](commands/{name.replace(' ', '-')}.md) | {_text(summary)} |"


def _first(commands: Iterable[Described]) -> Iterator[str]:
    yield from [
        "# Which option first",
        "",
        "What `vitascope COMMAND --help` shows: of each command what matters first.",
        "",
    ]
    yield VALUES
    for command in commands:
        options = [*command.by_place(), *command.first()]
        yield from [
            f"## {command.command}",
            "",
            f"{_text(command.about)} [All options](commands/{_place(command.command).rpartition('/')[2]}).",
            "",
        ]
        yield from [*_table(options, command.by_place(), whole=False), ""]


def _command(command: Described) -> Iterator[str]:
    places = command.by_place()
    words = [option.value if option.required else f"[{option.value}]" for option in places]
    yield from [f"# vitascope {command.command}", "", _text(command.about), ""]
    yield from ["```text", f"vitascope {' '.join([command.command, *words])} [options]", "```", ""]
    if places:
        yield from [*_table(places, places), ""]
    for title, options in command.groups():
        yield from [f"## {_text(title)}", "", *_table(options, places), ""]


def _table(options: Iterable[Option], places: list[Option], *, whole: bool = True) -> Iterator[str]:
    yield from ["| option | default | meaning |", "|---|---|---|"]
    for option in options:
        name = option.value if option in places else f"{option.spelt} {option.value}".strip()
        text = option.text if whole else f"{sentence(option.text)}."
        text += f" ({option.limits})" if whole and option.limits else ""
        default = "must be given" if option.required else _code(option.default)
        yield f"| {_code(re.sub(r',(?=.{3})', ', ', name))} | {default} | {_text(text)} |"


def _presets() -> Iterator[str]:
    yield from ["# Presets", "", "What `--preset` sets beside the defaults. Other options change it.", ""]
    for kind, presets in PRESETS.items():
        command = kind.__name__.removesuffix("Recipe").lower()
        needed: dict[str, Any] = {f.name: f.name for f in fields(kind) if f.default is f.default_factory is MISSING}
        plain = dict(_values(kind(**needed)))
        for name, make in presets.items():
            yield from [f"## {command} --preset {name}", "", "| option | value | default |", "|---|---|---|"]
            for field, value in _values(make(**needed)):
                if value != plain[field]:
                    yield f"| `--{field.replace('_', '-')}` | {_code(value)} | {_code(plain[field])} |"
            yield ""


def _values(made: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Name and value of each field, of parts too."""
    for f in fields(made):
        value = getattr(made, f.name)
        if is_dataclass(value):
            yield from _values(value, f"{prefix}{f.name}.")
        else:
            yield f"{prefix}{f.name}", value


def _python() -> Iterator[str]:
    yield from ["# Python", "", "What `import vitascope as vs` offers. Shapes: B images, C channels, H×W pixels.", ""]
    functions = [name for name in vs.__all__ if inspect.isfunction(getattr(vs, name))]
    classes = [name for name in vs.__all__ if inspect.isclass(getattr(vs, name))]
    errors = [name for name in classes if issubclass(getattr(vs, name), Exception)]
    for name in functions:
        yield from _thing("vs", name, getattr(vs, name))
    for name in classes:
        if name not in errors:
            yield from _thing("vs", name, getattr(vs, name))
            for method, function in vars(getattr(vs, name)).items():
                if not method.startswith("_") and inspect.isfunction(function):
                    yield from _thing(name, method, function, "###")
    for package in (vs.views, vs.evaluation):
        short = package.__name__.replace("vitascope", "vs")
        yield from [f"## {short}", "", *_doc(package), ""]
        for name in package.__all__:
            yield from _thing(short, name, getattr(package, name), "###")
    yield from ["## Names of models", "", ", ".join(f"`{name}`" for name in model_names()), ""]
    yield from ["## Errors", "", "| error | raised when |", "|---|---|"]
    yield from (
        f"| `vs.{name}` | {_text(' '.join((inspect.getdoc(getattr(vs, name)) or '').split()))} |" for name in errors
    )


def _thing(home: str, name: str, thing: Any, level: str = "##") -> Iterator[str]:
    yield from [f"{level} {home}.{name} {{ #{anchor(f'{home} {name}').replace(' ', '-')} }}", ""]
    if callable(thing):
        signature = re.sub(
            r"\b(?:vitascope|collections|pathlib|torch|numpy|typing)(?:\.\w+)*\.(\w+)",
            r"\1",
            str(inspect.signature(thing)),
        )
        parts = f"{name}{signature}".replace("'", "")
        yield from ["```python", parts if len(parts) <= 76 else _broken(parts), "```", ""]
    yield from [*_doc(thing), ""]


def _broken(signature: str) -> str:
    """An argument a line."""
    depth, out = 0, []
    for letter in signature:
        depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(letter, 0)
        if letter == "(" and depth == 1:
            out.append("(\n    ")
        elif letter == ")" and depth == 0:
            out.append(",\n)")
        elif letter == " " and depth == 1 and out[-1] == ",":
            out.append("\n    ")
        else:
            out.append(letter)
    return "".join(out)


def _doc(thing: Any) -> Iterator[str]:
    for paragraph in (inspect.getdoc(thing) or "").split("\n\n"):
        yield from [_text(" ".join(paragraph.split())), ""]
    if is_dataclass(thing) and inspect.isclass(thing):
        told = {part.arg_name: " ".join((part.description or "").split()) for part in parse_from_object(thing).params}
        yield from ["| field | meaning |", "|---|---|"]
        yield from (
            f"| `{f.name}` | {_text(told.get(f.name, ''))} |" for f in fields(thing) if not f.name.startswith("_")
        )


def _code(value: Any) -> str:
    return f"`{value}`".replace("|", "\\|") if value not in ("", None) else ""


def _text(text: str) -> str:
    """Plain words as Markdown that shows them so; what stands in `…` stays code."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(part if part.startswith("`") else re.sub(r"([\\*_<>\[\]|])", r"\\\1", part) for part in parts)
