"""A study some of whose files were lost or garbled: what can be done again is, the rest is one line."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from tiny_study import data_scaling, do, quicker, target
from vitascope.errors import ConfigError
from vitascope.lock import locked
from vitascope.studies.study import plan_study

KEY = "ViT-32_8-20-4-s0"
GARBLED = {"empty": b"", "nul": b"\0" * 300, "half": b'{"on": {"proc', "bytes": b"\xff\xfe\x80", "list": b"[1, 2]"}


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    quicker(monkeypatch)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study that is done, with the checkpoints that its runs would have gone on from."""
    place = tmp_path_factory.mktemp("done")
    target(place / "images")
    with pytest.MonkeyPatch.context() as patch:
        quicker(patch)
        patch.setattr("vitascope.studies.cells.shutil", SimpleNamespace(rmtree=lambda *_, **__: None))
        do(data_scaling(place / "out", place / "images"))
    return place


@pytest.fixture
def study(done: Path, tmp_path: Path) -> Path:
    shutil.copytree(done / "out", tmp_path / "out")
    return tmp_path / "out"


def same_tables(out: Path, done: Path) -> None:
    do(data_scaling(out, done / "images"))
    assert (out / "table.csv").read_bytes() == (done / "out" / "table.csv").read_bytes()


@pytest.mark.parametrize("content", GARBLED.values(), ids=GARBLED)
def test_a_garbled_row_and_garbled_costs_are_made_again(content: bytes, study: Path, done: Path) -> None:
    (study / "cells" / f"{KEY}.json").write_bytes(content)
    (study / "costs.json").write_bytes(content)
    same_tables(study, done)


@pytest.mark.parametrize("content", [b"{}", b'{"model": "ViT", "seed": 0}'])
def test_a_row_that_is_none_is_made_again(content: bytes, study: Path, done: Path) -> None:
    (study / "cells" / f"{KEY}.json").write_bytes(content)
    same_tables(study, done)


@pytest.mark.parametrize("content", GARBLED.values(), ids=GARBLED)
def test_garbled_settings_are_one_line_with_what_to_do(content: bytes, study: Path, done: Path) -> None:
    (study / "settings.json").write_bytes(content)
    with pytest.raises(ConfigError, match=r"settings\.json cannot be read") as caught:
        do(data_scaling(study, done / "images"))
    assert "\n" not in str(caught.value)
    assert "choose another --out" in str(caught.value)


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


@pytest.mark.parametrize(
    "damage",
    [
        lambda run: (run / "results.json").write_bytes(b"\0" * 90),
        lambda run: truncate(run / "metrics.jsonl"),
        lambda run: (run / "metrics.jsonl").unlink(),
        lambda run: truncate(run / "model" / "model.safetensors"),
        lambda run: (run / "results.json").unlink() or (run / "config.yaml").write_bytes(b""),
        lambda run: (run / "results.json").unlink() or (run / "labels.json").write_bytes(b"\xff"),
        lambda run: (run / "results.json").unlink() or truncate(next(run.glob("checkpoints/step-*/counters.json"))),
        lambda run: (run / "results.json").unlink() or truncate(run / "checkpoints" / "best.safetensors"),
        lambda run: (run / "results.json").unlink() or shutil.rmtree(run / "checkpoints"),
    ],
    ids=["results", "record", "no-record", "model", "config", "labels", "checkpoint", "best", "no-checkpoints"],
)
def test_a_run_that_was_damaged_is_done_again(damage: Callable[[Path], None], study: Path, done: Path) -> None:
    (study / "cells" / f"{KEY}.json").unlink()
    damage(study / "runs" / KEY / "pretrain")
    same_tables(study, done)


def test_other_images_are_refused(study: Path, done: Path, tmp_path: Path) -> None:
    place = tmp_path / "images"
    shutil.copytree(done / "images", place)
    settings = json.loads((study / "settings.json").read_text().replace(str(done / "images"), str(place)))
    (study / "settings.json").write_text(json.dumps(settings))
    plan_study(data_scaling(study, place))  # the same images elsewhere, where the settings say so
    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(place / "test" / "ant" / "999.png")
    with pytest.raises(ConfigError, match=r"data: other files, names or sizes in .*images \(test\)"):
        plan_study(data_scaling(study, place))


@pytest.mark.skipif(os.name == "nt", reason="locks of POSIX")
def test_a_second_start_leaves_the_first_alone(study: Path, done: Path) -> None:
    code = "import sys; from pathlib import Path; from vitascope.lock import locked\nwith locked(Path(sys.argv[1])):\n"
    code += "    print('locked', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", code, str(study)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdin is not None
        assert other.stdout.readline() == b"locked\n"
        before = (study / "settings.json").stat().st_mtime_ns
        with pytest.raises(ConfigError, match="another process is at work in"):
            do(data_scaling(study, done / "images"))
        assert (study / "settings.json").stat().st_mtime_ns == before
        other.stdin.close()
    with locked(study):
        pass
