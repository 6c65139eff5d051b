"""Argument parsing: typed dataclasses by jsonargparse, with errors of one line and either spelling of options."""

from __future__ import annotations

import difflib
import json
import re
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, NoReturn, get_args, get_origin, get_type_hints

import yaml
from jsonargparse import ArgumentParser, get_loader, set_loader, set_parsing_settings

from vitascope.cli.places import is_checkpoint, is_data
from vitascope.errors import ConfigError
from vitascope.inference.engines.names import ENGINES
from vitascope.models.config import BiTConfig, ViTConfig
from vitascope.wording import reason
from vitascope.yaml_text import check_yaml, read_yaml

set_parsing_settings(docstring_parse_attribute_docstrings=True)
_load = get_loader("yaml")
set_loader("yaml", lambda text: _load(check_yaml(text)), (yaml.YAMLError,))


_MODEL_FIELDS = {f.name for kind in (ViTConfig, BiTConfig) for f in fields(kind)}

# What other tools call our options.
_ELSEWHERE = {
    "learning_rate": "lr", "batch_size": "batch", "num_workers": "workers", "num_epochs": "epochs",
    "wd": "weight_decay", "output": "out", "output_dir": "out", "img_size": "image_size",
    "resolution": "image_size", "topk": "top",
}  # fmt: skip


class _Strict(ArgumentParser):
    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        raise ConfigError(self._clear(message)) from None

    def _clear(self, message: str) -> str:
        text = " ".join(message.split())
        text = re.sub(r'^(?:Parser key|Problem with given) "?([\w.]+)"?: ', r"--\1: ", text)
        text = re.sub(r"<class '(\w+)'>", r"\1", text)
        text = re.sub(r"Does not validate .*? Subtypes: \[(.*)\] Errors: .* Given value: ", _kinds, text)
        text = re.sub(r"(Got value: .{100}).{20,}$", r"\1 …", text)
        unknown = re.search(r"(?:unrecognized arguments: --|Option ')([\w.-]+)", text)
        return f"{text}{self._meant(unknown[1]) if unknown else ''} ({self.prog} --help lists the options)"

    def _meant(self, name: str) -> str:
        """What an option that there is not was perhaps meant to be."""
        options = [o.removeprefix("--") for action in self._actions for o in action.option_strings]
        by_place = [action.dest for action in self._actions if not action.option_strings]
        if name in by_place:
            return f"; it is given by place: {self.prog} {' '.join(by_place).upper()}"
        if "model_fields" in options and name in _MODEL_FIELDS:
            return f"; did you mean --model_fields.{name}?"
        near = difflib.get_close_matches(name, options, 1, cutoff=0.7)
        meant = _ELSEWHERE.get(name, near[0] if near else None)
        return f"; did you mean --{meant}?" if meant in options else ""


