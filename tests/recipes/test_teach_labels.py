"""Teaching images with several labels: a column for each, and what the head knows of itself label by label."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import vitascope as vs
from tiny import evaluated, finetune_recipe
from vitascope.errors import ConfigError, DataError
from vitascope.evaluation.fewshot import Ridge
from vitascope.inference.export import export
from vitascope.recipes.asked import Similar, Teach
from vitascope.recipes.finetune import finetune
from vitascope.recipes.similar import similar
from vitascope.recipes.teach import teach_run
from vitascope.teaching.known import Known, read_taught
from vitascope.teaching.lesson import Lesson, learn
from vitascope.teaching.settings import Teaching
from vitascope.web.engine import Engine

LABELS = ("red", "green", "blue")


pytestmark = pytest.mark.usefixtures("cold_cache", "no_pictures")


def listed(folder: Path, n: int = 60, seed: int = 0, name: str = "labels.csv") -> str:
    """Photographs in which each of three colours is there or not, the last rarely; every fourth is a test image."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    has = rng.random((n, 3)) < [0.5, 0.4, 0.2]
    noise = rng.integers(0, 120, (n, 16, 16, 3)) + 130 * has[:, None, None, :]
    rows = ["file,tags,split"]
    for i, image in enumerate(noise.astype(np.uint8)):
        Image.fromarray(image).save(folder / f"{seed}-{i:03}.png")
        tags = " ".join(label for label, there in zip(LABELS, has[i], strict=True) if there)
        rows.append(f"{seed}-{i:03}.png,{tags},{'test' if i % 4 == 0 else 'train'}")
    (folder / name).write_text("\n".join(rows))
    return str(folder / name)


def taught(start: str | Path, data: str | None, out: Path, **options: Any) -> Lesson:
    return teach_run(Teach(checkpoint=str(start), data=data, out=str(out), device="cpu", **options))


