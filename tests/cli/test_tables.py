"""What is printed is legible at 80 and at 100 columns, and where a terminal has ASCII alone."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console as Rich

from commanding import Run
from vitascope.cli import COMMANDS, main
from vitascope.cli.plain import as_shown
from vitascope.cli.tables import table
from vitascope.models.catalogue import model_names

TABLES: dict[str, list[str]] = {
    "check": ["check", "{place}/images", "--all"],
    "data": ["data"],
    "models": ["models"],
    "models --starts": ["models", "--starts"],
    "models --fields": ["models", "--fields"],
    "evaluate": ["evaluate", "{place}/run", "{place}/others"],
    "fewshot": ["fewshot", "{place}/run", "{place}/images", "--test={place}/others", "--shots=1,5", "--device=cpu"],
    "predict": ["predict", "{place}/run", "{place}/others", "--device=cpu"],
    "similar": ["similar", "{place}/run", "{place}/images/ant/000.png", "{place}/others", "--device=cpu"],
    "compare": ["compare", "{place}/run", "{place}/run/model", "{place}/others", "--device=cpu"],
    "enough": ["enough", "{place}/images", "--start={place}/run", "--device=cpu"],
    "teach": ["teach", "{place}/run", "{place}/images", "--out={out}"],
}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No counting of large models."""
    monkeypatch.setattr("vitascope.models.catalogue.count_parameters", lambda config: 12345)
    monkeypatch.setattr("vitascope.models.catalogue.forward_flops", lambda config: 12e9)


def words(name: str, place: Path, out: Path) -> list[str]:
    """A command that prints a table."""
    return [word.format(place=place, out=out) for word in TABLES[name]]


@pytest.mark.parametrize("width", [80, 100])
@pytest.mark.parametrize("name", TABLES)
def test_no_line_is_wider_than_the_terminal_and_no_word_broken(
    name: str, width: int, place: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)  # so that paths are short
    monkeypatch.setenv("COLUMNS", str(width))
    code, out, _ = run(*words(name, Path(), tmp_path / "out"))
    assert code == 0
    assert max(map(len, out.splitlines())) <= width
    if name not in ("compare", "teach"):  # which tell how long something takes
        monkeypatch.delenv("COLUMNS")
        whole = run(*words(name, Path(), tmp_path / "out"))[1]
        said = {"name"} | {word for narrow in out.split() for word in (narrow, narrow.rstrip(":"))}
        assert not [word for word in whole.split() if word not in said and set(word) != {"─"}]


@pytest.mark.parametrize("name", [*TABLES, *(f"{command} --help-all" for command in COMMANDS)])
def test_a_terminal_of_ascii_is_told_all_the_same(
    name: str, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    streams = {stream: io.TextIOWrapper(io.BytesIO(), encoding="ascii") for stream in ("stdout", "stderr")}
    for stream, file in streams.items():
        monkeypatch.setattr(sys, stream, file)
    monkeypatch.setenv("COLUMNS", "80")
    assert main(words(name, place, tmp_path / "out") if name in TABLES else name.split()) == 0
    for file in streams.values():
        file.flush()
        said = file.buffer.getvalue().decode("ascii")
        assert "\\u" not in said
        assert "\\x" not in said
        assert max(map(len, said.splitlines()), default=0) <= 80 or file is streams["stderr"]


@pytest.mark.parametrize("locale", [{"LC_ALL": "C"}, {"LC_ALL": "POSIX"}, {"PYTHONIOENCODING": "ascii"}])
def test_the_locale_c_is_ascii_though_python_takes_it_for_utf8(locale: dict[str, str]) -> None:
    environment = {"PATH": "", "PYTHONPATH": ":".join(sys.path), **locale}
    told = subprocess.run(
        [sys.executable, "-m", "vitascope", "data"], capture_output=True, check=True, env=environment
    ).stdout.decode("ascii")
    assert "32x32 colour" in told
    assert "..." in told


@pytest.mark.parametrize(("text", "shown"), [("BiT-R50x½ ± 3 …", "BiT-R50x0.5 +/- 3 ..."), ("é", "\\xe9"), ("a", "a")])
def test_what_stands_for_letters_that_ascii_lacks(text: str, shown: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    assert as_shown(text) == shown
    monkeypatch.setattr("sys.stdout", io.StringIO())
    assert as_shown(text) == text


def drawn(columns: list[str], rows: list[list[str]], width: int | None, **how: Any) -> list[str]:
    """A table's lines."""
    rich = Rich(file=io.StringIO(), width=width or 1000, record=True)
    rich.print(table(columns, rows, width, plain=how.get("plain", False)))
    return [line.rstrip() for line in rich.export_text().splitlines() if line.strip()]


def test_sentences_are_wrapped_and_words_kept() -> None:
    rows = [["a/long/path/of/a/photograph.jpg", "cat", "12.5 %", "a remark of many words that may be wrapped"]]
    columns = ["file", "label", "probability", "what"]
    assert drawn(columns, rows, 84)[2:] == [
        " a/long/path/of/a/photograph.jpg   cat          12.5 %   a remark of many words",
        "                                                         that may be wrapped",
    ]
    assert drawn(columns, rows, None)[2].endswith("a remark of many words that may be wrapped")
    assert drawn(columns, rows, 60) == [
        "a/long/path/of/a/photograph.jpg",
        "    label: cat",
        "    probability: 12.5 %",
        "    what: a remark of many words that may be wrapped",
    ]
    assert drawn(columns, rows, None, plain=True)[1].strip(" -") == ""


def test_a_number_stays_with_its_unit_and_keeps_its_name() -> None:
    columns, rows = [f"{share} %" for share in range(10, 110, 10)], [["100.0 %"] * 10]
    assert drawn(columns, rows, 99)[2].split("   ") == [" 100.0 %", *["100.0 %"] * 9]
    assert drawn(columns, rows, 80) == ["10 %: 100.0 %", *(f"    {name}: 100.0 %" for name in columns[1:])]


def test_the_catalogue_s_names_stay_whole_in_the_narrowest_terminal(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    lines = run("models")[1].splitlines()
    assert all(name in lines for name in model_names())
