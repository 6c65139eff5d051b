"""Prediction: the same for one image and many, and the same tensors that training and evaluation see."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import vitascope as vs
from tiny import FIELDS, PLAIN, SIDE
from vitascope.checkpoints.answer import Answer
from vitascope.checkpoints.checkpoint import Checkpoint
from vitascope.data.batches import training_batches
from vitascope.data.open import open_data
from vitascope.data.preprocess import Preprocess
from vitascope.data.source import Source
from vitascope.errors import ConfigError, DataError, ImageError
from vitascope.evaluation.evaluate import evaluate
from vitascope.inference.engines.pytorch import TorchEngine
from vitascope.inference.files import FilePrediction, find_images, predict_files
from vitascope.inference.partial import partial_csv
from vitascope.models.catalogue import create_model
from vitascope.training.job import Job
from vitascope.training.parallel import World
from vitascope.training.train_settings import TrainSettings

LABELS = tuple("abcdefg")


def checkpoint(**changes: Any) -> Checkpoint:
    torch.manual_seed(0)
    preprocess = Preprocess(size=(SIDE, SIDE), **changes.pop("preprocess", {}))
    model = create_model("ViT-Ti/8", **FIELDS, classes=7, image_size=SIDE, **changes)
    torch.nn.init.normal_(model.head.linear.weight, std=0.3)
    return Checkpoint(model=model.eval(), preprocess=preprocess, labels=LABELS)


@pytest.fixture
def photos() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (h, w, 3), np.uint8) for h, w in ((16, 16), (20, 30), (41, 17), (16, 16), (64, 64))]


@pytest.mark.parametrize("batch", [1, 2, 3, 32])
def test_a_batch_predicts_what_single_images_do(photos: list[np.ndarray], batch: int) -> None:
    predictor = vs.Predictor(checkpoint(), batch=batch)
    together = predictor.probabilities(photos)
    alone = torch.cat([predictor.probabilities(photo) for photo in photos])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-6)
    torch.testing.assert_close(together.sum(1), torch.ones(5))


def test_predictions_are_sorted_labels_with_probabilities(photos: list[np.ndarray]) -> None:
    predictor = vs.Predictor(checkpoint())
    for row, found in zip(predictor.probabilities(photos), predictor(photos, top=3), strict=True):
        assert [index for _, index, _ in found] == row.argsort(descending=True)[:3].tolist()
        assert all(label == LABELS[index] for label, index, _ in found)
        assert [p for _, _, p in found] == [float(row[index]) for _, index, _ in found]
    assert len(predictor(photos, top=99)[0]) == 7


def test_one_image_counts_as_a_list_and_every_form_gives_the_same(photos: list[np.ndarray], tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    Image.fromarray(photos[1]).save(path)
    predictor = vs.Predictor(checkpoint())
    forms = [photos[1], Image.fromarray(photos[1]), path, str(path), path.read_bytes()]
    results = [predictor.probabilities(form) for form in forms]
    assert all(torch.equal(result, results[0]) for result in results)
    torch.testing.assert_close(predictor.probabilities(forms), torch.cat(results), rtol=0, atol=1e-6)
    assert predictor([]) == []


def test_a_checkpoint_on_disk_predicts_what_it_did_in_memory(photos: list[np.ndarray], tmp_path: Path) -> None:
    ck = checkpoint()
    vs.save(ck, tmp_path / "ck")
    expected = vs.Predictor(ck).probabilities(photos)
    assert torch.equal(vs.Predictor(tmp_path / "ck").probabilities(photos), expected)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda ck: vs.Predictor(ck, engine="warp"), "expected one of auto, eager"),
        (lambda ck: vs.Predictor(ck, batch=0), "batch is 0"),
        (lambda ck: vs.Predictor(ck, device="abacus"), "device 'abacus' cannot be used here"),
        (lambda ck: vs.Predictor(ck)(np.zeros((4, 4, 3), np.uint8), top=0), "top is 0"),
    ],
)
def test_arguments_that_cannot_be_are_refused(call: Callable[[Checkpoint], Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        call(checkpoint())


def test_the_checkpoint_stays_on_its_device() -> None:
    ck = checkpoint()
    engine = vs.Predictor(ck, device="meta").engine
    assert isinstance(engine, TorchEngine)
    assert isinstance(engine.module, torch.nn.Module)
    assert next(engine.module.parameters()).is_meta
    assert not any(p.is_meta for p in ck.model.parameters())


def test_an_unreadable_image_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(b"nothing")
    with pytest.raises(ImageError, match=r"x\.png"):
        vs.Predictor(checkpoint())(tmp_path / "x.png")


def unusual(folder: Path) -> Path:
    """A folder of class folders with one image of every kind that needs converting, 40 × 28 pixels."""
    rng = np.random.default_rng(3)
    rgb = rng.integers(0, 256, (40, 28, 3), np.uint8)
    colour = Image.fromarray(rgb)
    grey = Image.fromarray(rgb[..., 0])
    alpha = Image.merge("RGBA", (*colour.split(), Image.fromarray(rgb[..., 1])))
    palette = colour.quantize(16)
    exif = Image.Exif()
    exif[0x0112] = 6
    deep = Image.fromarray(rng.integers(0, 65536, (40, 28), np.uint16))
    kinds: dict[str, tuple[Image.Image, dict[str, Any]]] = {
        "a/rgb.png": (colour, {}),
        "a/grey.png": (grey, {}),
        "a/grey-alpha.png": (Image.merge("LA", (grey, Image.fromarray(rgb[..., 2]))), {}),
        "a/alpha.png": (alpha, {}),
        "b/palette.png": (palette, {"transparency": 3}),
        "b/cmyk.jpg": (colour.convert("CMYK"), {}),
        "b/deep.png": (deep, {}),
        "b/rotated.jpg": (colour, {"exif": exif}),
        "b/still.gif": (palette, {}),
    }
    for name, (image, options) in kinds.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        image.save(folder / name, **options)
    return folder


class Seeing(torch.nn.Module):
    """A model that keeps what it is shown."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[torch.Tensor] = []

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.seen += list(images)
        return torch.zeros(len(images), 2)


