"""Weights of the Hub by name, from a server on the loopback: what is fetched, what is kept, what may go wrong."""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import shutil
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants
from safetensors.torch import load_file, save_file

import vitascope as vs
from depot import COMMIT, NAME, OLD, Depot, serving
from tiny_checkpoint import checkpoint, same
from vitascope.checkpoints.named import UnreachableError, find
from vitascope.errors import CheckpointError


def refusal(name: str = NAME) -> str:
    with pytest.raises(CheckpointError) as caught:
        vs.load(name)
    said = str(caught.value)
    assert "\n" not in said
    assert len(said) < 502
    return said


@pytest.mark.parametrize("name", [NAME, f"hf:{NAME}", f"hf:{NAME}@main", f"{NAME}@{COMMIT}"])
def test_found_and_kept(name: str, hub: Depot) -> None:
    weights = hub.repositories[NAME]["model.safetensors"]
    for _ in range(2):
        loaded = vs.load(name)
        assert same(loaded.model, checkpoint().model)
        told = {"model.safetensors": hashlib.sha256(weights).hexdigest()}
        assert loaded.card["fetched"] == {"name": name.removeprefix("hf:"), "revision": COMMIT, "sha256": told}
    assert sorted(hub.fetched()) == ["config.json", "model.safetensors", "preprocessor_config.json"]  # never code


