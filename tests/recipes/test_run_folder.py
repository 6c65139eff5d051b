"""A run's folder is never lost by mistake."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tiny import pretrain_recipe
from vitascope.data.kept import ArraySource
from vitascope.errors import ConfigError
from vitascope.lock import locked
from vitascope.recipes.prepare import RunData
from vitascope.recipes.run_folder import check_free, check_same, clear, start_folder, stored_config, stored_data
from vitascope.version import source_commit

TOLD = {"train": "1" * 64, "validation": "2" * 64}


def data(n: int = 18, *classes: str, **told: str) -> RunData:
    train = ArraySource("any", classes or ("ant", "bee"), np.zeros(n, np.int64), np.zeros((n, 1, 1, 3), np.uint8))
    return RunData(train=train, validation=None, test=None, contents={**TOLD, **told})


def started(folder: Path, *, overwrite: bool = False) -> Path:
    with locked(folder):
        start_folder(folder, pretrain_recipe(folder, save_every=2), data(), overwrite)
    return folder


def test_a_new_or_empty_folder_is_free(tmp_path: Path) -> None:
    check_free(tmp_path / "new", resume=False, overwrite=False)
    check_free(tmp_path, resume=False, overwrite=False)
    check_free(tmp_path / "new", resume=False, overwrite=True)


def test_a_run_is_kept_unless_asked_otherwise(tmp_path: Path) -> None:
    run = started(tmp_path / "run")
    with pytest.raises(ConfigError, match="exists; choose another --out, or give --resume or --overwrite"):
        check_free(run, resume=False, overwrite=False)
    assert check_free(run, resume=True, overwrite=False)
    assert not check_free(run, resume=False, overwrite=True)


def test_overwrite_deletes_only_runs(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("ten years")
    with pytest.raises(ConfigError, match="not a run"):
        check_free(tmp_path, resume=False, overwrite=True)
    with pytest.raises(ConfigError, match="exists"):
        check_free(tmp_path, resume=False, overwrite=False)


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("x")
    for overwrite in (False, True):
        with pytest.raises(ConfigError):
            check_free(file, resume=False, overwrite=overwrite)


def test_there_must_be_a_run_to_resume(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no run to resume"):
        check_free(tmp_path, resume=True, overwrite=False)
    with pytest.raises(ConfigError, match="contradict"):
        check_free(tmp_path, resume=True, overwrite=True)


def test_auto_goes_on_where_there_is_a_run_and_starts_where_there_is_none(tmp_path: Path) -> None:
    assert not check_free(tmp_path / "run", resume="auto", overwrite=False)
    assert check_free(started(tmp_path / "run"), resume="auto", overwrite=False)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match="exists"):
        check_free(tmp_path / "other", resume="auto", overwrite=False)


def test_what_a_start_left_that_was_killed_is_in_nobodys_way(tmp_path: Path) -> None:
    run = started(tmp_path / "run")
    (run / "config.yaml").unlink()
    (run / ".config.yaml.x1.tmp").write_text("half")
    check_free(run, resume=False, overwrite=False)
    (run / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match="exists"):
        check_free(run, resume=False, overwrite=False)


def test_overwriting_leaves_nothing_of_the_old_run(tmp_path: Path) -> None:
    run = started(tmp_path / "run")
    (run / "metrics.jsonl").write_text("old")
    (run / "checkpoints" / "step-00000002").mkdir(parents=True)
    lock = (run / ".lock").stat().st_ino
    started(run, overwrite=True)
    assert sorted(p.name for p in run.iterdir()) == [".lock", "config.yaml", "environment.json", "labels.json"]
    assert (run / ".lock").stat().st_ino == lock, "another start may be waiting for this very file"


def test_a_run_half_deleted_is_a_run_still(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = started(tmp_path / "run")
    (run / "checkpoints").mkdir()

    def killed(path: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(shutil, "rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        clear(run)
    check_free(run, resume=False, overwrite=True)


def test_the_environment_is_written_down(tmp_path: Path) -> None:
    values = json.loads((started(tmp_path / "run") / "environment.json").read_text())
    assert {"vitascope", "python", "torch", "processor", "threads", "command"} <= values.keys()
    assert {name: values[name] for name in ("commit", "dirty") if name in values} == source_commit()


def test_the_same_run_is_recognised(tmp_path: Path) -> None:
    run = started(tmp_path / "run")
    assert check_same(run, pretrain_recipe(run), data())["steps"] == 8


def test_everything_that_changed_is_listed_at_once(tmp_path: Path) -> None:
    run = started(tmp_path / "run")
    with pytest.raises(ConfigError) as caught:
        check_same(run, pretrain_recipe(run, lr=0.5, model="ViT-S/8"), data(19, "ant", "wasp", train="3" * 64))
    for part in ("lr: 0.5, was 0.003", "model: ViT-S/8, was ViT-Ti/8", "ant, wasp", "ant, bee", "19, was 18"):
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)
    assert f"--config {run / 'config.yaml'}" in str(caught.value)


def test_other_images_are_refused_and_the_same_elsewhere_are_not(tmp_path: Path) -> None:
    run = started(tmp_path / "run")
    with pytest.raises(ConfigError, match="data: other files, names or sizes in validation"):
        check_same(run, pretrain_recipe(run), data(validation="4" * 64))
    with pytest.raises(ConfigError, match="data: other files, names or sizes in test"):
        check_same(run, pretrain_recipe(run), data(test="4" * 64))
    check_same(run, pretrain_recipe(run, data="moved"), data())


def test_images_left_out_from_now_on_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    check_same(started(tmp_path / "run"), pretrain_recipe(tmp_path / "run", on_error="skip"), data(17))
    assert "17 training images can be read, 18 at the start" in caplog.text


def test_a_run_of_an_older_version_is_not_gone_on_with(tmp_path: Path) -> None:
    run = started(tmp_path / "run")
    held = json.loads((run / "labels.json").read_text())
    del held["data"]
    (run / "labels.json").write_text(json.dumps(held))
    with pytest.raises(ConfigError, match="of an older version, which drew other orders; finish it with that"):
        check_same(run, pretrain_recipe(run), data())


def test_names_of_classes_do_not_depend_on_the_machines_encoding(tmp_path: Path) -> None:
    code = f"""
