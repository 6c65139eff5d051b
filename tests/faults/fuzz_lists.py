"""CSV lists of images with cells, rows, columns and bytes changed, opened and read in a bounded process."""

from __future__ import annotations

import csv
import io
import os
import random
import tempfile
from collections import Counter
from pathlib import Path

from faults.limited import READ, REFUSED, outcomes
from tiny import image_folder

_TOGETHER = 250  # files that lie on the disk at once
CELLS = (
    *("", " ", ".", "..", "/", "~", "\0", "\n", "a\nb", "\x1b[31m", '"', '""', "'", "=1+1", "é\u2028", "\ufeff", "nan"),
    *("../../../../etc/passwd", "/etc/passwd", "/dev/zero", "/proc/self/environ", "zero", "loop", "pipe", "broken"),
    *("ant/000.png", "ant", "none.png", "ant/" * 1200 + "000.png", "x" * 7000, "a,b", "a;b", "a\tb", "True", "null"),
    *("0", "-1", "007", "1.5", "1e9", "999999999", str(2**63), str(10**400), "2020-01-01", "12:30", "0x10", "train"),
)
HEADS = ("file", "label", "split", "path", "image", "class", "", "FILE", "file ", "x" * 3000, "a\nb", "é")


def run(seed: int, count: int) -> dict[str, int]:
    """`count` lists → how often each outcome was met; all but READ and REFUSED are faults, told with the index.

    `damaged(seed, index)` makes the same list again.
    """
    met: Counter[str] = Counter()
    for start in range(0, count, _TOGETHER):
        with tempfile.TemporaryDirectory() as name:
            folder = surroundings(Path(name))
            files: dict[Path, int] = {}
            for index in range(start, min(start + _TOGETHER, count)):
                files[folder / f"{index}.csv"] = index
                (folder / f"{index}.csv").write_bytes(damaged(seed, index))
            for file, (outcome, message) in outcomes(list(files)).items():
                fault = outcome not in (READ, REFUSED)
                met[f"{files[file]}: {outcome} {message}" if fault else outcome] += 1
    return dict(met)


def surroundings(folder: Path) -> Path:
    """Images, and what else a list may name."""
    image_folder(folder, 9)
    (folder / "zero").symlink_to("/dev/zero")
    (folder / "loop").symlink_to("loop")
    (folder / "broken").symlink_to("nowhere")
    os.mkfifo(folder / "pipe")
    return folder


def damaged(seed: int, index: int) -> bytes:
    """Content of list `index`."""
    draw = random.Random(f"{seed} {index}")
    files = [f"{name}/{i:03}.png" for i, name in zip(range(9), ("ant", "bee", "cat") * 3, strict=True)]
    rows = [[file, draw.choice((file[:3], str(ord(file[0])))), draw.choice(("train", "test"))] for file in files]
    columns = draw.choice((2, 3))
    table = [row[:columns] for row in [["file", "label", "split"], *rows]]
    for _ in range(draw.choice((0, 1, 1, 2, 5))):
        _change(table, draw)
    text = io.StringIO()
    dialect = {"delimiter": draw.choice(",,;\t"), "lineterminator": draw.choice(("\n", "\r\n"))}
    csv.writer(text, **dialect).writerows(table)
    encoding = "utf-8" if draw.random() < 0.9 else draw.choice(("utf-16", "latin-1", "utf-8-sig"))
    content = text.getvalue().encode(encoding, errors="replace")
    return _spoiled(content, draw) if draw.random() < 0.3 else content


def _change(table: list[list[str]], draw: random.Random) -> None:
    row = draw.randrange(len(table))
    place = draw.randrange(len(table[row]) or 1)
    match draw.randrange(8):
        case 0 | 1 | 2 if table[row]:
            table[row][place] = draw.choice(HEADS if row == 0 else CELLS)
        case 3:
            for other in table[1:]:  # the same in a whole column
                other[place : place + 1] = [draw.choice(CELLS)] if draw.random() < 0.2 else ["1e9"]
        case 4:
            for number, other in enumerate(table):
                other.append(draw.choice(HEADS) if number == 0 else draw.choice(CELLS))
        case 5:
            table[row] = (table[row] * draw.choice((0, 2, 1000)))[:20_000]
        case 6:
            times = min(draw.choice((1, 20, 3000)), 100_000 // (len(str(table[row])) + 1))
            table[row:row] = [list(table[row]) for _ in range(times)]
        case _:
            del table[draw.randrange(len(table)) :]
            table.append(["file", "label"])


def _spoiled(content: bytes, draw: random.Random) -> bytes:
    at = draw.randrange(len(content) or 1)
    new = draw.choice((b"\0", b"\0" * 5000, b'"', b'"' * 100_001, b"\xff\xfe", b"\r", b",", b"\n" * 100_000, b"\xc3"))
    return content[:at] + draw.choice((new, b"")) + content[at + draw.choice((0, 1, 64)) :]
