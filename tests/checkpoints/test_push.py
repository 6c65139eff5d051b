"""What is pushed is what `load` fetches; nothing of anybody's is replaced, and whatever goes wrong is one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from huggingface_hub import constants

import vitascope as vs
from depot import COMMIT, Depot
from tiny_checkpoint import TINY, checkpoint, same
from vitascope.checkpoints.push import without_places
from vitascope.cli import main
from vitascope.evaluation.sets import PredictionSets

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # huggingface_hub's own

NAME = "me/tiny"
CARD = {"task": "fine-tuning", "data": "/home/me/secret/flowers", "recipe": {"out": "C:\\Users\\me\\run", "lr": 0.1}}
SETS = PredictionSets(coverage=0.9, least=(0.3,), images=90)


@pytest.fixture(autouse=True)
def here(depot: Depot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token that may write for `me`, files sent as they are, and a checkpoint."""
    depot.writers["hf_mine"] = {"me"}
    monkeypatch.setenv("HF_TOKEN", "hf_mine")
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    vs.save(checkpoint(labels=("ant", "bee", "cat"), card=CARD, sets=SETS), tmp_path / "run" / "model")


def pushed(tmp_path: Path, *words: str, name: str = NAME) -> int:
    return main(["push", str(tmp_path / "run"), name, *words])


def test_what_was_pushed_is_loaded(depot: Depot, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert pushed(tmp_path, "--json", "--license", "apache-2.0") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["repository"], told["url"], told["revision"]) == (NAME, f"{depot.url}/{NAME}", COMMIT)
    assert told["files"].keys() == {"README.md", "config.json", "model.safetensors", "preprocessor.json"}
    assert depot.private == {NAME: True}
    mine, theirs = vs.load(tmp_path / "run"), vs.load(NAME)
    assert same(mine.model, theirs.model)
    assert (theirs.labels, theirs.sets, theirs.preprocess) == (mine.labels, SETS, mine.preprocess)
    photo = np.zeros((20, 30, 3), np.uint8)
    assert vs.Predictor(NAME, "eager")(photo) == vs.Predictor(mine, "eager")(photo)
    readme = depot.repositories[NAME]["README.md"].decode()
    front = yaml.safe_load(readme.split("---")[1])
    assert (front["library_name"], front["license"]) == ("vitascope", "apache-2.0")
    assert f'vs.load("{NAME}")' in readme


def test_no_place_of_this_machine_is_sent(depot: Depot, tmp_path: Path) -> None:
    assert pushed(tmp_path) == 0
    everything = b"".join(depot.repositories[NAME].values())
    assert b"flowers" in everything
    for secret in (b"secret", b"/home", b"Users", str(tmp_path).encode()):
        assert secret not in everything


def test_places_become_their_last_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    given: dict[str, Any] = {"a": ["/x/y", "~/z", "../q/w", "a/b", "timm/vit", "1/2"], "b": {"c": 3, "d": None}}
    assert without_places(given) == {"a": ["y", "z", "w", "b", "timm/vit", "1/2"], "b": {"c": 3, "d": None}}


@pytest.mark.parametrize(
    ("key", "given", "sent"),
    [
        ("data", "clinic/patients", "patients"),  # from whatever folder it is pushed
        ("data", "webdataset:/home/Anna Mueller/x/{0..3}.tar", "webdataset:{0..3}.tar"),
        ("data", "train=/home/bob/a,val=/home/bob/b/", "train=a,val=b"),
        ("data", "file:///home/bob/x", "file:x"),
        ("data", r"C:\Users\bob\photos", "C:photos"),
        ("data", "hf:owner/name", "hf:owner/name"),
        ("checkpoint", "runs/secret/taught", "taught"),
        ("checkpoint", "timm/vit_small_patch16_224.dino", "timm/vit_small_patch16_224.dino"),
        ("said", "taught from /home/bob/run (see ~/notes/x.txt)", "taught from run (see x.txt)"),
        ("model", "ViT-B/16", "ViT-B/16"),
        ("files", ["Anna Mueller 1975.jpg", "b.jpg"], 2),
        ("file", "Anna Mueller 1975.jpg", "…"),
        ("unreadable", 3, 3),
    ],
)
def test_nothing_of_a_card_tells_of_people(key: str, given: Any, sent: Any) -> None:
    assert without_places({"origin": {key: given}}) == {"origin": {key: sent}}
    assert without_places({"/home/bob/a.jpg": 1}) == {"a.jpg": 1}


