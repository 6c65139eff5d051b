"""Teaching over HTTP: the same as `vitascope teach`, bounded, and nobody's lesson is another's."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import vitascope as vs
from learning import CLASSES, Tab, of_class, teach_all
from serving import Served, error_of, png, served
from tiny import image_folder
from tiny_checkpoint import TINY, checkpoint, same
from vitascope.checkpoints.run_files import ANSWERS, EXAMPLES, REPORT
from vitascope.models.config import BiTConfig
from vitascope.recipes.asked import Similar, Teach
from vitascope.recipes.similar import similar
from vitascope.recipes.teach import teach_run
from vitascope.teaching.known import read_taught
from vitascope.web.engine import Engine

pytestmark = pytest.mark.usefixtures("cold_cache")


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    with served(teach=True, session_bytes=200_000, sessions=4) as running:
        yield running


def unpacked(tab: Tab, where: Path) -> Path:
    with zipfile.ZipFile(io.BytesIO(tab.get("/run").content)) as archive:
        archive.extractall(where)
    return where / "taught"


def test_a_saved_run_is_that_of_the_command(tab: Tab, images: Path, tmp_path: Path) -> None:
    teach_all(tab, images)
    lesson = tab.get("/lesson").json()
    run = unpacked(tab, tmp_path)
    vs.save(checkpoint(TINY), tmp_path / "start")
    expected = teach_run(
        Teach(checkpoint=str(tmp_path / "start"), data=str(images), out=str(tmp_path / "run"), device="cpu")
    )
    assert lesson["top1"] == expected.results["loo_top1"]
    assert lesson["interval"] == expected.results["interval"]
    ours, theirs = vs.load(run), vs.load(tmp_path / "run")
    assert ours.labels == theirs.labels
    assert torch.allclose(ours.model.head.linear.weight, theirs.model.head.linear.weight, rtol=0, atol=1e-5)  # type: ignore[union-attr]
    assert ours.sets is not None
    assert ours.sets.least == pytest.approx(theirs.sets.least)  # type: ignore[union-attr]
    ours_files = {path.relative_to(run) for path in run.rglob("*")}
    theirs_files = {path.relative_to(tmp_path / "run") for path in (tmp_path / "run").rglob("*")}
    shown = {Path(name) for name in (REPORT, ANSWERS, EXAMPLES)}  # of photographs, which the server does not keep
    assert ours_files == theirs_files - shown
    said = json.loads((run / "results.json").read_text())
    assert {k: v for k, v in said.items() if k not in ("seconds", "taught_sha256")}.keys() <= expected.results.keys()


def test_an_answer_is_that_of_the_saved_run(tab: Tab, images: Path, tmp_path: Path) -> None:
    teach_all(tab, images)
    other = png(7)
    said = tab.client.post(f"{tab.at}/try", content=other).json()
    run = unpacked(tab, tmp_path)
    (tmp_path / "other.png").write_bytes(other)
    predicted = vs.Predictor(run, engine="eager")(tmp_path / "other.png")[0]
    assert [(x["label"], x["index"]) for x in said["labels"]] == [p[:2] for p in predicted]
    assert [x["probability"] for x in said["labels"]] == pytest.approx([p[2] for p in predicted], abs=1e-5)
    with served(vs.load(run)) as after:
        again = after.client.post("/predict", content=other).json()["predictions"][0]
    assert (again["set"], again["known"]) == (said["set"], said["known"])
    found = similar(Similar(checkpoint=str(run), image=str(tmp_path / "other.png"), device="cpu", top=24))
    lead = {entry["file"]: entry["lead"] for entry in found["decided"]}
    names = [tab.state["photos"][entry["place"]]["name"] for entry in said["like"]]
    assert names == [entry["file"] for entry in found["similar"]][: len(names)]
    assert [entry["lead"] for entry in said["like"]] == pytest.approx([lead[name] for name in names], abs=1e-4)


def test_the_command_goes_on_with_a_saved_run_and_the_page_with_either(
    tab: Tab, server: Served, images: Path, tmp_path: Path
) -> None:
    for name in CLASSES[:2]:
        tab.add(name, of_class(images, name))
    run = unpacked(tab, tmp_path)
    more = image_folder(tmp_path / "more", 6, seed=3)
    teach_run(Teach(checkpoint=str(run), data=str(more), out=str(tmp_path / "two"), device="cpu"))
    for folder in (run, tmp_path / "two"):
        other = Tab(server)
        sha256 = json.loads((folder / "results.json").read_text())["taught_sha256"]
        body = (folder / "taught.safetensors").read_bytes()
        state = other.client.post(f"{other.at}/run", params={"sha256": sha256}, content=body)
        assert state.status_code == 200, state.text
        assert state.json()["classes"] == list(vs.load(folder).labels)
        assert other.get("/lesson").json()["top1"] == json.loads((folder / "results.json").read_text())["loo_top1"]
        again = unpacked(other, tmp_path / f"again-{folder.name}")
        assert same(vs.load(again).model, vs.load(folder).model)
        wrong = other.client.post(f"{other.at}/run", params={"sha256": "0" * 64}, content=body)
        assert "not as it was written" in error_of(wrong, 422)
        damaged = other.client.post(f"{other.at}/run", params={"sha256": sha256}, content=body[:100])
        assert "damaged" in error_of(damaged, 422)
        other.client.delete(other.at)


def test_a_served_run_begins_with_what_it_was_taught(images: Path, tmp_path: Path) -> None:
    vs.save(checkpoint(TINY), tmp_path / "start")
    asked = Teach(checkpoint=str(tmp_path / "start"), data=str(images), out=str(tmp_path / "run"), device="cpu")
    results = teach_run(asked).results
    known = read_taught(tmp_path / "run")
    assert known is not None
    run = vs.load(tmp_path / "run")
    with served(load=lambda: Engine(run, max_pixels=10**6, teach=True, started=known[0]), teach=True) as server:
        tab, other = Tab(server), Tab(server)
        assert tab.counts() == dict.fromkeys(CLASSES, 8)
        assert not any("/" in photo["name"] for photo in tab.state["photos"])
        assert tab.get("/lesson").json()["top1"] == results["loo_top1"]
        tab.change(forget_class="bee")
        assert other.get().json()["classes"] == list(CLASSES)


def test_a_resnet_is_taught_too(images: Path) -> None:
    config = BiTConfig(image_size=(16, 16), units=(1, 1, 1, 1), base_width=32, classes=3, small_images=True)
    with served(checkpoint(config), teach=True) as server:
        tab = Tab(server)
        teach_all(tab, images)
        assert tab.get("/lesson").json()["images"] == 24
        assert server.client.get("/teach").status_code == 200


def test_a_run_of_another_model_is_refused(tab: Tab, images: Path, tmp_path: Path) -> None:
    changed = checkpoint()
    with torch.no_grad():
        changed.model.encoder.norm.weight.add_(0.1)  # type: ignore[union-attr]
    with served(changed, teach=True) as other:
        foreign = Tab(other)
        teach_all(foreign, images)
        run = unpacked(foreign, tmp_path)
    sha256 = json.loads((run / "results.json").read_text())["taught_sha256"]
    body = (run / "taught.safetensors").read_bytes()
    answer = tab.client.post(f"{tab.at}/run", params={"sha256": sha256}, content=body)
    assert "taught with another model" in error_of(answer, 422)


def test_forgetting_moving_renaming_and_undoing(tab: Tab, images: Path) -> None:
    teach_all(tab, images)
    whole = tab.get("/lesson").json()
    tab.change(forget_class="bee")
    assert tab.state["classes"] == ["ant", "cat"]
    tab.change(move=[0, 1], to="dog")
    assert tab.counts() == {"ant": 6, "cat": 8, "dog": 2}
    tab.change(rename="dog", to="wolf")
    tab.change(forget=[place for place, photo in enumerate(tab.state["photos"]) if photo["class"] == 2])
    assert tab.state["classes"] == ["ant", "cat"]
    for _ in range(4):
        tab.change(undo=True)
    assert tab.counts() == {"ant": 8, "bee": 8, "cat": 8}
    assert {**tab.get("/lesson").json(), "version": 0} == {**whole, "version": 0}
    while tab.state["undo"]:
        tab.change(undo=True)
    assert tab.state["photos"] == []
    refused = tab.client.post(f"{tab.at}/change", json={"version": tab.state["version"], "undo": True})
    assert "nothing to undo" in error_of(refused, 409)


def test_a_drop_in_parts_is_one_step(tab: Tab, images: Path) -> None:
    files = of_class(images, "ant")
    tab.add("ant", files[:1], step="first")
    tab.add("ant", files[1:3], step="second")
    tab.add("ant", files[3:], step="second")
    tab.change(undo=True)
    assert tab.counts() == {"ant": 1}


def test_a_photograph_counts_once_and_the_last_label_holds(tab: Tab, images: Path) -> None:
    files = of_class(images, "ant")
    told = tab.add("ant", [*files, files[0], ("notes.txt", b"hello")])
    assert (told["added"], told["again"], told["moved"]) == (8, 0, 0)
    assert [refusal["name"] for refusal in told["refused"]] == ["notes.txt"]
    told = tab.add("bee", files[:2])
    assert (told["added"], told["moved"], tab.counts()) == (0, 2, {"ant": 6, "bee": 2})
    told = tab.add("bee", files[2:])
    assert tab.counts() == {"bee": 8}
    assert tab.get("/lesson").json()["ready"] is False
    assert "two classes" in error_of(tab.client.post(f"{tab.at}/try", content=png()), 422)
    picture = tab.get(f"/photos/{tab.state['photos'][0]['picture']}")
    assert (picture.headers["content-type"], picture.content[:2]) == ("image/jpeg", b"\xff\xd8")


def test_copies_are_left_out_together_as_the_command_does(images: Path, tmp_path: Path) -> None:
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)).resize((96, 96))
    for quality in (95, 60):
        picture.save(images / "ant" / f"copy-{quality}.jpg", quality=quality)
    with served(teach=True) as roomy:
        tab = Tab(roomy)
        teach_all(tab, images)
        known, photos = (getattr(roomy.service.sessions.get(tab.state["id"]), name) for name in ("known", "photos"))
        lesson = roomy.service.teacher.learn(known, photos)
        said = tab.get("/lesson").json()
    vs.save(checkpoint(TINY), tmp_path / "start")
    asked = Teach(checkpoint=str(tmp_path / "start"), data=str(images), out=str(tmp_path / "run"), device="cpu")
    expected = teach_run(asked)
    pairs = [len(np.unique(found.known.groups)) for found in (lesson, expected)]
    assert pairs == [25, 25]
    assert said["per_class"] == expected.results["per_class"]
    for path in (images / "ant").glob("copy-*"):
        path.unlink()


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"forget": [0], "undo": True},
        {"forget": [99]},
        {"forget": [-1]},
        {"forget_class": "nobody"},
        {"rename": "ant"},
        {"rename": "nobody", "to": "x"},
        {"rename": "ant", "to": "bee"},
        {"move": [0]},
        {"move": [0], "to": " "},
        {"nonsense": 1},
        {"to": "x", "undo": True},
    ],
)
def test_a_change_that_means_nothing_is_refused(tab: Tab, images: Path, asked: dict[str, Any]) -> None:
    for name in CLASSES[:2]:
        tab.add(name, of_class(images, name)[:2])
    before = tab.state
    error_of(tab.client.post(f"{tab.at}/change", json={"version": before["version"], **asked}), 422)
    assert tab.get().json() == {key: before[key] for key in ("id", "version", "undo", "classes", "photos")}
    stale = tab.client.post(f"{tab.at}/change", json={"version": before["version"] - 1, "undo": True})
    assert "changed meanwhile" in error_of(stale, 409)


def test_without_the_option_nothing_can_be_taught() -> None:
    with served() as plain:
        error_of(plain.client.post("/api/teach"), 404)
        error_of(plain.client.get("/teach"), 404)
        assert plain.client.get("/").headers["permissions-policy"].startswith("camera=()")
        assert plain.client.get("/api/model").json()["teach"] is False


def test_with_the_option_the_pages_may_ask_for_the_camera(server: Served) -> None:
    answer = server.client.get("/teach")
    assert answer.headers["permissions-policy"] == "camera=(self), geolocation=(), microphone=()"
    assert answer.headers["content-security-policy"] == server.client.get("/").headers["content-security-policy"]
    assert server.client.get("/api/model").json()["teach"] is True


def test_nothing_is_left_on_the_disk(tab: Tab, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "here"))
    (tmp_path / "here").mkdir()
    teach_all(tab, images)
    tab.get("/lesson")
    assert tab.get("/run").status_code == 200
    assert list((tmp_path / "here").iterdir()) == []
    assert not list((tmp_path / "cache").rglob("*.npz"))
