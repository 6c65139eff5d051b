"""A run's folder is never lost by mistake."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tiny import pretrain_recipe
from vitascope.errors import ConfigError
from vitascope.recipes.run_folder import check_free, check_same, locked, start_folder, stored_config, stored_data
from vitascope.version import source_commit

CLASSES = ("ant", "bee")


def started(folder: Path) -> Path:
    start_folder(folder, pretrain_recipe(folder, save_every=2), CLASSES, 18, overwrite=False)
    return folder


def test_a_new_or_empty_folder_is_free(tmp_path: Path) -> None:
    check_free(tmp_path / "new", resume=False, overwrite=False)
    check_free(tmp_path, resume=False, overwrite=False)
    check_free(tmp_path / "new", resume=False, overwrite=True)


def test_a_run_is_kept_unless_asked_otherwise(tmp_path: Path) -> None:
    run = started(tmp_path / "run")
    with pytest.raises(ConfigError, match="exists; choose another --out, or give --resume or --overwrite"):
        check_free(run, resume=False, overwrite=False)
    check_free(run, resume=True, overwrite=False)
    check_free(run, resume=False, overwrite=True)


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
    start_folder(run, pretrain_recipe(run), CLASSES, 18, overwrite=True)
    assert sorted(p.name for p in run.iterdir()) == ["config.yaml", "environment.json", "labels.json"]


def test_the_environment_is_written_down(tmp_path: Path) -> None:
    values = json.loads((started(tmp_path / "run") / "environment.json").read_text())
    assert {"vitascope", "python", "torch", "processor", "threads", "command"} <= values.keys()
    assert {name: values[name] for name in ("commit", "dirty") if name in values} == source_commit()


def test_the_same_run_is_recognised(tmp_path: Path) -> None:
    run = started(tmp_path / "run")
    assert check_same(run, pretrain_recipe(run), CLASSES, 18)["steps"] == 8


def test_everything_that_changed_is_listed_at_once(tmp_path: Path) -> None:
    run = started(tmp_path / "run")
    with pytest.raises(ConfigError) as caught:
        check_same(run, pretrain_recipe(run, lr=0.5, model="ViT-S/8"), ("ant", "wasp"), 19)
    for part in ("lr: 0.5, was 0.003", "model: ViT-S/8, was ViT-Ti/8", "ant, wasp", "ant, bee", "19, was 18"):
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)
    assert f"--config {run / 'config.yaml'}" in str(caught.value)


def test_names_of_classes_do_not_depend_on_the_machines_encoding(tmp_path: Path) -> None:
    code = f"""
import locale
from pathlib import Path
from tiny import pretrain_recipe
from vitascope.recipes.run_folder import start_folder, stored_config, stored_data
assert locale.getencoding() != "UTF-8"
run = Path({str(tmp_path / "run")!r})
start_folder(run, pretrain_recipe(run, data="\\u732b"), ("ant", "\\u732b\\n\\"y\\""), 18, overwrite=False)
assert stored_data(run) == (("ant", "\\u732b\\n\\"y\\""), 18)
assert stored_config(run)["data"] == "\\u732b"
"""
    environment = {
        "LC_ALL": "C",
        "PYTHONUTF8": "0",
        "PYTHONCOERCECLOCALE": "0",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, **environment})
    assert stored_data(tmp_path / "run") == (("ant", '猫\n"y"'), 18)


@pytest.mark.parametrize("content", ["", "- 1\n", "steps: [", "steps: 3\n", "\0"])
def test_a_config_that_is_none_is_refused(tmp_path: Path, content: str) -> None:
    run = started(tmp_path / "run")
    (run / "config.yaml").write_text(content)
    with pytest.raises(ConfigError, match=r"config\.yaml cannot be read"):
        stored_config(run)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"labels": 3, "train_images": 1}'])
def test_labels_that_are_none_are_refused(tmp_path: Path, content: str) -> None:
    run = started(tmp_path / "run")
    (run / "labels.json").write_text(content)
    with pytest.raises(ConfigError, match=r"labels\.json cannot be read"):
        check_same(run, pretrain_recipe(run), CLASSES, 18)


def test_two_processes_do_not_train_in_one_folder(tmp_path: Path) -> None:
    run = started(tmp_path / "run")
    code = f"""
from pathlib import Path
from vitascope.errors import ConfigError
from vitascope.recipes.run_folder import locked
try:
    with locked(Path({str(run)!r})):
        print("locked")
except ConfigError as error:
    print(error)
"""
    with locked(run), pytest.raises(ConfigError, match="another process is training in"):
        start_folder(run, pretrain_recipe(run), CLASSES, 18, overwrite=True)
    assert (run / "config.yaml").is_file()
    with locked(run):
        second = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "another process is training in" in second
    with locked(run):
        pass
