"""Completion typed into real shells, each through a terminal of its own; those that are missing are skipped."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import time
from pathlib import Path

import pytest

from commanding import Run
from vitascope.cli import COMMANDS, described

STARTS = {
    "bash": (["--norc", "--noprofile", "-i"], 'vitascope() {{ printf "<%s>" "$@"; echo END; }}; source {script}'),
    "zsh": (
        ["-f", "-i"],
        'autoload -Uz compinit && compinit -u -d {dump}; vitascope() {{ printf "<%s>" "$@"; echo END; }}; '
        "source {script}",
    ),
    "fish": (["--no-config", "-i"], 'function vitascope; printf "<%s>" $argv; echo END; end; source {script}'),
}
TYPED = [
    ("fine\t ck photos", "<finetune><ck><photos>"),
    ("evaluate ck digits --spl\tte\t", "<evaluate><ck><digits><--split><test>"),
    ("stu\tinduc\tck", "<study><inductive-bias><ck>"),
    ("study compute --dry\t", "<study><compute><--dry-run>"),
    ("check pho\t", "<check><photos>"),
    ("evaluate ck digits --labels cla\t", "<evaluate><ck><digits><--labels><classes.txt>"),
    ("pretrain digits --model R26+ViT-S\t", "<pretrain><digits><--model><R26+ViT-S/32>"),
    ("pretrain digits --augment.ran\tm\t 3", "<pretrain><digits><--augment.randaugment-magnitude><3>"),
    (
        "train photos --start timm/vit_small_patch16_224.aug\t",
        "<train><photos><--start><timm/vit_small_patch16_224.augreg_in21k>",
    ),
    ("check digi\t", "<check><digits>"),
]


class Terminal:
    """A shell in a terminal."""

    def __init__(self, shell: str, folder: Path) -> None:
        words, setup = STARTS[shell]
        self.pid, self.end = pty.fork()
        if self.pid == 0:
            keep = {"PATH": os.environ["PATH"], "HOME": str(folder), "TERM": "dumb", "LC_ALL": "C.UTF-8", "PS1": "$ "}
            os.chdir(folder)
            os.execvpe(shell, [shell, *words], keep)
        self.said = ""
        self.type(setup.format(script=folder.parent / f"completion.{shell}", dump=folder.parent / "dump") + "\n")
        self.type("vitascope ready\n")
        self.wait("<ready>END")

    def type(self, text: str) -> None:
        """Keys, each answered before the next: what is typed by its echo, Tab by what it adds."""
        for part in filter(None, re.split(r"(\t)", text)):
            os.write(self.end, part.encode())
            select.select([self.end], [], [], 5)
            self.wait(None, 0.1)

    def wait(self, text: str | None, seconds: float = 20.0) -> str:
        """What is said until `text`, or until nothing comes for so long."""
        until = time.monotonic() + seconds
        while (text is None or text not in self.said) and time.monotonic() < until:
            if select.select([self.end], [], [], 0.05)[0]:
                self.said += os.read(self.end, 65536).decode(errors="replace")
                until = time.monotonic() + seconds
        said, self.said = self.said, "" if text else self.said
        return said

    def close(self) -> None:
        """Ends it."""
        os.kill(self.pid, 9)
        os.waitpid(self.pid, 0)
        os.close(self.end)


@pytest.mark.parametrize("shell", STARTS)
def test_what_is_typed_is_completed(shell: str, run: Run, tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    folder = tmp_path / "home"
    (folder / "photos").mkdir(parents=True)
    (folder / "classes.txt").touch()
    (tmp_path / f"completion.{shell}").write_text(run("completion", shell)[1])
    terminal = Terminal(shell, folder)
    try:
        for keys, meant in TYPED:
            terminal.type(f"vitascope {keys}")
            terminal.type("\n")
            said = terminal.wait("END").split("<", 1)[-1]
            words = "<" + said.split("END")[0].strip()
            assert words.replace("=", "><").replace(" ", "").replace("/>", ">") == meant
    finally:
        terminal.close()


@pytest.mark.parametrize("shell", STARTS)
def test_a_script_knows_every_command_and_option(shell: str, run: Run) -> None:
    code, out, err = run("completion", shell)
    assert (code, err) == (0, "")
    for name in COMMANDS:
        assert all(word in out for word in name.split())
        for _, options in described(name).groups():
            for option in options:
                assert option.spelt[2:] in out
                assert all(choice in out for choice in option.choices)
