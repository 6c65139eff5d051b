"""A checkpoint judged on data: labels matched by name, every readable image counted once."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import torch

import vitascope as vs
from tiny import CLASSES, evaluated, image_folder, pixels, pretrain_recipe, splits
from vitascope.checkpoints.checkpoint import Checkpoint
from vitascope.data import source as data_source
from vitascope.data.kept import ArraySource
from vitascope.errors import CheckpointError, ConfigError, DataError, ImageError
from vitascope.recipes.evaluation import relabelled
from vitascope.recipes.pretrain import pretrain


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("trained") / "run"
    patch = pytest.MonkeyPatch()
    patch.setattr("vitascope.recipes.run.draw_curves", lambda folder: None)
    pretrain(pretrain_recipe(out, steps=20, lr=0.01), splits=splits())
    patch.undo()
    return out


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return image_folder(tmp_path / "images", 11, seed=3)


def test_every_image_is_counted_once_whatever_the_batch(trained: Path, folder: Path) -> None:
    results = [evaluated(str(trained), str(folder), batch=batch) for batch in (1, 4, 10, 11, 64)]
    results += [evaluated(str(trained), str(folder), batch=4, workers=2)]
    assert [r["images"] for r in results] == [11] * 6
    assert {tuple(c["images"] for c in r["per_class"].values()) for r in results} == {(4, 4, 3)}
    assert all(r["loss"] == pytest.approx(results[0]["loss"], rel=1e-5) for r in results)
    assert len({r["top1"] for r in results}) == 1


def test_figures_are_those_of_predictions_one_by_one(trained: Path, folder: Path) -> None:
    result = evaluated(str(trained), str(folder))
    predictor = vs.Predictor(trained)
    right = [predictor(path)[0][0][0] == path.parent.name for path in folder.rglob("*.png")]
    assert result["top1"] == np.mean(right)
    assert result["top5"] == 1.0  # of three classes


def test_labels_are_matched_by_name(trained: Path) -> None:
    images, labels = pixels(9, seed=4)
    checkpoint = vs.load(trained)
    turned = ArraySource("turned", CLASSES[::-1], 2 - labels, images)
    assert relabelled(turned, checkpoint.labels).labels.tolist() == labels.tolist()
    assert relabelled(turned, checkpoint.labels).classes == CLASSES
    some = ArraySource("some", ("cat", "bee"), np.array([0, 1]), images[[2, 1]])
    assert relabelled(some, checkpoint.labels).labels.tolist() == [2, 1]


def test_classes_that_the_checkpoint_does_not_know_are_named(trained: Path, folder: Path) -> None:
    (folder / "ant").rename(folder / "zebra")
    with pytest.raises(DataError, match=r"zebra.*knows ant, bee, cat"):
        evaluated(str(trained), str(folder))


def test_a_checkpoint_without_names_takes_the_datas_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    images, labels = pixels(3)
    with caplog.at_level(logging.WARNING):
        source = relabelled(ArraySource("s", CLASSES, labels, images), ("0", "1", "2"))
    assert source.classes == CLASSES
    assert "does not name its classes" in caplog.text
    with pytest.raises(DataError):
        relabelled(ArraySource("s", CLASSES, labels, images), ("0", "1", "2", "3"))


def test_a_checkpoint_without_a_head_is_refused(tmp_path: Path, folder: Path) -> None:
    model = vs.create_model("ViT-Ti/8", width=32, depth=1, heads=2, hidden=8, image_size=16, classes=0)
    vs.save(
        Checkpoint(model=model, preprocess=vs.data.preprocess.Preprocess(size=(16, 16)), labels=()),
        tmp_path / "headless",
    )
    with pytest.raises(CheckpointError, match="no head"):
        evaluated(str(tmp_path / "headless"), str(folder))
    with pytest.raises(CheckpointError, match="no head"):
        vs.Predictor(tmp_path / "headless")


def test_the_split_for_reporting_is_taken_first(trained: Path, tmp_path: Path) -> None:
    for name, count in (("train", 9), ("val", 6), ("test", 3)):
        image_folder(tmp_path / "data" / name, count)
    data = str(tmp_path / "data")
    assert evaluated(str(trained), data)["split"] == "test"
    assert evaluated(str(trained), data, split="validation")["images"] == 6
    with pytest.raises(DataError, match="has no test split, only train"):
        evaluated(str(trained), str(tmp_path / "data" / "train"), split="test")


def test_an_unreadable_image_stops_or_is_counted(trained: Path, folder: Path) -> None:
    (folder / "ant" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(ImageError, match=r"broken\.png"):
        evaluated(str(trained), str(folder))
    result = evaluated(str(trained), str(folder), on_error="skip")
    assert (result["images"], result["skipped"]) == (11, 1)


def test_nothing_readable_at_all_is_said(trained: Path, tmp_path: Path) -> None:
    for name in CLASSES:
        (tmp_path / "images" / name).mkdir(parents=True)
        (tmp_path / "images" / name / "x.png").write_bytes(b"")
    with pytest.raises(DataError, match="none of"):
        evaluated(str(trained), str(tmp_path / "images"), on_error="skip")


def test_another_size_resizes_the_positions(trained: Path, folder: Path) -> None:
    result = evaluated(str(trained), str(folder), image_size=32)
    assert result["images"] == 11
    assert result["loss"] != evaluated(str(trained), str(folder))["loss"]
    with pytest.raises(ConfigError, match="20×20 is not divisible by 8"):
        evaluated(str(trained), str(folder), image_size=20)


def test_the_confusion_matrix_is_drawn(trained: Path, folder: Path, tmp_path: Path) -> None:
    evaluated(str(trained), str(folder), confusion=str(tmp_path / "new" / "confusion"))  # as it is called: a PNG file
    assert (tmp_path / "new" / "confusion").read_bytes().startswith(b"\x89PNG")


def test_progress_ends_with_all_images(trained: Path, folder: Path) -> None:
    heard: list[tuple[int, int]] = []
    evaluated(str(trained), str(folder), batch=4, progress=lambda done, total: heard.append((done, total)))
    assert heard == [(4, 11), (8, 11), (11, 11)]


def test_the_model_is_judged_without_its_dropout(trained: Path, folder: Path) -> None:
    torch.manual_seed(0)
    first = evaluated(str(trained), str(folder))
    torch.manual_seed(1)
    assert evaluated(str(trained), str(folder)) == first


@pytest.mark.parametrize("batch", [1, 3, 64])
def test_images_are_decoded_once_where_unreadable_ones_are_left_out(
    trained: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, batch: int
) -> None:
    whole = evaluated(str(trained), str(folder), batch=batch)
    read: list[str] = []
    real = data_source.read_image

    def read_image(path: str, **options: object) -> np.ndarray:
        read.append(path)
        return real(path)

    monkeypatch.setattr(data_source, "read_image", read_image)
    with caplog.at_level("INFO"):
        again = evaluated(str(trained), str(folder), batch=batch, on_error="skip")
    assert again == whole
    assert len(read) == len(set(read)) == whole["images"]
    assert "bytes" not in caplog.text
    (folder / "ant" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    found = evaluated(str(trained), str(folder), batch=batch, on_error="skip")
    assert (found["images"], found["skipped"], found["per_class"]) == (11, 1, whole["per_class"])
    assert "1 of 12 images left out as unreadable" in caplog.text