import locale
from pathlib import Path
from tiny import pretrain_recipe
from vitascope.data.kept import ArraySource
from vitascope.recipes.prepare import RunData
from vitascope.recipes.run_folder import start_folder, stored_config, stored_data
assert locale.getencoding() != "UTF-8"
run = Path({str(tmp_path / "run")!r})
run.mkdir()
train = ArraySource("any", ("ant", "\\u732b\\n\\"y\\""), [0] * 18, [])
data = RunData(train=train, validation=None, test=None, contents={{"train": "1"}})
start_folder(run, pretrain_recipe(run, data="\\u732b"), data, overwrite=False)
assert stored_data(run) == (("ant", "\\u732b\\n\\"y\\""), 18, {{"train": "1"}})
assert stored_config(run)["data"] == "\\u732b"
"""
    environment = {
        "LC_ALL": "C",
        "PYTHONUTF8": "0",
        "PYTHONCOERCECLOCALE": "0",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, **environment})
    assert stored_data(tmp_path / "run") == (("ant", '猫\n"y"'), 18, {"train": "1"})


@pytest.mark.parametrize("content", [b"", b"- 1\n", b"steps: [", b"steps: 3\n", b"\0" * 99, b"\xff\xfe\x00"])
def test_a_config_that_is_none_is_refused(tmp_path: Path, content: bytes) -> None:
    run = started(tmp_path / "run")
    (run / "config.yaml").write_bytes(content)
    with pytest.raises(ConfigError, match=r"config\.yaml cannot be read"):
        stored_config(run)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[" * 100_000,
        b"[]",
        b"{}",
        b'{"labels": 3, "train_images": 1, "data": {}}',
        b"\0" * 99,
        b'{"labels": ["\xff',
    ],
)
def test_labels_that_are_none_are_refused(tmp_path: Path, content: bytes) -> None:
    run = started(tmp_path / "run")
    (run / "labels.json").write_bytes(content)
    with pytest.raises(ConfigError, match=r"labels\.json cannot be read .*start again with --overwrite") as caught:
        check_same(run, pretrain_recipe(run), data())
    assert "\n" not in str(caught.value)
