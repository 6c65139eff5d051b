"""Argument parsing: typed dataclasses by jsonargparse, with errors of one line and either spelling of options."""

from __future__ import annotations

import difflib
import json
import re
from contextlib import suppress
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Any, NoReturn, get_args, get_origin, get_type_hints

import yaml
from jsonargparse import ArgumentParser, set_parsing_settings

from vitascope.errors import ConfigError
from vitascope.inference.engines.names import ENGINES

set_parsing_settings(docstring_parse_attribute_docstrings=True)


class _Strict(ArgumentParser):
    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        raise ConfigError(self._clear(message)) from None

    def _clear(self, message: str) -> str:
        text = " ".join(message.split())
        text = re.sub(r'^(?:Parser key|Problem with given) "?([\w.]+)"?: ', r"--\1: ", text)
        text = re.sub(r"<class '(\w+)'>", r"\1", text)
        text = re.sub(r"Does not validate .*? Subtypes: \[(.*)\] Errors: .* Given value: ", _kinds, text)
        unknown = re.search(r"(?:unrecognized arguments: --|Option ')([\w.-]+)", text)
        if unknown:
            options = [o for action in self._actions for o in action.option_strings]
            near = difflib.get_close_matches(f"--{unknown[1]}", options, 1)
            by_place = [action.dest for action in self._actions if not action.option_strings]
            if unknown[1] in by_place:
                text += f"; it is given by place: {self.prog} {' '.join(by_place).upper()}"
            elif near:
                text += f"; did you mean {near[0]}?"
        return f"{text} ({self.prog} --help lists the options)"


class Parser:
    """One command's arguments; every command has --json and --verbose."""

    def __init__(self, command: str, summary: str) -> None:
        about = f"{summary[0].upper()}{summary[1:]}."
        # No abbreviations: they change their meaning, or lose it, with every new option.
        self.inner = _Strict(prog=f"vitascope {command}", description=about, allow_abbrev=False)
        self.inner.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
        self.inner.add_argument("--verbose", action="store_true", help="also show what is logged for debugging")
        self.presets: dict[str, dict[str, Any]] = {}
        self.positional: tuple[str, ...] = ()
        self.lists: dict[str, Any] = {}

    def add(self, *names: str, **options: Any) -> None:
        """One argument, as argparse takes it."""
        self.inner.add_argument(*names, **options)

    def add_image_size(self, text: str) -> None:
        """--image_size, one side or [height, width]."""
        self.inner.add_argument("--image_size", type=int | tuple[int, int] | None, help=f"{text}; 224, or [192,256]")

    def add_engine(self, default: str) -> None:
        """--engine, what computes the model's outputs."""
        text = "what computes; auto begins with eager and changes where that pays"
        self.inner.add_argument("--engine", choices=ENGINES, default=default, help=text)

    def add_recipe(
        self,
        kind: type,
        positional: tuple[str, ...],
        presets: dict[str, dict[str, Any]],
        flags: tuple[str, ...] = (),
    ) -> None:
        """Every field of a dataclass as an option; --config and --preset.

        Those of `positional` are given by place, and those of `flags` stand alone (--sweep, not --sweep true).
        """
        self.presets, self.positional = presets, positional
        self.lists = {n: get_args(hint)[0] for n, hint in get_type_hints(kind).items() if get_origin(hint) is tuple}
        for name in positional:
            # Not required here, because a --config file may hold it.
            self.inner.add_argument(name, nargs="?", type=str, help=_field_help(kind, name))
        self.inner.add_argument("--config", action="config", help="YAML file of options, such as a run's config.yaml")
        if presets:
            text = "named starting point; other options change it"
            self.inner.add_argument("--preset", choices=list(presets), help=text)
        for name in flags:
            self.inner.add_argument(f"--{name}", action="store_true", help=_field_help(kind, name))
        self.inner.add_class_arguments(kind, None, skip={*positional, *flags})

    def parse(self, words: list[str]) -> Any:
        """The parsed arguments; raises `ConfigError` of one line."""
        words = _config_first([re.sub(r"^--[\w.-]+", _underscores, word) for word in words])
        if self.positional:
            held = _held(words)
            self.inner.set_defaults({name: held[name] for name in self.positional if isinstance(held.get(name), str)})
        words = self._bracketed(words)
        return self.inner.parse_args(self._prepared(words) if self.presets else words)

    def _bracketed(self, words: list[str]) -> list[str]:
        """ "--sizes 100,400" as the list that the parser knows, "--sizes [100,400]"; a text is a list of itself."""
        result: list[str] = []
        for word, before in zip(words, ["", *words], strict=False):
            option, is_one_word, value = word.partition("=")
            option = option if is_one_word and option.startswith("--") else before
            value = value if option != before else word
            kind = self.lists.get(option.removeprefix("--"))
            if kind is None or value.startswith(("[", "--")):
                result.append(word)
            else:
                listed = json.dumps([value]) if kind is str else f"[{value}]"
                result.append(f"{option}={listed}" if option != before else listed)
        return result

    def _prepared(self, words: list[str]) -> list[str]:
        """Presets and files become defaults; of the ways to say how long a run is, the word nearest the user counts."""
        held = _held(words)
        said = {word[2:].partition("=")[0] for word in words if word.startswith("--")} & _LENGTHS
        given = said or {name for name in _LENGTHS if held.get(name) is not None}
        for name in _values(words, "--preset"):
            values = _flat(self.presets.get(name, {}))
            self.inner.set_defaults({key: v for key, v in values.items() if not given or key not in _LENGTHS})
        return words + [f"--{name}=null" for name in sorted(_LENGTHS - said) if said]

    def recipe(self, args: Any, kind: type, positional: tuple[str, ...]) -> Any:
        """An instance of `kind` from parsed arguments; raises `ConfigError`."""
        for name in positional:
            if getattr(args, name) is None:
                raise ConfigError(f"{name.upper()} is missing: {_field_help(kind, name)}")
        values = vars(self.inner.instantiate(args))
        return kind(**{f.name: values[f.name] for f in fields(kind)})


