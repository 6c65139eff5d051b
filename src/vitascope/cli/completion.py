"""Scripts with which bash, zsh and fish complete commands, options and their values; made from what help tells."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal, get_args

from vitascope.checkpoints.starts import STARTS
from vitascope.cli.options import PATHS, Described, Option, sentence
from vitascope.data.open import CATALOGUE
from vitascope.models.catalogue import model_names

Shell = Literal["bash", "zsh", "fish"]

_NAMES: dict[str, tuple[str, ...]] = {
    "MODEL": model_names(),
    # A colon parts words in bash.
    "CHECKPOINT": tuple(start.name for start in STARTS if ":" not in start.name),
    "DATA": tuple(entry.name for entry in CATALOGUE if not entry.is_path and not entry.is_named),
}
"""Value → names that it may be."""


def script(shell: Shell, commands: Sequence[Described]) -> str:
    """What `shell` is to read."""
    return dict(zip(get_args(Shell), (_bash, _zsh, _fish), strict=True))[shell](commands)


def _names(option: Option) -> tuple[str, ...]:
    return option.choices or _NAMES.get(option.value.rstrip("…"), ())


def _is_path(option: Option, places: Sequence[Option] = ()) -> bool:
    return option.value in PATHS or (option in places and not option.choices)


def _all(command: Described) -> list[Option]:
    return [option for _, options in command.groups() for option in options]


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def _bash(commands: Sequence[Described]) -> str:
    cases = []
    for command in commands:
        places = command.by_place()
        names = " ".join(name for option in places for name in _names(option))
        files = any(_is_path(option, places) for option in places)
        values = []
        for option in _all(command):
            if option.value:
                kind = "_vitascope_files" if _is_path(option) else ":"
                values.append(f"      {option.spelt}) names={_quoted(' '.join(_names(option)))}; also={kind};;")
        cases += [
            f"    {_quoted(command.command)})",
            f"      options={_quoted(' '.join(option.spelt for option in _all(command)))}",
            f"      names={_quoted(names)}; also={'_vitascope_files' if files else ':'}",
            '      case "$before" in',
            *(f"  {line}" for line in values),
            "        *) value=;;",
            "      esac;;",
        ]
    first = " ".join(dict.fromkeys(command.command.split()[0] for command in commands))
    groups = dict.fromkeys(command.command.split()[0] for command in commands if " " in command.command)
    within = [
        f"    {group}) if [ $COMP_CWORD -eq 2 ]; then\n"
        f'      COMPREPLY=($(compgen -W {_quoted(" ".join(_seconds(commands, group)))} -- "$word")); return\n'
        f'      fi; name="{group} ${{COMP_WORDS[2]}}";;'
        for group in groups
    ]
    return "\n".join(
        [
            "# Completion of vitascope for bash; vitascope completion bash >",
            "# ~/.local/share/bash-completion/completions/vitascope",
            "_vitascope_files() {",
            "  local IFS=$'\\n'",
            '  COMPREPLY+=($(compgen -f -- "$word"))',
            "  compopt -o filenames 2>/dev/null",
            "}",
            "_vitascope() {",
            '  local word="${COMP_WORDS[COMP_CWORD]}" before="${COMP_WORDS[COMP_CWORD-1]}" name="${COMP_WORDS[1]}"',
            "  local options= names= also=: value=yes",
            "  COMPREPLY=()",
            '  if [ "$word" = = ]; then word=; fi  # bash parts --split=train into three words',
            '  if [ "$before" = = ]; then before="${COMP_WORDS[COMP_CWORD-2]}"; fi',
            "  if [ $COMP_CWORD -eq 1 ]; then",
            f'    COMPREPLY=($(compgen -W {_quoted(first + " help --help --version")} -- "$word")); return',
            "  fi",
            '  case "$name" in',
            *within,
            "  esac",
            '  case "$name" in',
            *cases,
            "    *) return;;",
            "  esac",
            '  if [ -z "$value" ] && [ "${word:0:1}" = - ]; then',
            '    COMPREPLY=($(compgen -W "$options" -- "$word")); return',
            "  fi",
            '  COMPREPLY=($(compgen -W "$names" -- "$word"))',
            "  $also",
            "}",
            "complete -F _vitascope vitascope",
            "",
        ]
    )


def _seconds(commands: Sequence[Described], group: str) -> list[str]:
    return [command.command.split()[1] for command in commands if command.command.startswith(f"{group} ")]


def _firsts(commands: Sequence[Described]) -> dict[str, str]:
    """First words of all commands, and what they do."""
    found: dict[str, str] = {}
    for command in commands:
        first, _, second = command.command.partition(" ")
        told = second or sentence(command.about)
        found[first] = f"{found[first]}, {told}" if first in found else told
    return found


def _zsh(commands: Sequence[Described]) -> str:
    def action(option: Option, places: Sequence[Option] = ()) -> str:
        names = " ".join(_names(option))
        if _is_path(option, places):
            return f" _vitascope_names_or_files {names}" if names else "_files"
        return f"({names})" if names else " "

    def spec(option: Option) -> str:
        told = re.sub(r"[][:\\]", r"\\\g<0>", sentence(option.text))
        if not option.value:
            return _quoted(f"{option.spelt}[{told}]")
        apart = "::" if option.value.startswith("[") else ":"  # what may stand alone, and what needs its value
        value = f"{apart}{option.name}:{action(option)}"
        return _quoted(f"{option.spelt}{'' if apart == '::' else '='}[{told}]{value}")

    cases = []
    for command in commands:
        places = command.by_place()
        given = [
            _quoted(f"{'*' if option.value.endswith('…') else n}:{option.name}:{action(option, places)}")
            for n, option in enumerate(places, start=1)
        ]
        specs = " \\\n      ".join([*map(spec, _all(command)), *given])
        cases.append(f"    {_quoted(command.command)}) _arguments \\\n      {specs};;")
    groups = dict.fromkeys(command.command.split()[0] for command in commands if " " in command.command)
    within = [
        f"    {group}) if (( CURRENT == 3 )); then _values command {' '.join(_seconds(commands, group))}; return; fi\n"
        '      name="$words[2] $words[3]"; shift words; (( CURRENT-- ));;'
        for group in groups
    ]
    told = [_quoted(f"{name}:{about}") for name, about in _firsts(commands).items()]
    return "\n".join(
        [
            "#compdef vitascope",
            '# Completion of vitascope for zsh; vitascope completion zsh > "${fpath[1]}/_vitascope"',
            "_vitascope_names_or_files() {",
            '  _alternative "names:name:($*)" "files:file:_files"',
            "}",
            "_vitascope() {",
            '  local name="$words[2]"',
            "  if (( CURRENT == 2 )); then",
            f"    local -a commands=({' '.join(told)})",
            "    _describe command commands; return",
            "  fi",
            '  case "$name" in',
            *within,
            "  esac",
            "  shift words; (( CURRENT-- ))",
            '  case "$name" in',
            *cases,
            "  esac",
            "}",
            'if [ "$funcstack[1]" = _vitascope ]; then _vitascope "$@"; else compdef _vitascope vitascope; fi',
            "",
        ]
    )


def _fish(commands: Sequence[Described]) -> str:
    def text(said: str) -> str:
        return "'" + said.replace("\\", "\\\\").replace("'", "\\'") + "'"

    lines = [
        "# Completion of vitascope for fish; vitascope completion fish > ~/.config/fish/completions/vitascope.fish",
        "function __vitascope_in",
        "    set -l words (commandline -opc)",
        "    set -l n (count $argv)",
        "    if test $n -eq 0",
        "        test (count $words) -eq 1; return",
        "    end",
        "    set -l last (math $n + 1)",
        '    test (count $words) -ge $last; and test "$words[2..$last]" = "$argv"',
        "end",
        "complete -c vitascope -f",
    ]
    for name, about in _firsts(commands).items():
        lines.append(f"complete -c vitascope -n __vitascope_in -a {name} -d {text(about)}")
    for command in commands:
        first, *second = command.command.split()
        if second:
            only = f"-n {text(f'__vitascope_in {first}; and test (count (commandline -opc)) -eq 2')}"
            lines.append(f"complete -c vitascope {only} -a {second[0]} -d {text(sentence(command.about))}")
        start = f"complete -c vitascope -n {text(f'__vitascope_in {command.command}')}"
        places = command.by_place()
        for option in places:
            files = " -F" if _is_path(option, places) else ""
            names = f" -a {text(' '.join(_names(option)))}" if _names(option) else ""
            lines.append(f"{start}{files}{names}")
        for option in _all(command):
            how = f"{start} -l {option.spelt[2:]} -d {text(sentence(option.text))}"
            names = f" -a {text(' '.join(_names(option)))}" if _names(option) else ""
            needs = "" if not option.value or option.value.startswith("[") else " -r -F" if _is_path(option) else " -x"
            lines.append(f"{how}{needs}{names}")
    return "\n".join([*lines, ""])
