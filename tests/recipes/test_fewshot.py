"""A checkpoint judged by few shots: which splits, which cache, which errors."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

import vitascope as vs
from tiny import image_folder, pretrain_recipe
from tiny_checkpoint import TINY, checkpoint
from vitascope.cli.commands.fewshot import _table
from vitascope.errors import CheckpointError, DataError
from vitascope.models.config import BiTConfig
from vitascope.recipes.asked import FewShotOf
from vitascope.recipes.fewshot import Progress, fewshot_checkpoint
from vitascope.recipes.pretrain import pretrain

BIT = BiTConfig(image_size=(16, 16), units=(1, 1, 1, 1), base_width=32, classes=3, small_images=True)


@pytest.fixture
def model(tmp_path: Path) -> str:
    vs.save(checkpoint(TINY), tmp_path / "model")
    return str(tmp_path / "model")


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """train/ of 12 and test/ of 9 images, told apart by their colour; a cache of its own."""
    monkeypatch.setenv("VITASCOPE_CACHE", str(tmp_path / "cache"))
    image_folder(tmp_path / "data" / "train", 12)
    image_folder(tmp_path / "data" / "test", 9, seed=1)
    return str(tmp_path / "data")


def judge(model: str, data: str, reading: Progress | None = None, **options: Any) -> dict[str, Any]:
    settings: dict[str, Any] = {"shots": (1, 3), "seeds": 2, "device": "cpu", **options}
    return fewshot_checkpoint(FewShotOf(checkpoint=model, data=data, **settings), reading)


def test_colours_are_told_after_three_images_of_each(model: str, data: str) -> None:
    result = judge(model, data)
    assert result["train"] == {"name": "data train", "images": 12}
    assert result["test"] == {"name": "data test", "split": "test", "images": 9}
    assert [(r["shots"], r["method"]) for r in result["results"]] == [
        (shots, method) for shots in (1, 3) for method in ("ridge", "knn", "probe")
    ]
    for entry in result["results"]:
        assert entry["mean"] > 0.6 if entry["shots"] == 3 else entry["mean"] > 1 / 3


def test_the_second_time_nothing_goes_through_the_model(model: str, data: str, tmp_path: Path) -> None:
    read: list[tuple[int, int]] = []
    first = judge(model, data, batch=4, reading=lambda *told: read.append(told))
    assert 9 + 3 * 3 <= first["features_computed"] <= 9 + 12
    assert read[-1] == (9, 9)
    files = list((tmp_path / "cache" / "features").iterdir())
    assert len(files) == 2
    second = judge(model, data)
    assert second == {**first, "features_computed": 0}
    for path in files:
        path.unlink()
    assert judge(model, data)["features_computed"] == first["features_computed"]


def test_a_convolutional_net_and_another_size_will_do(tmp_path: Path, data: str) -> None:
    vs.save(checkpoint(BIT), tmp_path / "bit")
    result = judge(str(tmp_path / "bit"), data, image_size=32)
    assert result["features_computed"] > 0
    assert len(result["results"]) == 6


def test_other_data_is_judged_on_its_test_else_its_validation_else_all_of_it(
    model: str, data: str, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    image_folder(other / "train", 6, seed=2)
    image_folder(other / "val", 3, seed=3)
    assert judge(model, data, test=str(other))["test"] == {
        "name": "other validation",
        "split": "validation",
        "images": 3,
    }
    image_folder(other / "test", 4, seed=4)
    assert judge(model, data, test=str(other))["test"]["images"] == 4
    assert judge(model, data, test=str(other / "train"))["test"]["split"] == "train"


def test_errors_are_one_line_each(model: str, data: str, tmp_path: Path) -> None:
    train = f"{data}/train"
    with pytest.raises(DataError, match=r"has no test split.*--test"):
        judge(model, train)
    with pytest.raises(DataError, match="the very images"):
        judge(model, train, test=train)
    with pytest.raises(DataError, match="different classes"):
        judge(model, data, test="digits")
    with pytest.raises(DataError, match=r"fewer than 5 images of ant \(4\), bee \(4\), cat \(4\)"):
        judge(model, data, shots=(5,), seeds=5)
    image_folder(tmp_path / "half" / "test", 6)
    with pytest.raises(DataError, match="no train split"):
        judge(model, str(tmp_path / "half"))
    with pytest.raises(CheckpointError):
        judge(data, data)


def test_what_flatters_is_counted_and_said(
    model: str, data: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Test images that are copies of training images, and test images that the checkpoint itself was trained on."""
    plain = judge(model, data)
    assert (plain["test_copies"], plain["trained_on"]) == (0, None)
    assert plain["baseline"] == {"class": "ant", "top1": pytest.approx(3 / 9)}
    for file in sorted(Path(data, "train").rglob("*.png"))[:2]:
        shutil.copy(file, Path(data, "test", file.parent.name, f"again {file.name}"))
    pretrain(pretrain_recipe(tmp_path / "run", data=f"{data}/test", holdout=0.3))
    result = judge(str(tmp_path / "run"), data)
    assert (result["test_copies"], result["trained_on"]) == (2, 7)  # of 11, four were held out
    assert "2 of the 11 images that are judged have copies" in caplog.text
    assert "7 of the 11 images that are judged were trained on" in caplog.text
    (tmp_path / "run" / "model" / "shown.bin").write_bytes(b"\0" * 8)  # damaged, so that nothing is known
    assert judge(str(tmp_path / "run"), data)["trained_on"] is None


def test_one_draw_has_the_interval_of_the_test_images(model: str, data: str) -> None:
    _, rows = _table(judge(model, data, shots=(1,), seeds=1)["results"], 9)
    assert all(cell.endswith(") of 9") for cell in rows[0][1:])