def test_a_path_wins_over_a_name(hub: Depot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    vs.save(checkpoint(), tmp_path / NAME)
    assert "fetched" not in vs.load(NAME).card
    assert hub.asked == []


def test_a_mistyped_path_is_not_asked_for_outside(hub: Depot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "someone").mkdir()
    assert "someone is a folder here; hf:someone/tiny-vit means the Hub's" in refusal()
    for path in ("weights/vit.npz", "photos/cat.JPG", "./a/b", "a/b/c", "/a/b", "runs"):
        assert "no such file or folder" in refusal(path)
    assert hub.asked == []
    assert vs.load(f"hf:{NAME}").card["fetched"]["revision"] == COMMIT


def test_a_revision(hub: Depot) -> None:
    other = hub.repositories[NAME]
    hub.repositories[f"{NAME}@v1"] = {**other, "config.json": other["config.json"].replace(b"1e-06", b"1e-05")}
    assert vs.load(f"hf:{NAME}@v1").card["fetched"]["revision"] == OLD
    assert vs.load(NAME).card["fetched"]["revision"] == COMMIT
    assert "has no revision 'v2'; see" in refusal(f"hf:{NAME}@v2")


def test_a_file_and_a_folder_of_it(hub: Depot) -> None:
    files = hub.repositories[NAME]
    hub.repositories[NAME] = {f"sub/{name}": content for name, content in files.items()} | {"pytorch_model.bin": b""}
    for inside in ("sub", "sub/model.safetensors"):
        assert vs.load(f"hf:{NAME}/{inside}").config == checkpoint().config
    assert "the repository has no top; of weights it holds pytorch_model.bin, sub/model" in refusal(f"hf:{NAME}/top")
    assert "no file of weights; expected one that ends with" in refusal(f"hf:{NAME}/sub/modeling.py")
    assert "modeling.py" not in hub.fetched()


def test_safetensors_are_preferred_and_one_of_several_is_asked_for(hub: Depot) -> None:
    files = hub.repositories[NAME]
    files["pytorch_model.bin"] = b"never read"
    vs.load(NAME)
    assert hub.fetched(".bin") == []
    files["a.safetensors"] = files["b.safetensors"] = files.pop("model.safetensors")
    del files["pytorch_model.bin"]
    shutil.rmtree(constants.HF_HUB_CACHE)
    assert "weights are a.safetensors, b.safetensors: name one behind a /" in refusal()
    del files["a.safetensors"], files["b.safetensors"]
    assert "it holds no weights that are read" in refusal()


def test_weights_in_several_files(hub: Depot, tmp_path: Path) -> None:
    files = hub.repositories[NAME]
    tensors = load_file(tmp_path / "tiny/model.safetensors")
    names, index = sorted(tensors), {}
    for number, part in enumerate((names[::2], names[1::2])):
        file = f"model-0000{number + 1}-of-00002.safetensors"
        save_file({name: tensors[name] for name in part}, tmp_path / file)
        files[file], index = (tmp_path / file).read_bytes(), {**index, **dict.fromkeys(part, file)}
    del files["model.safetensors"]
    files["model.safetensors.index.json"] = json.dumps({"weight_map": index}).encode()
    loaded = vs.load(NAME)
    assert same(loaded.model, checkpoint().model)
    assert list(loaded.card["fetched"]["sha256"]) == sorted(set(index.values()))
    del files[file]
    shutil.rmtree(constants.HF_HUB_CACHE)
    assert f"names {file}, which the repository does not hold" in refusal()


def test_our_own_format_and_timms(depot: Depot, tmp_path: Path) -> None:
    for format in ("vitascope", "timm"):
        ck = checkpoint(card={"task": "pre-training"})
        vs.save(ck, tmp_path / format, format=format)
        depot.add(f"someone/{format}", tmp_path / format)
        loaded = vs.load(f"someone/{format}")
        assert same(loaded.model, ck.model)
        assert loaded.card["fetched"]["name"] == f"someone/{format}"
    assert "preprocessor.json" in depot.fetched()


def test_large_files_elsewhere_and_a_new_name(hub: Depot) -> None:
    hub.renamed["someone/old-vit"] = NAME
    with serving(Depot(repositories=hub.repositories)) as other:
        hub.away = other.url
        assert same(vs.load("someone/old-vit").model, checkpoint().model)
        assert [path.startswith("/away/") for _, path, _ in other.asked] == [True]


def test_what_is_not_there(hub: Depot) -> None:
    said = refusal("timm/vit_smal_patch16_224.augreg_in21k")
    assert "no such path here, and the Hub has no such model, or a private one" in said
    assert said.endswith("did you mean 'timm/vit_small_patch16_224.augreg_in21k'?")
    hub.gated.add(NAME)
    assert f"is gated: accept its terms at {hub.url}/{NAME}, then `hf auth login` or set HF_TOKEN" in refusal()
    hub.status = 503
    assert "the Hub answers 503; try again later" in refusal()


def test_other_bytes_than_the_hub_says(hub: Depot) -> None:
    hub.spoil = True
    assert "SHA-256 of model.safetensors is" in refusal()
    assert not list(Path(constants.HF_HUB_CACHE).rglob("model.safetensors"))
    hub.spoil = False
    vs.load(NAME)
    file = next(Path(constants.HF_HUB_CACHE).rglob("model.safetensors"))
    content = file.read_bytes()
    file.resolve().write_bytes(content[:-1] + bytes([content[-1] ^ 1]))  # a flipped bit on the disk
    assert "damaged on its way or here. It is deleted" in refusal()
    assert same(vs.load(NAME).model, checkpoint().model)


def test_cut_off_and_resumed(hub: Depot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda _: None)
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 500)
    hub.cut = [2000, 1000]
    assert same(vs.load(NAME).model, checkpoint().model)
    assert [part for _, path, part in hub.asked if part and path.endswith("model.safetensors")] == [
        "bytes=2000-",
        "bytes=3000-",
    ]
    shutil.rmtree(constants.HF_HUB_CACHE)
    hub.cut = [0] * 20
    assert "cannot be reached (" in refusal()
    assert not list(Path(constants.HF_HUB_CACHE).rglob("model.safetensors"))


def test_progress_is_said(hub: Depot, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "vitascope")
    monkeypatch.setattr("vitascope.checkpoints.hub._LARGE", 1000)
    monkeypatch.setattr("vitascope.checkpoints.hub._SAID", 0.0)
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 500)
    vs.load(NAME)
    assert f"fetching model.safetensors of {NAME} (0 MB)" in caplog.text
    assert "0 MB of 0 MB" in caplog.text
    caplog.clear()
    vs.load(NAME)
    assert "fetching" not in caplog.text


