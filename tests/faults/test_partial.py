"""`predict --csv` killed at any moment goes on: no row is lost or written twice, and the file is that of one go."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import vitascope as vs
from tiny_checkpoint import checkpoint
from vitascope.checkpoints.answer import Answer
from vitascope.cli import main
from vitascope.errors import DataError
from vitascope.inference.files import FilePrediction
from vitascope.inference.partial import partial_csv

LABELS = ("a,b", 'c "d"', "line\nbreak")
SETTINGS = {"checkpoint": "abc", "engine": "eager", "top": "3"}


def results(count: int) -> list[FilePrediction]:
    """Predictions and errors with names that CSV has to quote, one of which is no UTF-8."""
    names = ["plain.jpg", "com,ma.jpg", 'quo"te.jpg', "line\nbreak.jpg", "cr\r.jpg", os.fsdecode(b"odd\xff.jpg")]
    found = []
    for n in range(count):
        name = f"{n:02d}-{names[n % len(names)]}"
        order = np.random.default_rng(n).permutation(3)
        predictions = [(LABELS[i], int(i), round(0.5 / (k + 1), 6)) for k, i in enumerate(order)]
        found.append(
            FilePrediction(name, None, f'{name}: broken,\n"why"')
            if n % 4 == 3
            else FilePrediction(name, Answer(predictions=predictions, members=(None, (), LABELS[:2])[n % 3]))
        )
    return found


def go_on(path: Path, every: list[FilePrediction], until: int | None = None) -> int:
    """What is left; returns how many were there. Ends before it is whole at `until`."""
    with partial_csv(str(path), SETTINGS, [Path(result.file) for result in every]) as partial:
        before = len(partial.done)
        assert partial.done == every[:before]
        for result in every[before:until]:
            partial.add(result)
        if until is None:
            partial.finish()
        return before


def test_cut_at_any_byte_it_is_the_same_in_the_end(tmp_path: Path) -> None:
    every = results(12)
    go_on(tmp_path / "whole.csv", every)
    whole = (tmp_path / "whole.csv").read_bytes()
    go_on(tmp_path / "p.csv", every, until=10)
    content = (tmp_path / "p.csv.partial").read_bytes()
    counts = []
    for length in [*range(200), *range(200, len(content), 3), len(content)]:
        (tmp_path / "p.csv.partial").write_bytes(content[:length])
        counts.append(go_on(tmp_path / "p.csv", every))
        assert (tmp_path / "p.csv").read_bytes() == whole, length
        (tmp_path / "p.csv").unlink()
        assert [p.name for p in tmp_path.iterdir()] == ["whole.csv"]
    assert counts == sorted(counts), "more bytes, more rows"
    assert set(counts) == set(range(11))


@pytest.mark.parametrize(
    "content", [b"mine\n", b"mine", b"{}\n", b"[1]\n", b'{"vitascope predict": 3}\n', b"\xff\xfe\n"]
)
def test_a_file_of_this_name_that_is_not_ours_stays(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "p.csv.partial").write_bytes(content)
    with pytest.raises(DataError, match="no unfinished CSV file of ours"):
        go_on(tmp_path / "p.csv", results(4))
    assert (tmp_path / "p.csv.partial").read_bytes() == content


def test_other_settings_files_or_writers_are_refused(tmp_path: Path) -> None:
    every = results(8)
    go_on(tmp_path / "p.csv", every, until=4)
    files = [Path(result.file) for result in every]

    def opened(settings: dict[str, str] = SETTINGS, files: list[Path] = files) -> None:
        with partial_csv(str(tmp_path / "p.csv"), settings, files):
            pass

    with pytest.raises(DataError, match="begun with other checkpoint;"):
        opened({**SETTINGS, "checkpoint": "xyz"})
    with pytest.raises(DataError, match="begun with other files;"):
        opened(files=files[:-1])
    with partial_csv(str(tmp_path / "p.csv"), SETTINGS, files) as first:
        if os.name != "nt":
            with pytest.raises(DataError, match="another process is writing"):
                opened()
        (tmp_path / "p.csv").write_text("mine")
        with pytest.raises(DataError, match="exists by now"):
            first.finish()
    assert (tmp_path / "p.csv").read_text() == "mine"
    assert len(list(tmp_path.iterdir())) == 2


def test_killed_and_repeated(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    vs.save(checkpoint(), tmp_path / "ck")
    images = tmp_path / "images"
    images.mkdir()
    for n in range(40):
        Image.fromarray(np.random.default_rng(n).integers(0, 256, (20, 20, 3), np.uint8)).save(images / f"{n:02d}.png")
    (images / "07.png").write_bytes(b"no image")
    words = ["predict", str(tmp_path / "ck"), str(images), "--engine=eager", "--batch=2", "--device=cpu"]
    assert main([*words, "--csv", str(tmp_path / "one_go.csv")]) == 2  # one cannot be read
    out, partial = tmp_path / "new" / "p.csv", tmp_path / "new" / "p.csv.partial"
    slow = (  # so that there is time to be killed in
        "import sys, time\nfrom vitascope.inference.partial import Partial\nfrom vitascope.cli import main\n"
        "add = Partial.add\n"
        "def slowly(self, result):\n    add(self, result)\n    time.sleep(0.03)\n"
        "Partial.add = slowly\nsys.exit(main(sys.argv[1:]))"
    )
    flushed = b""
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGKILL):
        child = subprocess.Popen([sys.executable, "-c", slow, *words, "--csv", str(out)], stderr=subprocess.PIPE)
        begun = time.monotonic()
        while not partial.exists() or partial.stat().st_size < len(flushed) + 700:
            assert child.poll() is None
            assert time.monotonic() - begun < 60
            time.sleep(0.01)
        child.send_signal(number)
        child.wait()
        child.stderr.close()  # type: ignore[union-attr]
        assert partial.read_bytes().startswith(flushed), "no row that was flushed is lost"
        flushed = partial.read_bytes()
        assert not out.exists()
    shutil.copy(partial, tmp_path / "copy")
    capfd.readouterr()
    assert main([*words, "--csv", str(out), "--json"]) == 2
    assert "going on after" in capfd.readouterr().err
    assert out.read_bytes() == (tmp_path / "one_go.csv").read_bytes()
    assert [p.name for p in out.parent.iterdir()] == ["p.csv"]
    # What is whole is never touched again.
    assert main([*words, "--csv", str(out)]) == 2
    assert "exists; choose another --csv file" in capfd.readouterr().err
