"""Every command and every block of Python in README and docs/ runs as it stands, small, and gives what stands there."""

from __future__ import annotations

import re
import shutil
import sys
import threading
import tomllib
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx
import pytest

from documented import NEEDS, ROOT, Told, commands, fill, name_of, programs, small, spans
from optional import needs
from vitascope.cli import COMMANDS, described, main

COMMANDS_TOLD = list(commands())
RUN = [told for told in COMMANDS_TOLD if told.why_not is None]
PROGRAMS = [told for told in programs() if told.why_not is None]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    place, patch = tmp_path_factory.mktemp("filled"), pytest.MonkeyPatch()
    fill(place, patch)
    yield place
    patch.undo()


@pytest.fixture
def workshop(told: Told, filled: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with everything that a page's commands read, and what the commands before this one have written."""
    place = filled.parent / f"workshop of {told.page.replace('/', ' ')}"
    if not place.exists():
        shutil.copytree(filled, place)
    monkeypatch.chdir(place)
    return place


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A server ends as soon as it has shown its page; the pages' addresses."""
    if find_spec("uvicorn") is None:
        yield []
        return
    from vitascope.web import server

    shown: list[str] = []
    made, usual = server.make_server, server.serve
    servers: list[Any] = []

    def make(*given: Any) -> Any:
        servers.append(made(*given))
        return servers[-1]

    def serve(load: Any, settings: Any, opened: Any, on_ready: Any) -> None:
        def look() -> None:
            try:
                page = "/teach" if settings.teach else "/"
                shown.append(str(httpx.get(f"{server.address_of(opened)}{page}", timeout=30).raise_for_status().url))
            finally:
                servers[-1].should_exit = True

        def ready() -> None:
            on_ready()
            threading.Thread(target=look).start()

        usual(load, settings, opened, ready)

    monkeypatch.setattr(server, "make_server", make)
    monkeypatch.setattr(server, "serve", serve)
    yield shown


def needed(told: Told) -> None:
    """Skips, visibly, without a package that this needs."""
    for text, package in NEEDS.items():
        if text in told.text:
            needs(package)


@pytest.mark.parametrize("told", RUN, ids=str)
def test_commands_run(told: Told, workshop: Path, served: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert told.text.startswith("vitascope "), f"{told}: neither run nor in NOT_HERE; output and drawings are ```text"
    needed(told)
    words = small(told.text)
    out = words[words.index("--out") + 1] if "--out" in words else words[2] if words[0] in ("export", "convert") else ""
    for made in filter(None, [out, *(words[words.index(o) + 1] for o in ("--errors",) if o in words)]):
        shutil.rmtree(workshop / made, ignore_errors=True)
    code = main(words)
    said = capsys.readouterr()
    assert code == 0, f"{told}: {said.err}"
    assert not out or "--dry-run" in words or (workshop / out).exists()
    assert words[0] != "serve" or served


@pytest.mark.parametrize("told", PROGRAMS, ids=str)
def test_blocks_give_what_they_say(told: Told, workshop: Path) -> None:
    """What stands behind an arrow is what comes out."""
    needed(told)
    space: dict[str, Any] = {}
    statements: list[str] = []
    for line in told.text.splitlines():
        said, arrow, expected = line.partition("  # → ")
        if not arrow:
            statements.append(line)
            continue
        exec("\n".join(statements), space)
        statements = []
        assert repr(eval(said, space)) == expected, line
    exec("\n".join(statements), space)
    assert told.page != "docs/step_by_step.md" or told.text.count("# → ") > 10


OPTIONS = {option.spelt for name in COMMANDS for _, options in described(name).groups() for option in options}
OTHERS = {"--nproc-per-node", "--max-restarts", "--int8"}
"""Options of torchrun and of benchmarks/."""


@pytest.mark.parametrize("told", list(spans()), ids=str)
def test_commands_and_options_within_sentences_exist(told: Told) -> None:
    words = told.text.split()
    known = OPTIONS | OTHERS
    if words[0] == "vitascope":
        name = name_of(words[1:]) if words[1] != "COMMAND" else ""
        assert name in {*COMMANDS, *(command.split()[0] for command in COMMANDS), ""}, f"{told}: no command {name!r}"
        known = {o.spelt for _, options in described(name).groups() for o in options} if name in COMMANDS else known
    for option in re.findall(r"(?<!\S)--[a-z][a-z0-9.-]*", told.text):
        groups = {spelt.partition(".")[0] for spelt in known}
        assert option in known or option in groups, f"{told}: no option {option}"


def test_every_table_and_figure_of_the_paper_has_its_place() -> None:
    text = (ROOT / "docs" / "paper.md").read_text(encoding="utf-8")
    told = [item for title in re.findall(r"^### (.+)$", text, re.MULTILINE) for item in title.split(", ")]
    tables = [f"Table {number}" for number in range(1, 10)]
    assert sorted(told) == sorted([*tables, *(f"Figure {number}" for number in range(1, 15))])
    for part in re.split(r"^### ", text, flags=re.MULTILINE)[1:]:
        said = re.sub(r"^```.*?^```", "", part.split("\n## ")[0], flags=re.MULTILINE | re.DOTALL)
        assert len(said.partition("\n")[2].strip()) > 40, f"{part.splitlines()[0]}: nothing is said of it"
        for path in re.findall(r"`(results/[\w/.]+?)/?`", said):
            assert (ROOT / path).exists(), path


def test_what_is_not_run_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    reasons: dict[str, int] = {}
    for told in [*COMMANDS_TOLD, *programs()]:
        if told.why_not is not None:
            reasons[told.why_not] = reasons.get(told.why_not, 0) + 1
        if told.text.startswith("make "):
            assert told.text.split()[1] in targets, told
        for names in re.findall(r"pip install.*\[([\w,]+)\]", told.text):
            assert set(names.split(",")) <= set(extras), told
    with capsys.disabled():
        lines = sum(len(told.text.splitlines()) for told in PROGRAMS)
        print(f"\ndocumentation: {len(RUN)} commands run, {len(PROGRAMS)} pages of Python ({lines} lines) run", end="")
        print("".join(f"\n  not run: {number} ({why})" for why, number in reasons.items()), file=sys.stdout)