def test_too_slow(hub: Depot, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.slow = 0.3
    assert vs.load(NAME).config == checkpoint().config
    shutil.rmtree(constants.HF_HUB_CACHE)
    monkeypatch.setattr("vitascope.checkpoints.hub.TIMEOUT", 0.1)
    assert "cannot be reached (ReadTimeout" in refusal()


def test_without_a_network(hub: Depot, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    reached = constants.ENDPOINT
    for name, value in (("ENDPOINT", "http://127.0.0.1:9"), ("HF_HUB_OFFLINE", True)):
        monkeypatch.setattr(constants, name, value)
        said = refusal()
        assert f"run `hf download {NAME}` and copy models--someone--tiny-vit to {constants.HF_HUB_CACHE}" in said
        near = "did you mean 'timm/vit_small_patch16_224.augreg_in21k'?"
        assert near in refusal("timm/vit_smal_patch16_224.augreg_in21k")
    assert "is not in the cache, and HF_HUB_OFFLINE is set" in said
    monkeypatch.setattr(constants, "ENDPOINT", reached)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    vs.load(NAME)
    asked = len(hub.asked)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert same(vs.load(NAME).model, checkpoint().model)
    assert find(NAME, cached=True).fetched["revision"] == COMMIT
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    assert find(NAME, cached=True).fetched["revision"] == COMMIT
    assert vs.load(f"hf:{NAME}@{COMMIT}").card["fetched"]["revision"] == COMMIT
    assert len(hub.asked) == asked
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    assert same(vs.load(NAME).model, checkpoint().model)
    assert "taking what is in the cache, revision 0123456789ab" in caplog.text
    next(Path(constants.HF_HUB_CACHE).rglob("model.safetensors")).unlink()  # a fetch that was killed
    with pytest.raises(UnreachableError, match="is not in the cache; where there is a network"):
        find(NAME, cached=True)


@pytest.mark.parametrize("header", ["ETag", "X-Linked-Etag", "X-Repo-Commit"])
def test_no_answer_leads_out_of_the_cache(header: str, hub: Depot, tmp_path: Path) -> None:
    (tmp_path / "thesis").write_text("ten years")
    for said in (f"{tmp_path}/thesis", "../../../../../thesis", f"{tmp_path}/new", f'W/"{tmp_path}/new"', "a/b", ".."):
        hub.said = {header: said}
        refusal()
    hub.said = {}
    assert (tmp_path / "thesis").read_text() == "ten years"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "thesis", "tiny"]


def test_what_a_link_of_the_cache_leads_to_stays(hub: Depot, tmp_path: Path) -> None:
    vs.load(NAME)
    (tmp_path / "thesis").write_text("ten years")
    place = next(Path(constants.HF_HUB_CACHE).rglob("model.safetensors"))
    place.unlink()
    place.symlink_to(tmp_path / "thesis")
    assert "is a link out of the cache; remove it" in refusal()
    assert (tmp_path / "thesis").read_text() == "ten years"


@pytest.mark.parametrize(
    "listed",
    [
        *("x", 5, [1], [{}], [{"rfilename": 5}], [{"rfilename": "a.json", "size": "x"}], [{"rfilename": ["a"]}]),
        [{"rfilename": "model.safetensors", "lfs": "x"}],
        [{"rfilename": "model.safetensors", "lfs": {"sha256": 5, "size": 1, "pointerSize": 1}}],
        *([], {}, [{"rfilename": "../thesis/model.safetensors"}], [{"rfilename": "/etc/passwd"}]),
    ],
)
def test_what_is_no_list_of_files(listed: Any, hub: Depot) -> None:
    hub.listed = listed
    refusal()


def test_names_that_lead_elsewhere_are_none(hub: Depot) -> None:
    for name in (
        "hf:../../x",
        "hf:a/../x",
        "hf:a/b@../../x",
        "hf:a/b@..%2Fx",
        "a/b@..%2Fx",
        "hf:a/b/../x",
        "google:../x",
    ):
        assert "no such file or folder" in refusal(name)
    for name in ("x" * 5000, "\0", "a\nb", "/" + "x/" * 5000):
        with pytest.raises(CheckpointError, match="no such file or folder"):
            vs.load(name)
    assert hub.asked == []


def test_a_full_disk(hub: Depot, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("huggingface_hub.file_download.http_get", full)
    assert f"cannot be kept in {constants.HF_HUB_CACHE}: the disk is full; free some space" in refusal()
