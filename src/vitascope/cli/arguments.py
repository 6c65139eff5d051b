"""A command's words and files made into the dataclasses that its function takes; every mistake is one line.

jsonargparse reads the dataclasses. What is said nearest to the user counts: a preset is changed by files (--config),
these by options, wherever they stand.
"""

from __future__ import annotations

import difflib
import json
import os
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import MISSING, asdict, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, NoReturn, get_args, get_origin

import yaml
from jsonargparse import ArgumentParser, get_loader, set_loader, set_parsing_settings

from vitascope.checkpoints.named import is_name
from vitascope.cli.options import Described, spelt
from vitascope.data.open import recognise
from vitascope.errors import ConfigError, DataError
from vitascope.fields import IdleError
from vitascope.models.config import BiTConfig, ViTConfig
from vitascope.wording import reason
from vitascope.yaml_text import check_yaml, read_yaml

set_parsing_settings(docstring_parse_attribute_docstrings=True)
_load = get_loader("yaml")
set_loader("yaml", lambda text: _load(check_yaml(text)), (yaml.YAMLError,))

_MODEL_FIELDS = {f.name for kind in (ViTConfig, BiTConfig) for f in fields(kind)}
_LENGTHS = {"steps", "epochs", "time_budget"}
"""Ways to say how long a run is."""

# What other tools call our options.
_ELSEWHERE = {
    "learning_rate": "lr", "batch_size": "batch", "num_workers": "workers", "num_epochs": "epochs",
    "wd": "weight_decay", "output": "out", "output_dir": "out", "img_size": "image_size",
    "resolution": "image_size", "topk": "top",
}  # fmt: skip