GEOMETRIES: dict[str, dict[str, Any]] = {
    "crop": {"crop_fraction": 0.875},
    "squash": {"fit": "squash", "interpolation": "bicubic"},
    "grey": {"channels": 1, "mean": (0.3,), "std": (0.2,)},
    "official": {"fit": "squash", "antialias": False},
}


@pytest.mark.parametrize("name", GEOMETRIES)
def test_training_evaluation_and_prediction_see_identical_tensors(name: str, tmp_path: Path) -> None:
    preprocess = Preprocess(size=(SIDE, SIDE), **GEOMETRIES[name])
    source: Source | None = open_data(str(unusual(tmp_path))).train
    assert source is not None
    n = len(source)
    assert n == 9
    settings = TrainSettings(steps=1, batch=n, augment=PLAIN)
    job = Job(settings=settings, steps=1, train=source, validation=None, preprocess=preprocess, folder=tmp_path)
    images, _ = next(training_batches(source, job.transform(), job.order(World()), 0, 1))
    order = [index for _, index in job.order(World()).items(0)]
    trained = dict(zip(order, preprocess.normalise(images), strict=True))
    seeing = Seeing()
    evaluate(seeing, source, preprocess, batch=4)
    ck = checkpoint(preprocess=GEOMETRIES[name], channels=preprocess.channels)
    shown: list[torch.Tensor] = []
    ck.model.patches.register_forward_pre_hook(lambda _, inputs: shown.extend(inputs[0]))
    predictor = vs.Predictor(ck, batch=2)
    list(predict_files(predictor, [Path(source.describe(i)) for i in range(n)]))
    for i in range(n):
        served = preprocess(Path(source.describe(i)).read_bytes())
        for other in (seeing.seen[i], shown[i], served):
            assert torch.equal(trained[i], other), source.describe(i)
    assert len({tensor.numpy().tobytes() for tensor in shown}) >= 6


