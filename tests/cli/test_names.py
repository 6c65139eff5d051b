"""Commands that are given a checkpoint's name in place of its path, against a server on the loopback."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

import vitascope as vs
from commanding import Run, refused
from depot import COMMIT, NAME, Depot
from ranks import begin, ended
from tiny import PLAIN, SIDE, command, finetune_recipe, image_folder, source, start
from vitascope.checkpoints.starts import STARTS
from vitascope.data.source import Splits
from vitascope.recipes.finetune import finetune


def card(model: Path) -> dict[str, Any]:
    held = json.loads((model / "config.json").read_text())["card"]
    assert isinstance(held, dict)
    return held


@pytest.mark.usefixtures("no_pictures")
def test_finetune_from_a_name(hub: Depot, tmp_path: Path, run: Run) -> None:
    photos, out = image_folder(tmp_path / "photos", 30), tmp_path / "run"
    words = ["--steps=4", "--batch=6", "--precision=float32", "--device=cpu", "--augment.crop=none", "--json"]
    code, said, err = run("finetune", f"hf:{NAME}", photos, "--out", out, *words)
    assert code == 0, err
    assert json.loads(said)["steps"] == 4
    origin = card(out / "model")["origin"]["fetched"]
    assert origin["revision"] == COMMIT
    assert origin["name"] == NAME
    assert list(origin["sha256"]) == ["model.safetensors"]
    told = (out / "model/README.md").read_text()
    assert COMMIT in told
    assert origin["sha256"]["model.safetensors"] in told
    hub.status = 503  # nothing more is asked for of a run that is done
    code, said, _ = run("evaluate", out, photos, "--json")
    assert code == 0


def test_every_command_about_a_checkpoint(hub: Depot, tmp_path: Path, run: Run) -> None:
    photos, others = image_folder(tmp_path / "photos", 30), image_folder(tmp_path / "others", 9, seed=1)
    (tmp_path / "labels.txt").write_text("ant\nbee\ncat\n")
    one = next(photos.rglob("*.png"))
    for words in (
        ["evaluate", NAME, photos, "--labels", tmp_path / "labels.txt", "--engine=eager"],
        ["predict", NAME, one, "--engine=eager"],
        ["fewshot", NAME, photos, "--test", others, "--shots=1", "--seeds=1"],
        ["convert", NAME, tmp_path / "converted", "--format=vitascope"],
    ):
        code, _, err = run(*words)
        assert code == 0, (words, err)
    assert card(tmp_path / "converted")["fetched"]["revision"] == COMMIT
    assert vs.Predictor(NAME)(str(one))[0][0][0] in "012"
    assert hub.fetched(".safetensors") == ["model.safetensors"]


def test_what_cannot_be_had_is_one_line(hub: Depot, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    hub.gated.add("someone/gated")
    hub.repositories["someone/gated"] = {}
    for name, said in {
        "someone/nothing": "the Hub has no such model",
        "someone/gated": "is gated: accept its terms at",
        f"{NAME}@v9": "has no revision 'v9'",
        "nothing.npz": "no such file or folder",
        "google:augreg/Ti_9": "there is no http",
    }.items():
        assert said in refused(capsys, "convert", name, out)
    assert "no such file or folder; expected a checkpoint's file" in refused(capsys, "serve", "nothing.npz")
    assert "DATA is missing" in refused(capsys, "finetune", f"hf:{NAME}", "--out", out)
    assert "is data and" in refused(capsys, "finetune", image_folder(tmp_path / "photos"), NAME, "--out", out)
    assert not out.exists()


def test_the_usual_variables_say_where_from_and_where_to(
    hub: Depot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1"}.items():
        monkeypatch.setenv(name, value)
    code, _, err = command("convert", NAME, tmp_path / "out")
    assert code == 2
    assert err.count("\n") == 1
    assert f"HF_HUB_OFFLINE is set; where there is a network run `hf download {NAME}`" in err
    assert hub.asked == []
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    for code, _, err in ended([start("convert", NAME, tmp_path / out) for out in ("one", "other")]):
        assert code == 0, err
    assert list((tmp_path / "home/hub").glob("models--*"))
    assert hub.fetched(".safetensors") == ["model.safetensors"]  # of two processes one fetches


def test_an_output_called_as_a_name_is_not_its_source(
    hub: Depot, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        assert run("convert", f"hf:{NAME}", "someone", "--overwrite")[0] == 0
    assert hub.fetched(".safetensors") == ["model.safetensors"]


@pytest.mark.usefixtures("no_pictures")
def test_a_run_goes_on_without_the_hub(hub: Depot, tmp_path: Path) -> None:
    splits = Splits(train=source(20), validation=source(9, seed=1))
    recipe = finetune_recipe(tmp_path / "run", NAME, image_size=SIDE, augment=PLAIN)
    finetune(recipe, splits=splits)
    hub.status = 500
    assert card(finetune(recipe, splits=splits, resume=True))["origin"]["fetched"]["revision"] == COMMIT


def test_processes_that_train_together_begin_with_the_same_start(hub: Depot, tmp_path: Path) -> None:
    """The first one chooses; the second has a better one at hand, which it would choose by itself."""
    worse, better = STARTS[0].name, STARTS[2].name
    homes = [{"HF_HOME": str(tmp_path / f"home{rank}"), "HF_HUB_OFFLINE": "1"} for rank in (0, 1)]
    for home, name in zip(homes, (worse, better), strict=True):
        hub.add(name, tmp_path / "tiny")
        vs.load(name)
        shutil.copytree(constants.HF_HUB_CACHE, Path(home["HF_HOME"]) / "hub", symlinks=True)
    photos = image_folder(tmp_path / "photos", 30)
    words = ["--steps=2", "--batch=6", f"--image_size={SIDE}", "--precision=float32", "--device=cpu"]
    ranks = [["finetune", "auto", photos, "--out", tmp_path / f"run{rank}", *words] for rank in (0, 1)]
    for code, _, err in ended(begin(*ranks, own=homes)):
        assert code == 0, err
        assert better not in err.partition("is taken, which is here")[2]
    origin = card(tmp_path / "run0/model")
    assert origin["checkpoint"] == origin["origin"]["fetched"]["name"] == worse


def test_the_table_of_starts(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    rates = {"predicted_per_second": {"median": 12.3}, "trained_per_second": {"median": 4.56}}
    kept = {"processor": "a processor", "measure": "images a second", "ways": {STARTS[2].name: rates}}
    monkeypatch.setattr("vitascope.checkpoints.starts.speeds", lambda processor: kept)
    some = (*STARTS[:3], *(start for start in STARTS if start.name == "timm/vit_base_patch16_224.mae"))
    monkeypatch.setattr("vitascope.checkpoints.starts.STARTS", some)
    told = json.loads(run("models", "--starts", "--json")[1])
    assert [row["name"] for row in told["starts"]] == [start.name for start in some]
    row = told["starts"][2]
    assert row["name"] == "timm/vit_small_patch16_224.augreg_in21k"
    assert (row["parameters"], row["gflop"], row["pixels"]) == (21_665_664, 9.2, 224)
    assert (row["licence"], row["top1"]) == ("Apache-2.0", 83.8)
    assert row["images_per_second"] == {"predicted": 12.3, "trained": 4.56}
    assert told["processor"] == "a processor"
    code, table, err = run("models", "--starts")
    assert (code, "12.3 / 4.56" in table, "CC-BY-NC-4.0" in table) == (0, True, True)
    assert "measured on a processor" in err
    assert run("models", "--starts", "--classes=10")[0] == 2