class Arguments(Described):
    """One command's words and files, made into its function's dataclasses."""

    def __init__(self, command: str, places: str, summary: str, function: Callable[..., Any]) -> None:
        super().__init__(command, places, summary, function)
        # No abbreviations: they change their meaning, or lose it, with every new option. Help is `help.py`'s.
        self.inner = _Strict(prog=f"vitascope {command}", allow_abbrev=False, add_help=False)
        for name in ("json", "verbose"):
            self.inner.add_argument(f"--{name}", action="store_true")
        self.inner.add_argument("--config", action="config")
        if self.presets:
            self.inner.add_argument("--preset", choices=list(self.presets))
        for name in self.places:  # never required of it: a file may hold it, and `parse` says it better
            nargs: Any = "*" if get_origin(self.hints[name]) is tuple else "?"
            default = self.fields[name].default
            default = None if default is MISSING else default
            self.inner.add_argument(name, nargs=nargs, type=str, default=default)
        for kind in self.kinds:
            self.inner.add_class_arguments(kind, None, skip=set(self.places))

    def parse(self, words: Sequence[str]) -> list[Any]:
        """The function's dataclasses; raises `ConfigError` of one line."""
        files, options, places = self._sorted(words)
        held: dict[str, Any] = {}
        for path in files:
            held |= read_yaml(Path(path))
        for name, part in held.items():
            if is_dataclass(self.hints.get(name)) and not isinstance(part, dict):
                raise ConfigError(f"{name} is {str(part)[:60]!r}, expected names with values, such as {name}: {{…}}")
        self.inner.set_defaults({name: held[name] for name in self.places if held.get(name) is not None})
        if self.presets:
            said = {option[2:].partition("=")[0] for option in options} & _LENGTHS
            self._start_from(options, said or {name for name in _LENGTHS if held.get(name) is not None})
            options += [f"--{name}=null" for name in sorted(_LENGTHS - said) if said]
        stated = [option[2:].partition("=")[0] for option in options] + list(held)
        stated += [f"{name}.{part}" for name, parts in held.items() if isinstance(parts, dict) for part in parts]
        while True:
            try:
                return self._read([*(f"--config={path}" for path in files), *options, *places])
            except IdleError as error:  # what a preset says of something that the user chose otherwise falls away
                whole, _, part = error.field.partition(".")
                name = error.field if whole in self.fields else f"{self._group(error.field)}.{error.field}"
                if "preset" not in stated or name in stated:
                    raise
                if part:  # of a dict, which is one default
                    rest = {key: value for key, value in self.inner.get_default(whole).items() if key != part}
                    self.inner.set_defaults({whole: rest})
                else:
                    self.inner.set_defaults({name: error.default})

    def _read(self, words: list[str]) -> list[Any]:
        args = self.inner.parse_args(words)
        self._refuse_nulls(args)
        values = vars(self.inner.instantiate(args))
        self._refuse_misplaced({name: values[name] for name in self.places})
        return [self._made(kind, values) for kind in self.kinds]

    def _made(self, kind: Any, values: dict[str, Any]) -> Any:
        given = {f.name: values[f.name] for f in fields(kind)}
        try:
            return kind(**{name: tuple(v) if isinstance(v, list) else v for name, v in given.items()})
        except ConfigError as error:  # of a field, which here is an option
            error.args = (
                re.sub(rf"^({'|'.join(given)})(?= (is|are) )", lambda match: self._told(match[1]), str(error)),
            )
            raise

    def _told(self, name: str) -> str:
        return name.upper() if name in self.places else spelt(name)

    def _sorted(self, words: Sequence[str]) -> tuple[list[str], list[str], list[str]]:
        """Config files, options as one word each, and what is given by place, wherever each stood."""
        left, files, options, places = list(words), list[str](), list[str](), list[str]()
        while left:
            word = left.pop(0)
            if word == "--":  # behind which a name may begin so too
                places += [word, *left]
                break
            if not word.startswith("--"):
                places.append(word)
                continue
            name, equals, text = word[2:].partition("=")
            name, value = name.replace("-", "_"), text if equals else None
            if name[:3] == "no_" and bool in _kinds(self.hints.get(name[3:])):
                name, value = name[3:], "false"
            self.inner.refuse_unknown(name, [word, *left])
            kinds = _kinds(self.hints.get(name))
            if value is None and bool in kinds and (not left or left[0] not in ("true", "false", *kinds)):
                value = "true"
            elif value is None and self.inner.takes_value(name):  # never one of those given by place
                value = left.pop(0) if left and not left[0].startswith("--") else ""
                if not value:
                    raise ConfigError(
                        f"{spelt(name)} stands without its value ({self.inner.prog} --help-all lists the options)"
                    )
            if name == "config" and value is not None:
                files.append(value)
            else:
                options += [f"--{name}"] if value is None else self._spelt(name, value)
        return files, options, places

    def _spelt(self, name: str, value: str) -> list[str]:
        """An option as the parser knows it: a list in brackets, a mapping part by part."""
        _refuse_bombs(value)
        hint = self.hints.get(name)
        if get_origin(hint) is tuple and not value.startswith("["):
            # A text, which may hold commas, is a list of itself.
            value = json.dumps([value]) if get_args(hint)[0] is str else f"[{value}]"
        if get_origin(hint) is dict and value.startswith("{"):
            with suppress(yaml.YAMLError, TypeError, ValueError):  # of which the parser says what is wrong
                parts = {k: v if isinstance(v, str) else json.dumps(v) for k, v in yaml.safe_load(value).items()}
                return [f"--{name}.{key}={part}" for key, part in parts.items()]
        return [f"--{name}={value}"]

    def _start_from(self, options: list[str], lengths: set[str]) -> None:
        """A preset's values become defaults, but for its length where there are `lengths` already."""
        for option in options:
            name, _, value = option.partition("=")
            if name == "--preset" and value in self.presets:
                needed = {f.name: "" for f in self.fields.values() if f.default is f.default_factory is MISSING}
                preset = self.presets[value](**needed)
                skipped = needed.keys() | (_LENGTHS if lengths else set())
                flat = {n: v for n, v in asdict(preset).items() if n not in skipped}
                for group in [n for n in flat if is_dataclass(self.hints[n])]:
                    flat |= {f"{group}.{n}": v for n, v in flat.pop(group).items()}
                self.inner.set_defaults(flat)

    def _group(self, name: str) -> str:
        """Which option's part a field is."""
        return next(n for n, hint in self.hints.items() if is_dataclass(hint) and name in hint.__dataclass_fields__)

    def _refuse_misplaced(self, given: dict[str, Any]) -> None:
        """`ConfigError` for what is missing of that which is given by place, or stands in another's."""
        usage = f"{self.inner.prog} {' '.join(self.places).upper()}"
        absent = [name for name, value in given.items() if not value and self.fields[name].default is MISSING]
        if given.get("checkpoint") and {"data", "paths"} & given.keys():
            first, second = list(given.values())[:2]
            second = second[0] if isinstance(second, list) and len(second) == 1 else second
            if absent and _is_data(first):
                absent = ["checkpoint"]
            elif not absent and isinstance(second, str) and _is_data(first) and _is_checkpoint(second):
                raise ConfigError(f"{first} is data and {second} a checkpoint; expected {usage}: swap them")
        if absent:
            what = self.places[absent[0]].rstrip(".")
            raise ConfigError(f"{absent[0].upper()} is missing: {what[0].lower()}{what[1:]}; expected {usage}")

    def _refuse_nulls(self, args: Any) -> None:
        """`ConfigError` for a null in a file, which the parser lets pass for any kind of value."""
        for action in self.inner._actions:
            kind = getattr(action, "_typehint", action.type)
            if action.default is None or kind is None or type(None) in get_args(kind):
                continue
            if args.get(action.dest, action.default) is None:
                shown = re.sub(r"typing\.|<class '(\w+)'>", r"\1", str(kind))
                raise ConfigError(f"{action.dest} is null, expected {shown}; give it or leave the line out")


