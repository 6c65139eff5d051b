"""Help in two tiers: a screen of what matters first, and all of it, from the dataclasses alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, get_args

import pytest

from vitascope.checkpoints.formats.names import FORMATS, FormatName
from vitascope.cli import COMMANDS, described, main
from vitascope.cli.console import Console
from vitascope.cli.help import help_text
from vitascope.cli.options import Described


@pytest.mark.parametrize("name", COMMANDS)
def test_what_matters_first_is_a_screen(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    command = described(name)
    lines = help_text(command, width=80).splitlines()
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 80
    assert f"vitascope {name} --help-all" in " ".join(lines[-2:])
    assert main([*name.split(), "--help"]) == 0
    shown = capsys.readouterr().out
    assert all(option.spelt in shown for option in command.first())
    every = [option for _, options in command.groups() for option in options]
    assert all(f"\n  {option.spelt} " in shown for option in every if option.required)
    assert main(["help", *name.split()]) == main([*name.split(), "-h"]) == 0
    assert capsys.readouterr().out == shown * 2


@pytest.mark.parametrize("name", COMMANDS)
def test_all_help_tells_every_option_in_words_of_people(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    command = described(name)
    assert main([*name.split(), "--help-all"]) == 0
    text = capsys.readouterr().out
    options = [option for _, group in command.groups() for option in group]
    assert all(f"  {option.spelt}" in text for option in options)
    assert all(option.text.strip() for option in [*options, *command.by_place()])
    named = {option.name.partition(".")[0] for option in options} | command.places.keys()
    assert command.fields.keys() <= named
    assert not [word for word in ("type:", "Union", "Optional", "NoneType", "null", "<class") if word in text]
    assert not [line for line in text.splitlines() if line.strip().startswith("--") and "_" in line.split()[0]]


def test_the_list_of_commands_fits_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert len(lines) <= 50


@dataclass(frozen=True, kw_only=True)
class Base:
    """What both have."""

    FIRST: ClassVar[tuple[str, ...]] = ("size",)

    size: int | tuple[int, int] = 3
    """How large. Or [height, width]."""
    long_name: bool = False
    """Beside `size` this."""


@dataclass(frozen=True, kw_only=True)
class Made(Base):
    """A thing. More of it."""

    where: str
    """A place."""
    size: int | tuple[int, int] = 4


def make(made: Made, console: Console) -> None:
    """Makes it."""


def test_an_overridden_field_keeps_its_docstring_and_shows_its_own_default() -> None:
    command = Described("make", "where", "make a thing", make)
    assert help_text(command, width=80).splitlines() == [
        "usage: vitascope make WHERE [options]",
        "",
        "Make a thing.",
        "",
        "  WHERE     A place.",
        "  --size N  How large. (default: 4)",
        "  --json    Print one JSON object and nothing else.",
        "",
        "vitascope make --help-all: 6 more options, and all that is to say of each.",
    ]
    text = help_text(command, everything=True, width=80)
    assert "\nA thing:\n  --size N     How large. Or [height, width]. (default: 4)\n" in text
    assert "  --long-name  Beside --size this.\n" in text


def test_a_name_that_is_no_field_is_an_error() -> None:
    class Wrong(Base):
        FIRST = ("none",)

    command = Described("make", "where", "make a thing", make)
    command.kinds = [Wrong]
    with pytest.raises(KeyError):
        command.first()


def test_the_names_of_formats_are_those_that_are_written() -> None:
    assert get_args(FormatName) == tuple(FORMATS)