def known(n: int = 80, seed: int = 0, **changes: Any) -> Known:
    """Features with a direction for each of three labels, sorted by name."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, 6)).astype(np.float32)
    labels = features[:, :3] + 0.3 * rng.normal(size=(n, 3)) > [0, 0.5, 1]
    values = {
        "features": features,
        "classes": ("blue", "green", "red"),
        "labels": labels,
        "names": tuple(f"{seed}-{i}.png" for i in range(n)),
        "marks": np.arange(1, n + 1) + 1000 * seed,
        "groups": np.arange(n),
    }
    return Known(**{**values, **changes})


def test_it_predicts_is_judged_and_is_fine_tuned(start: str, tmp_path: Path) -> None:
    data = listed(tmp_path / "data")
    results = taught(start, data, tmp_path / "run").results
    assert results["loo_map"] > results["by_chance"] + 0.2
    assert set(results["per_label"]) == set(LABELS)
    assert results["forecast"] == []
    assert results["gains"] == {}
    assert len(results["temperature"]) == 3
    ck = vs.load(tmp_path / "run")
    assert ck.activation == "sigmoid"
    assert ck.labels == ("blue", "green", "red")
    again = evaluated(str(tmp_path / "run"), data)
    assert again["map"] == results["test"]["map"]
    assert again["loss"] == pytest.approx(results["test"]["loss"], rel=1e-4)
    assert again["per_label"] == results["test"]["per_label"]
    assert again["sets"]["held"] == results["test"]["sets"]["held"]
    assert json.loads((tmp_path / "run" / "results.json").read_text()) == results
    run = finetune(finetune_recipe(tmp_path / "tuned", tmp_path / "run", data=data, holdout=0.2, steps=1, lr=1e-6))
    tuned = evaluated(str(run), data)
    assert tuned["map"] == pytest.approx(again["map"], abs=0.02), "the head that was taught is kept"
    assert vs.load(run).activation == "sigmoid"


def test_left_out_figures_are_those_of_teaching_without_the_image() -> None:
    whole = known(30)
    lesson = learn(whole, Teaching())
    slope = 1 / np.asarray(lesson.head.temperature)
    offset = lesson.head.left_out[0] - slope * _without(whole, [0], lesson.head.l2)[0]
    for i in range(30):
        expected = slope * _without(whole, [i], lesson.head.l2)[0] + offset
        assert np.abs(lesson.head.left_out[i] - expected).max() < 1e-6


def _without(whole: Known, rows: list[int], l2: float) -> np.ndarray:
    """Scores of `rows` by a ridge regression of all others, standardised by all, (m, K)."""
    ridge = Ridge.of(whole.features, whole.targets)
    x = ridge.scale.rows(whole.features)
    rest = np.setdiff1d(np.arange(len(whole)), rows)
    a = x[rest].T @ x[rest] + l2 * np.eye(x.shape[1])
    return np.asarray(x[rows] @ np.linalg.solve(a, x[rest].T @ whole.targets[rest]))


def test_adding_and_forgetting_is_teaching_what_is_left() -> None:
    one, other = known(40), known(30, seed=1)
    both, again, corrected = one.with_more(other)
    assert (again, corrected) == (0, 0)
    assert both.labels.shape == (70, 3)
    fewer = both.without(["green", "0-3.png"])
    only = ~(both.labels[:, 1] & ~both.labels[:, [0, 2]].any(axis=1))
    stays = only & (np.arange(70) != 3)
    assert fewer.classes == ("blue", "red")
    assert (fewer.labels == both.labels[stays][:, [0, 2]]).all()
    alone = learn(Known(**{**vars(fewer), "groups": np.arange(len(fewer))}), Teaching())
    assert np.abs(learn(fewer, Teaching()).head.weight - alone.head.weight).max() < 1e-6
    with pytest.raises(ConfigError, match="no class or file that was taught"):
        both.without(["purple"])
    moved = Known(**{**vars(one), "labels": ~one.labels})
    corrected_all, again, corrected = one.with_more(moved)
    assert (again, corrected) == (0, 40)
    assert (corrected_all.labels == ~one.labels).all()


def test_images_with_one_label_join_those_with_several() -> None:
    several, single = known(20), known(10, seed=1, labels=np.arange(10) % 2, classes=("green", "pink"))
    for first, second in ((several, single), (single, several)):
        both = first.with_more(second)[0]
        assert both.several
        assert set(both.classes) == {"blue", "green", "red", "pink"}
        counts = dict(zip(both.classes, both.labels.sum(axis=0).tolist(), strict=True))
        assert counts["pink"] == 5
        assert counts["green"] == 5 + several.labels[:, 1].sum()
        assert counts["red"] == several.labels[:, 2].sum()


def test_sets_hold_each_label_and_suspects_are_labels() -> None:
    whole = known(900)
    wrong = np.random.default_rng(5).random(whole.labels.shape) < 0.02
    lesson = learn(Known(**{**vars(whole), "labels": whole.labels ^ wrong}), Teaching(coverage=0.9))
    assert len(lesson.sets.least) == 3
    new = known(4000, seed=2)
    judged = lesson.judge(new.features, new.labels)
    assert judged["sets"]["held"] > 0.88
    likely = torch.from_numpy(lesson.logits(new.features)).sigmoid().numpy()
    held = lesson.sets.members(likely)
    for k in range(3):
        assert held[new.labels[:, k], k].mean() > 0.86
    found = {(suspect.place, suspect.instead) for suspect in lesson.suspects}
    right = len(found & set(map(tuple, np.argwhere(wrong).tolist())))
    assert right > 0.4 * wrong.sum()
    assert right > 0.6 * len(found)
    told = lesson.results["suspects"][0]
    place, label = lesson.suspects[0].place, lesson.known.classes[lesson.suspects[0].instead]
    has = lesson.known.labels[place, lesson.suspects[0].instead]
    assert [told["label"], told["looks_like"]] == ([label, f"not {label}"] if has else [f"not {label}", label])


def test_what_decided_is_what_each_image_adds_to_the_likeliest_label(start: str, tmp_path: Path) -> None:
    taught(start, listed(tmp_path / "data"), tmp_path / "run")
    image = tmp_path / "data" / "0-004.png"
    told = similar(Similar(checkpoint=str(tmp_path / "run"), image=str(image), top=45, device="cpu"))
    assert told["instead_of"] is None
    assert told["answer"] == vs.Predictor(tmp_path / "run")(image)[0][0][0]
    run = read_taught(tmp_path / "run")
    assert run is not None
    images, results = run
    assert [entry["label"] for entry in told["similar"]] == [
        images.label_of(images.names.index(entry["file"])) for entry in told["similar"]
    ]
    label = images.classes.index(told["answer"])
    ridge = Ridge.of(images.features, images.targets)
    x, query = (ridge.scale.rows(rows) for rows in (images.features, vs.features(vs.load(tmp_path / "run"), image)))
    for entry in told["decided"][:3]:
        rest = np.arange(len(images)) != images.names.index(entry["file"])
        scores = [
            (query @ np.linalg.solve(x[rows].T @ x[rows] + results["l2"] * np.eye(x.shape[1]), x[rows].T @ y[rows]))[0]
            for y in [images.targets[:, label]]
            for rows in (np.ones(len(images), dtype=bool), rest)
        ]
        assert entry["lead"] == pytest.approx((scores[0] - scores[1]) / results["temperature"][label], abs=1e-5)


def test_what_cannot_be_is_one_line(start: str, tmp_path: Path) -> None:
    data = listed(tmp_path / "data")
    with pytest.raises(ConfigError, match="balance counts classes alike"):
        taught(start, data, tmp_path / "run", balance=True)
    same = known(10, labels=np.ones((10, 3), dtype=bool))
    with pytest.raises(DataError, match="all images have the same labels"):
        learn(same, Teaching())
    assert not (tmp_path / "run").exists()


def test_exports_and_the_server_answer_alike(start: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    data = listed(tmp_path / "data")
    taught(start, data, tmp_path / "run")
    image = tmp_path / "data" / "0-004.png"
    wanted = vs.Predictor(tmp_path / "run", engine="eager").probabilities(image)
    export(vs.load(tmp_path / "run"), tmp_path / "exported", "onnx")
    found = vs.Predictor(tmp_path / "exported")
    assert torch.allclose(found.probabilities(image), wanted, atol=1e-5)
    known = vs.Predictor(tmp_path / "run").answers(wanted)[0]
    assert found.answers(found.probabilities(image))[0].members == known.members is not None
    whole, again = (evaluated(str(tmp_path / name), data) for name in ("run", "exported"))
    assert again["per_label"] == whole["per_label"]
    assert again["sets"] == whole["sets"]
    pixels = vs.load(tmp_path / "run").preprocess(image)[None]
    served = Engine(vs.load(tmp_path / "run"), max_pixels=10**6)
    with torch.inference_mode():
        logits = vs.load(tmp_path / "run").model(pixels).numpy()
    assert np.abs(served.probabilities(logits) - wanted.numpy()).max() < 1e-6