def test_files_are_found_below_folders_in_order(tmp_path: Path) -> None:
    for name in ("b/2.jpg", "b/1.PNG", "a.tif", "notes.txt", "b/.DS_Store"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    found = [str(p.relative_to(tmp_path)) for p in find_images([str(tmp_path)])]
    assert found == ["a.tif", "b/1.PNG", "b/2.jpg"]
    assert find_images([str(tmp_path / "notes.txt")]) == [tmp_path / "notes.txt"]  # named by the user, so tried
    with pytest.raises(DataError, match="does not exist"):
        find_images([str(tmp_path / "absent")])
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no images below"):
        find_images([str(tmp_path / "empty")])


def test_predictions_come_in_the_order_of_the_files(tmp_path: Path, photos: list[np.ndarray]) -> None:
    files = []
    for i, photo in enumerate(photos):
        files.append(tmp_path / f"{i}.png")
        Image.fromarray(photo).save(files[-1])
    files[2].write_bytes(b"broken")
    predictor = vs.Predictor(checkpoint(), batch=2)
    results = list(predict_files(predictor, files, top=1))
    assert [result.file for result in results] == [str(file) for file in files]
    for i, result in enumerate(results):
        if i == 2:
            assert result.answer is None
            assert "2.png" in (result.error or "")
        else:
            (label, index, probability), *_ = predictor(photos[i], top=1)[0]
            assert result.answer is not None
            assert result.answer.predictions[0][:2] == (label, index)
            assert result.answer.predictions[0][2] == pytest.approx(probability, abs=1e-6)


def test_the_same_file_given_twice_is_predicted_twice(tmp_path: Path, photos: list[np.ndarray]) -> None:
    Image.fromarray(photos[0]).save(tmp_path / "x.png")
    results = list(predict_files(vs.Predictor(checkpoint()), [tmp_path / "x.png"] * 2))
    assert len(results) == 2
    assert results[0] == results[1]


def csv_file(path: Path, results: list[FilePrediction]) -> None:
    with partial_csv(str(path), {}, [Path(result.file) for result in results]) as partial:
        for result in results:
            partial.add(result)
        partial.finish()


def test_a_csv_file_is_new_or_refused(tmp_path: Path) -> None:
    csv_file(tmp_path / "p.csv", [])
    assert (tmp_path / "p.csv").read_text(encoding="utf-8-sig") == "file,label,probability,set,error\n"
    with pytest.raises(DataError, match="exists"):
        csv_file(tmp_path / "p.csv", [])
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        csv_file(tmp_path / "file" / "p.csv", [])


def test_a_csv_file_has_a_row_a_file(tmp_path: Path) -> None:
    two = Answer(predictions=[("cat", 0, 0.75), ("dog", 1, 0.25)], members=("cat", "dog"))
    one = Answer(predictions=[("cat", 0, 1.0)], members=())
    answers = [FilePrediction("a", two), FilePrediction("b", None, "cut short"), FilePrediction("c", one)]
    csv_file(tmp_path / "p.csv", answers)
    with (tmp_path / "p.csv").open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.reader(file))
    assert rows == [
        ["file", "label", "probability", "label_2", "probability_2", "set", "error"],
        ["a", "cat", "0.750000", "dog", "0.250000", "cat; dog", ""],
        ["b", "", "", "", "", "", "cut short"],
        ["c", "cat", "1.000000", "", "", "none of these", ""],
    ]


def test_a_csv_file_tells_of_names_in_any_encoding(tmp_path: Path) -> None:
    answer = Answer(predictions=[("猫", 0, 1.0)])
    named = [FilePrediction(os.fsdecode(name), answer) for name in ("é\n.png".encode(), b"caf\xe9.png")]
    csv_file(tmp_path / "p.csv", named)
    with (tmp_path / "p.csv").open(newline="", encoding="utf-8-sig") as file:
        rows = [(row["file"], row["label"]) for row in csv.DictReader(file)]
    assert rows == [("é\n.png", "猫"), ("caf\\udce9.png", "猫")]