class _Strict(ArgumentParser):
    """With errors of one line, which say what was perhaps meant."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        text = " ".join(message.split())
        text = re.sub(r'^(?:Parser key|Problem with given) "?([\w.]+)"?: ', lambda match: f"{spelt(match[1])}: ", text)
        text = re.sub(r"<class '(\w+)'>", r"\1", text)
        text = re.sub(r"(?:typing\.)?Annotated\[(\w+), Range\([^)]*\)\]", r"\1", text)
        text = re.sub(r"Expected a typing\.Literal\[([^]]*)\]", r"choose from \1", text)
        text = re.sub(r"Does not validate .*? Subtypes: \[(.*)\] Errors: .* Given value: ", _expected, text)
        text = re.sub(r"(Got value: .{100}).{20,}$", r"\1 …", text)
        unknown = re.search(r"Option '([\w.-]+)", text)
        raise ConfigError(
            f"{text}{self._meant(unknown[1]) if unknown else ''} ({self.prog} --help-all lists the options)"
        )

    def takes_value(self, name: str) -> bool:
        """Whether the option needs a word after it."""
        action = self._option_string_actions.get(f"--{name}")
        return name != "print_config" and (action is None or action.nargs not in (0, "?"))

    def refuse_unknown(self, name: str, words: list[str]) -> None:
        """`ConfigError` where there is no such option, of which `words` are the first."""
        whole = name.partition(".")[0]
        if f"--{name}" in self._option_string_actions or (whole != name and whole == "model_fields"):
            return
        count = next((n for n, word in enumerate(words) if n and word.startswith("--")), len(words))
        said = f"unrecognized arguments: {' '.join(words[:count])}{self._meant(name)}"
        raise ConfigError(f"{said} ({self.prog} --help-all lists the options)")

    def _meant(self, name: str) -> str:
        """What an option that there is not was perhaps meant to be."""
        options = [option.removeprefix("--") for option in self._option_string_actions]
        by_place = [action.dest for action in self._actions if not action.option_strings]
        if name in by_place:
            return f"; it is given by place: {self.prog} {' '.join(by_place).upper()}"
        if "model_fields" in options and name in _MODEL_FIELDS:
            return f"; did you mean {spelt(f'model_fields.{name}')}?"
        near = difflib.get_close_matches(name, options, 1, cutoff=0.7)
        meant = _ELSEWHERE.get(name, near[0] if near else None)
        return f"; did you mean {spelt(meant)}?" if meant in options else ""


def _kinds(hint: Any) -> tuple[Any, ...]:
    """The kinds that a field may have, and of a Literal its words."""
    parts = get_args(hint) if get_origin(hint) not in (None, tuple, dict, Literal) else (hint,)
    return tuple(word for part in parts for word in (get_args(part) if get_origin(part) is Literal else (part,)))


def _expected(match: re.Match[str]) -> str:
    """ "int, tuple[int, int], NoneType" → "Expected int or [int, int]. Got value: "."""
    kinds = [kind for kind in re.findall(r"\w+(?:\[[^]]*\])?", match[1].replace("typing.", "")) if kind != "NoneType"]
    said = [re.sub(r"^Literal\[(.*)\]$", r"\1", kind).removeprefix("tuple") for kind in kinds]
    return f"Expected {' or '.join(said)}. Got value: "


def _refuse_bombs(value: str) -> None:
    """`ConfigError` for a list that is read as YAML on the command line and is none that a file may hold."""
    if len(value) > 100 and ("[" in value or "{" in value):
        try:
            check_yaml(value)
        except yaml.MarkedYAMLError:
            return  # a text
        except yaml.YAMLError as error:
            raise ConfigError(f"{value[:30]}… cannot be read ({reason(error)})") from error


def _is_data(word: str) -> bool:
    """Whether `word` names data and no checkpoint."""
    try:
        recognise(word)
    except DataError:
        return False
    return not _is_checkpoint(word)


def _is_checkpoint(word: str) -> bool:
    if not os.path.exists(word):
        return is_name(word)
    from vitascope.checkpoints.locate import is_checkpoint  # with torch, hence late

    return is_checkpoint(word)