def _kinds(match: re.Match[str]) -> str:
    """ "int, tuple[int, int], NoneType" → "Expected int or [int, int]. Got value: "."""
    kinds = [kind for kind in re.findall(r"\w+(?:\[[^]]*\])?", match[1].replace("typing.", "")) if kind != "NoneType"]
    said = [re.sub(r"^Literal\[(.*)\]$", r"\1", kind).removeprefix("tuple") for kind in kinds]
    return f"Expected {' or '.join(said)}. Got value: "


_LENGTHS = {"steps", "epochs", "time_budget"}


def _held(words: list[str]) -> dict[str, Any]:
    """What the config files among `words` say, later ones over earlier."""
    held: dict[str, Any] = {}
    for path in _values(words, "--config"):
        with suppress(OSError, ValueError, yaml.YAMLError):  # the parser says what is wrong with the file
            values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
            held |= values if isinstance(values, dict) else {}
    return held


def _config_first(words: list[str]) -> list[str]:
    """Options change what a config file says, wherever they stand."""
    first: list[str] = []
    rest: list[str] = []
    for index, word in enumerate(words):
        config = word.startswith("--config=") or word == "--config" or words[max(index - 1, 0)] == "--config"
        (first if config else rest).append(word)
    return first + rest


def _underscores(match: re.Match[str]) -> str:
    return "--" + match[0][2:].replace("-", "_")


def _values(words: list[str], option: str) -> list[str]:
    pairs = zip(words, [*words, ""][1:], strict=True)
    return [
        after if word == option else word.partition("=")[2] for word, after in pairs if word.split("=")[0] == option
    ]


def _flat(values: dict[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if is_dataclass(value) and not isinstance(value, type):
            flat |= {f"{name}.{key}": inner for key, inner in asdict(value).items()}
        else:
            flat[name] = value
    return flat


def _field_help(kind: type, name: str) -> str:
    from docstring_parser import parse_from_object

    for cls in kind.__mro__:
        for parameter in parse_from_object(cls).params if is_dataclass(cls) else []:
            if parameter.arg_name == name and parameter.description:
                return parameter.description
    return name
