"""What a command takes, read from its function's dataclasses: what help tells and shells complete; free of torch.

A dataclass names in `FIRST` those of its fields that matter first, in that order; of one without, all do.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass, replace
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from docstring_parser import parse_from_object

from vitascope.fields import Range, Word
from vitascope.recipes.presets import PRESETS

PATHS = ("FILE", "FOLDER", "DATA", "CHECKPOINT")
"""Values that are, or may be, a path."""


@dataclass(frozen=True, kw_only=True)
class Option:
    """One option, or what is given by place, as a person is told it."""

    name: str
    """Of the field; of a part with a dot: "augment.flip"."""
    text: str
    value: str = ""
    """How its value is written, such as N, FILE, {train,test}; empty for none."""
    choices: tuple[str, ...] = ()
    """Words that the value may be."""
    default: str = ""
    limits: str = ""
    """What a number may be: "of at least 1"; empty for any."""
    required: bool = False

    @property
    def spelt(self) -> str:
        """ "image_size" → "--image-size"."""
        return spelt(self.name)


class Described:
    """One command: what is given by place ("checkpoint data"), and all other fields of its function's dataclasses."""

    def __init__(self, command: str, places: str, summary: str, function: Callable[..., Any]) -> None:
        self.command = command
        self.about = f"{summary[0].upper()}{summary[1:]}."
        self.kinds: list[Any] = [hint for hint in get_type_hints(function).values() if is_dataclass(hint)]
        self.fields: dict[str, Field[Any]] = {f.name: f for kind in self.kinds for f in fields(kind)}
        self.hints: dict[str, Any] = {n: hint for kind in self.kinds for n, hint in get_type_hints(kind).items()}
        self.presets = next((PRESETS[kind] for kind in self.kinds if kind in PRESETS), {})
        told = {option.name: option for kind in self.kinds for option in options_of(kind)}
        self._by_place = [told[name] for name in places.split()]
        self.places = {option.name: option.text for option in self._by_place}

    def by_place(self) -> list[Option]:
        """What is given by place; more than one of it where the field is a tuple."""
        several = {name: "…" if get_origin(self.hints[name]) is tuple else "" for name in self.places}
        return [
            replace(option, value=option.value if option.choices else f"{option.name.upper()}{several[option.name]}")
            for option in self._by_place
        ]

    def groups(self) -> list[tuple[str, list[Option]]]:
        """All options under titles, those of every command last."""
        found: list[tuple[str, list[Option]]] = []
        for kind in self.kinds:
            options = self._options(kind)
            parts = {name for name, hint in get_type_hints(kind).items() if is_dataclass(hint)}
            own = [option for option in options if "." not in option.name and option.name not in self.places]
            found.append((sentence(_about(kind)), own))
            for part in sorted(parts):
                inner = [option for option in options if option.name.startswith(f"{part}.")]
                found.append((sentence(_texts(kind)[part]), inner))
        return [*found, ("Of every command", self._common())]

    def first(self) -> list[Option]:
        """The options that matter first: what must be given, then --preset, then as the dataclasses say."""
        chosen: list[Option] = []
        for kind in self.kinds:
            by_name = {option.name: option for option in self._options(kind) if option.name not in self.places}
            needed = [name for name, option in by_name.items() if option.required]
            chosen += [by_name[name] for name in dict.fromkeys([*needed, *getattr(kind, "FIRST", by_name)])]
        preset, json = ([option for option in self._common() if option.name == name] for name in ("preset", "json"))
        return [*sorted([*preset, *chosen, *json], key=lambda option: not option.required)]

    def _options(self, kind: Any) -> list[Option]:
        """The options of a dataclass; what names one of its fields names an option."""

        def spell(match: re.Match[str]) -> str:
            return spelt(match[1]) if match[1] in self.fields else match[0]

        return [replace(option, text=re.sub(r"`(\w+)`", spell, option.text)) for option in options_of(kind)]

    def _common(self) -> list[Option]:
        choices = tuple(self.presets)
        named = [
            Option(
                name="preset",
                text="Named starting point; other options change it.",
                value=_choice(choices),
                choices=choices,
            )
        ]
        return [
            *(named if choices else []),
            Option(name="config", text="YAML file of options, such as a run's config.yaml.", value="FILE"),
            Option(name="print_config", text="Print the options as such a file and end."),
            Option(name="json", text="Print one JSON object and nothing else."),
            Option(name="verbose", text="Also show what is logged for debugging."),
            Option(name="help", text="The options that matter first."),
            Option(name="help_all", text="All options."),
        ]