class Parser:
    """One command's arguments; every command has --json and --verbose."""

    def __init__(self, command: str, summary: str) -> None:
        about = f"{summary[0].upper()}{summary[1:]}."
        # No abbreviations: they change their meaning, or lose it, with every new option.
        self.inner = _Strict(prog=f"vitascope {command}", description=about, allow_abbrev=False)
        self.inner.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
        self.inner.add_argument("--verbose", action="store_true", help="also show what is logged for debugging")
        self.presets: dict[str, dict[str, Any]] = {}
        self.required: dict[str, str] = {}
        self.lists: dict[str, Any] = {}
        self.least: dict[str, int] = {}
        self.flags: dict[str, str] = {}

    def add(self, *names: str, least: int | None = None, **options: Any) -> None:
        """One argument, as argparse takes it, or a whole number of at `least` so much."""
        if least is not None:
            options["type"], self.least[names[0].removeprefix("--")] = int, least
        if not names[0].startswith("-") and options.get("nargs") in (None, "+"):
            self._by_place(names[0], options.pop("help"), options.pop("nargs", "?").replace("+", "*"))
            return
        self.inner.add_argument(*names, **options)

    def _by_place(self, name: str, text: str, nargs: str = "?") -> None:
        # Never required of argparse: a --config file may hold it, and what is missing is said better in `parse`.
        self.required[name] = text
        self.inner.add_argument(name, nargs=nargs, type=str, help=text)

    def add_flag_or(self, name: str, word: str, text: str) -> None:
        """An option that stands alone, or before one certain word: False, True or that word."""
        self.flags[name] = word
        self.inner.add_argument(name, type=bool | Literal[word], default=False, metavar=f"[{word}]", help=text)

    def add_image_size(self, text: str) -> None:
        """--image_size, one side or [height, width]."""
        self.inner.add_argument("--image_size", type=int | tuple[int, int] | None, help=f"{text}; 224, or [192,256]")

    def add_stated(self) -> None:
        """--labels, --mean and --std, what the user states of a checkpoint."""
        text = "file with the names of the classes in the order of the outputs, one a line or as JSON"
        self.inner.add_argument("--labels", help=f"{text}; default: as the checkpoint says")
        text = "mean of the channels in [0, 1], such as 0.5,0.5,0.5, or imagenet, which is --std too"
        self.inner.add_argument("--mean", help=f"{text}; default: as the checkpoint says")
        self.inner.add_argument("--std", help="deviation of the channels, as --mean")

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
        self.presets = presets
        self.lists = {n: get_args(hint)[0] for n, hint in get_type_hints(kind).items() if get_origin(hint) is tuple}
        for name in positional:
            self._by_place(name, _field_help(kind, name))
        self.inner.add_argument("--config", action="config", help="YAML file of options, such as a run's config.yaml")
        if presets:
            text = "named starting point; other options change it"
            self.inner.add_argument("--preset", choices=list(presets), help=text)
        for name in flags:
            self.inner.add_argument(f"--{name}", action="store_true", help=_field_help(kind, name))
        self.add_settings(kind, skip={*positional, *flags})

    def add_settings(self, kind: type, skip: frozenset[str] | set[str] = frozenset()) -> None:
        """Every field of a dataclass as an option, under the first sentence of its docstring."""
        self.inner.add_class_arguments(kind, None, skip=set(skip))
        for group in self.inner._action_groups:
            group.title = (group.title or "").split(". ")[0]

    def parse(self, words: list[str]) -> Any:
        """The parsed arguments; raises `ConfigError` of one line."""
        words = self._ordered(self._flagged([re.sub(r"^--[\w.-]+", _underscores, word) for word in words]))
        held = _held(words)
        self.inner.set_defaults({name: held[name] for name in self.required if isinstance(held.get(name), str)})
        words = self._bracketed(words)
        for word in words:
            _refuse_bombs(word)
        args = self.inner.parse_args(self._prepared(words) if self.presets else words)
        self._refuse_nulls(args)
        for name, least in self.least.items():
            if getattr(args, name) < least:
                raise ConfigError(f"--{name} is {getattr(args, name)}, expected at least {least}")
        self._refuse_misplaced({name: getattr(args, name) for name in self.required})
        return args

    def _ordered(self, words: list[str]) -> list[str]:
        """What is given by place first, wherever it stood; then config files, because options change what they say."""
        alone = {
            option for action in self.inner._actions if action.nargs in (0, "?") for option in action.option_strings
        }
        places: list[str] = []
        configs: list[str] = []
        options: list[str] = []
        left = list(words)
        while left:
            word = left.pop(0)
            if not word.startswith("-") or word == "-":
                places.append(word)
                continue
            valued = "=" not in word and word not in alone and left and not left[0].startswith("--")
            (configs if word.split("=")[0] == "--config" else options).extend([word, left.pop(0)] if valued else [word])
        return configs + places + options

    def _refuse_misplaced(self, given: dict[str, Any]) -> None:
        """`ConfigError` for what is missing of that which is given by place, or stands in another's."""
        absent = [name for name, value in given.items() if not value]
        if "checkpoint" in given and given["checkpoint"] and {"data", "paths"} & given.keys():
            first, second = list(given.values())[:2]
            second = second[0] if isinstance(second, list) and len(second) == 1 else second
            if absent and is_data(first):
                absent = ["checkpoint"]
            elif not absent and isinstance(second, str) and is_data(first) and is_checkpoint(second):
                raise ConfigError(f"{first} is data and {second} a checkpoint; expected {self._usage()}: swap them")
        if absent:
            what = self.required[absent[0]].rstrip(".")
            raise ConfigError(f"{absent[0].upper()} is missing: {what}; expected {self._usage()}")

    def _refuse_nulls(self, args: Any) -> None:
        """`ConfigError` for a null in a file, which the parser lets pass for any kind of value."""
        for action in self.inner._actions:
            kind = getattr(action, "_typehint", action.type)
            if action.default is None or kind is None or type(None) in get_args(kind):
                continue
            if args.get(action.dest, action.default) is None:
                raise ConfigError(f"{action.dest} is null, expected {_shown(kind)}; give it or leave the line out")

    def _usage(self) -> str:
        return f"{self.inner.prog} {' '.join(self.required).upper()}"

    def _flagged(self, words: list[str]) -> list[str]:
        """ "--resume auto" as "--resume=auto", and "--resume" as "--resume=true", so that it takes no other word."""
        result: list[str] = []
        for word in words:
            if result and self.flags.get(result[-1].removesuffix("=true"), "") == word:
                word = result.pop().replace("=true", f"={word}")
            result.append(f"{word}=true" if word in self.flags else word)
        return result

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

    def recipe(self, args: Any, kind: type) -> Any:
        """An instance of `kind` from parsed arguments; raises `ConfigError`."""
        values = vars(self.inner.instantiate(args))
        return kind(**{f.name: values[f.name] for f in fields(kind)})


def _kinds(match: re.Match[str]) -> str:
    """ "int, tuple[int, int], NoneType" → "Expected int or [int, int]. Got value: "."""
    kinds = [kind for kind in re.findall(r"\w+(?:\[[^]]*\])?", match[1].replace("typing.", "")) if kind != "NoneType"]
    said = [re.sub(r"^Literal\[(.*)\]$", r"\1", kind).removeprefix("tuple") for kind in kinds]
    return f"Expected {' or '.join(said)}. Got value: "


def _shown(kind: Any) -> str:
    return re.sub(r"typing\.|<class '(\w+)'>", r"\1", str(kind))


def _refuse_bombs(word: str) -> None:
    """`ConfigError` for a list that is read as YAML on the command line and is none that a file may hold."""
    if len(word) > 100 and ("[" in word or "{" in word):
        try:
            check_yaml(word.partition("=")[2] if word.startswith("--") else word)
        except yaml.MarkedYAMLError:
            return  # a text
        except yaml.YAMLError as error:
            raise ConfigError(f"{word[:30]}… cannot be read ({reason(error)})") from error


_LENGTHS = {"steps", "epochs", "time_budget"}


def _held(words: list[str]) -> dict[str, Any]:
    """What the config files among `words` say, later ones over earlier."""
    held: dict[str, Any] = {}
    for path in _values(words, "--config"):
        held |= read_yaml(Path(path))
    return held


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