def test_public_and_half(depot: Depot, tmp_path: Path) -> None:
    assert pushed(tmp_path, "--public", "--half") == 0
    assert depot.private == {NAME: False}
    full = (tmp_path / "run/model/model.safetensors").stat().st_size
    assert len(depot.repositories[NAME]["model.safetensors"]) < 0.7 * full


def refused(capsys: pytest.CaptureFixture[str]) -> str:
    out, err = capsys.readouterr()
    assert out == ""
    lines = [line for line in err.splitlines() if line.startswith("vitascope push: error: ")]
    assert len(lines) == 1, err
    assert "Traceback" not in err
    return lines[0].removeprefix("vitascope push: error: ")


def test_what_is_there_stays(depot: Depot, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert pushed(tmp_path) == 0
    held = dict(depot.repositories[NAME])
    capsys.readouterr()
    assert pushed(tmp_path) == 2
    assert refused(capsys).startswith("me/tiny exists and holds README.md")
    assert depot.repositories[NAME] == held
    vs.save(checkpoint(TINY, labels=("x", "y", "z")), tmp_path / "run" / "model", overwrite=True)
    assert pushed(tmp_path, "--overwrite") == 0
    assert json.loads(depot.repositories[NAME]["config.json"])["labels"] == ["x", "y", "z"]
    capsys.readouterr()
    depot.repositories[NAME]["pytorch_model.bin"] = b"theirs"
    assert pushed(tmp_path, "--overwrite") == 2
    assert "holds pytorch_model.bin, which this did not write; choose another name" in refused(capsys)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["tiny"], "'tiny' is no name on the Hub; expected OWNER/NAME"),
        (["me/tiny/more"], "expected OWNER/NAME"),
        (["other/tiny"], "other/tiny: the token has no right to write there"),
    ],
)
def test_a_name_that_cannot_be(
    depot: Depot, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    assert pushed(tmp_path, name=words[0]) == 2
    assert said in refused(capsys)
    assert depot.repositories == {}


def test_without_a_token_or_with_a_wrong_one(
    depot: Depot, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_other")
    assert pushed(tmp_path) == 2
    assert refused(capsys).startswith("me/tiny: the Hub does not accept the token; `hf auth login` or set HF_TOKEN")
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "absent"))
    assert pushed(tmp_path) == 2
    assert refused(capsys).startswith("me/tiny cannot be pushed without a token; `hf auth login`")
    assert depot.repositories == {}


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/api/repos/create", 409, "there is such a repository already"),
        ("/api/models/me/tiny/commit/main", 412, "it was changed meanwhile; run the same command again"),
        ("/api/models/me/tiny/preupload/main", 403, "the token has no right to write there"),
        ("/me/tiny.git/info/lfs/objects/batch", 507, "the Hub answers 507"),
    ],
)
def test_whatever_the_hub_refuses_is_one_line(
    depot: Depot, tmp_path: Path, capsys: pytest.CaptureFixture[str], path: str, status: int, said: str
) -> None:
    depot.refusals[path] = status
    assert pushed(tmp_path) == 2
    assert said in refused(capsys)
    del depot.refusals[path]  # what was begun is gone on with
    assert pushed(tmp_path) == 0
    assert vs.load(NAME).labels == ("ant", "bee", "cat")


def test_what_arrives_damaged_is_told(depot: Depot, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    depot.spoil = True
    assert pushed(tmp_path) == 2
    assert "what the Hub holds of model.safetensors is not what was sent; push it again" in refused(capsys)


def test_no_network_and_no_leave(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    assert pushed(tmp_path) == 2
    assert "http://127.0.0.1:9 cannot be reached" in refused(capsys)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert pushed(tmp_path) == 2
    assert "HF_HUB_OFFLINE is set" in refused(capsys)


def test_nothing_is_asked_for_what_is_no_checkpoint(
    depot: Depot, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["push", str(tmp_path / "absent"), NAME]) == 2
    assert "no such file or folder" in refused(capsys)
    (tmp_path / "empty").mkdir()
    assert main(["push", str(tmp_path / "empty"), NAME]) == 2
    assert "holds no weights" in refused(capsys)
    assert depot.repositories == {}