def spelt(name: str) -> str:
    """ "image_size" → "--image-size", as help and messages write it."""
    return f"--{name.replace('_', '-')}"


def sentence(text: str) -> str:
    """The first sentence of a text, without its full stop."""
    return re.split(r"\.(?:\s|$)", text, maxsplit=1)[0]


def options_of(kind: Any) -> Iterator[Option]:
    """All fields of a dataclass, those of its parts too."""
    hints, texts = get_type_hints(kind, include_extras=True), _texts(kind)
    for f in fields(kind):
        if is_dataclass(hints[f.name]):
            for option in options_of(hints[f.name]):
                yield replace(option, name=f"{f.name}.{option.name}")
            continue
        forms = [
            form
            for form in _forms(hints[f.name], f.name.split("_")[-1].upper())
            if f.default is not False or form not in _BOOL
        ]
        words = tuple(form for form in forms if form.islower())
        flag = f.default is False
        yield Option(
            name=f.name,
            text=texts[f.name],
            value=f"[{_choice(forms)}]" if flag and forms else _choice(forms),
            choices=words,
            default=_shown(f.default),
            limits=_limits(hints[f.name]),
            required=f.default is f.default_factory is MISSING,
        )


_BOOL = ("true", "false")


def _forms(hint: Any, name: str) -> list[str]:
    """The ways to write a value of that kind: words in lower case, capitals for what is to be put there."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        said = next((extra.name for extra in arguments[1:] if isinstance(extra, Word)), None)
        return [said] if said else _forms(arguments[0], name)
    if origin is Literal:
        return list(arguments)
    if origin in (Union, UnionType):  # of one side and two, the text tells the two
        plain = [kind for kind in arguments if get_origin(kind) is not tuple and kind is not NoneType]
        return [form for kind in plain for form in _forms(kind, name)]
    if origin is tuple:
        inner = [_choice(_forms(kind, name)) for kind in arguments if kind is not Ellipsis]
        return [",".join([*inner, *(["…"] if arguments[-1] is Ellipsis else [])])]
    if origin is dict:
        return ["{NAME: VALUE,…}"]
    return list(_BOOL) if hint is bool else [{int: "N", float: "X"}.get(hint, name)]


def _limits(hint: Any) -> str:
    """Of the number that is declared first."""
    said = [str(extra) for extra in getattr(hint, "__metadata__", ()) if isinstance(extra, Range)]
    return next(iter([*said, *filter(None, map(_limits, get_args(hint)))]), "")


def _choice(forms: list[str] | tuple[str, ...]) -> str:
    return forms[0] if len(forms) == 1 else f"{{{','.join(forms)}}}" if forms else ""


def _shown(value: Any) -> str:
    """A default as it would be written; empty for what says nothing."""
    if value is MISSING or value is None or value is False or value in ("", ()):
        return ""
    if isinstance(value, tuple):
        return ",".join(map(_shown, value))
    return f"{value:g}" if isinstance(value, float) else str(value).lower() if value is True else str(value)


@cache
def _texts(kind: Any) -> dict[str, str]:
    """The docstrings of a dataclass's fields, each from the nearest class that has one."""
    found: dict[str, str] = {f.name: "" for f in fields(kind)}
    for cls in (cls for cls in kind.__mro__ if is_dataclass(cls)):
        for parameter in parse_from_object(cls).params:
            if not found.get(parameter.arg_name):
                found[parameter.arg_name] = " ".join((parameter.description or "").split())
    return found


def _about(kind: Any) -> str:
    return " ".join((kind.__doc__ or "").split())
