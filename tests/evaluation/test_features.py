"""Features: those of the model, each image computed once, and never those of another model, image or preprocessing."""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tiny import CLASSES, image_folder, pixels, source
from tiny_checkpoint import TINY, checkpoint
from vitascope.checkpoints.checkpoint import Checkpoint
from vitascope.data.kept import ArraySource
from vitascope.data.open import open_data
from vitascope.data.source import Source
from vitascope.errors import CheckpointError, ImageError
from vitascope.evaluation.features import FeatureStore, features_folder
from vitascope.models.config import BiTConfig, ModelConfig, StemConfig

MODELS: dict[str, ModelConfig] = {
    "ViT": TINY,
    "headless": replace(TINY, classes=0),
    "pre-logits": replace(TINY, representation_size=20),
    "hybrid": replace(TINY, image_size=(32, 32), patch=2, stem=StemConfig(units=(1, 1), width_factor=0.5)),
    "BiT": BiTConfig(image_size=(32, 32), units=(1, 1, 1, 1), base_width=32, classes=3, small_images=True),
}
ALL = np.arange(11)


def store(ck: Checkpoint, folder: Path | None = None, **options: int) -> FeatureStore:
    return FeatureStore(ck.model, ck.preprocess, folder=folder, **options)


@pytest.mark.parametrize("name", MODELS)
@torch.inference_mode()
def test_features_are_what_the_last_layer_sees(name: str, tmp_path: Path) -> None:
    ck = checkpoint(MODELS[name])
    images, _ = pixels(11)
    expected = np.stack([ck.model.features(ck.preprocess(image)[None])[0].numpy() for image in images])
    features = store(ck, tmp_path, batch=4)
    for _ in range(2):  # computed, then from disk
        got = features(source(11), ALL)
        assert got.dtype == np.float32
        assert got.shape == expected.shape
        assert np.abs(got - expected).max() < 1e-5 * np.abs(expected).max()
    assert features.computed == 11


def test_only_what_is_missing_is_computed_also_by_another_process_later(tmp_path: Path) -> None:
    ck = checkpoint()
    whole = store(ck)(source(11), ALL)
    first = store(ck, tmp_path)
    assert np.array_equal(first(source(11), np.array([7, 2])), whole[[7, 2]])
    assert first.computed == 2
    second = store(ck, tmp_path)
    assert np.allclose(second(source(11), np.array([2, 9, 7, 0, 2])), whole[[2, 9, 7, 0, 2]], atol=1e-6)
    assert second.computed == 2
    third = store(ck, tmp_path)
    assert np.allclose(third(source(11), np.array([0, 2, 7, 9])), whole[[0, 2, 7, 9]], atol=1e-6)
    assert third.computed == 0
    assert len(list(tmp_path.iterdir())) == 1


def changed(what: str) -> tuple[Checkpoint, Source]:
    ck, data = checkpoint(), source(11)
    if what == "a weight":
        with torch.no_grad():
            list(ck.model.parameters())[3].view(-1)[0] += 1e-3
    elif what == "the config alone":
        ck = replace(ck, model=checkpoint(replace(TINY, gelu="erf")).model)
        ck.model.load_state_dict(checkpoint().model.state_dict())
    elif what == "the preprocessing":
        ck = replace(ck, preprocess=replace(ck.preprocess, mean=(0.4,)))
    elif what == "an image":
        data.images[4, 0, 0, 0] ^= 1
    elif what == "the order":
        data = ArraySource("tiny", CLASSES, data.labels[::-1], data.images[::-1])
    return ck, data


@pytest.mark.parametrize("what", ["a weight", "the config alone", "the preprocessing", "an image", "the order"])
def test_nothing_stale_is_found(what: str, tmp_path: Path) -> None:
    old = store(checkpoint(), tmp_path)(source(11), ALL)
    ck, data = changed(what)
    features = store(ck, tmp_path)
    got = features(data, ALL)
    assert features.computed == 11
    assert not np.array_equal(got, old)
    assert np.array_equal(got, store(ck)(data, ALL))


def test_names_and_labels_are_no_part_of_the_images(tmp_path: Path) -> None:
    store(checkpoint(), tmp_path)(source(11), ALL)
    renamed = ArraySource("other", ("x", "y"), np.zeros(11, np.int64), source(11).images)
    features = store(checkpoint(), tmp_path)
    features(renamed, ALL)
    assert features.computed == 0


def test_a_file_that_changes_in_a_folder_is_noticed(tmp_path: Path) -> None:
    folder = image_folder(tmp_path / "images", 6)
    ck = checkpoint()

    def computed() -> int:
        train = open_data(str(folder)).train
        assert train is not None
        features = store(ck, tmp_path / "kept")
        features(train, np.arange(len(train)))
        return features.computed

    assert [computed(), computed()] == [6, 0]
    file = folder / "ant" / "000.png"
    file.write_bytes((folder / "bee" / "001.png").read_bytes())
    os.utime(file, ns=(1, 1))
    assert [computed(), computed()] == [6, 0]
    file.unlink()
    assert computed() == 5


@pytest.mark.parametrize("harm", ["empty", "cut", "bit", "other", "pickle"])
def test_a_damaged_file_is_computed_again(harm: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    expected = store(checkpoint(), tmp_path)(source(11), ALL)
    (path,) = tmp_path.iterdir()
    content = bytearray(path.read_bytes())
    if harm == "bit":
        content[len(content) // 2] ^= 1
    path.write_bytes({"empty": b"", "cut": content[: len(content) // 2]}.get(harm, content))
    if harm == "other":
        np.savez(path, positions=np.array([99]), features=np.zeros((1, 16), np.float32))
    if harm == "pickle":
        np.savez(path, positions=np.array([{}], dtype=object), features=np.zeros((1, 16), np.float32))
    features = store(checkpoint(), tmp_path)
    with caplog.at_level(logging.WARNING):
        assert np.array_equal(features(source(11), ALL), expected)
    assert features.computed == 11
    assert "computed again" in caplog.text
    again = store(checkpoint(), tmp_path)
    again(source(11), ALL)
    assert again.computed == 0


def test_a_folder_that_cannot_be_written_costs_only_time(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    with caplog.at_level(logging.WARNING):
        got = store(checkpoint(), tmp_path / "file" / "features")(source(11), ALL)
    assert np.array_equal(got, store(checkpoint())(source(11), ALL))
    assert "could not be kept" in caplog.text


def test_an_interrupted_computation_leaves_no_file_and_the_models_mode(tmp_path: Path) -> None:
    ck = checkpoint()
    ck.model.train()

    def stop(done: int, total: int) -> None:
        assert total == 11
        if done >= 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        FeatureStore(ck.model, ck.preprocess, batch=4, folder=tmp_path, progress=stop)(source(11), ALL)
    assert ck.model.training
    assert list(tmp_path.iterdir()) == []


def test_dropout_is_off_and_batches_and_workers_change_nothing() -> None:
    ck = checkpoint(replace(TINY, dropout=0.5))
    ck.model.train()
    plain = store(ck, batch=11)(source(11), ALL)
    assert ck.model.training
    assert np.allclose(store(ck, batch=3)(source(11), ALL), plain, atol=1e-6)
    assert np.array_equal(store(ck, batch=11, workers=1)(source(11), ALL), plain)


def test_the_model_can_be_trained_afterwards() -> None:
    ck = checkpoint()
    ck = replace(ck, preprocess=ck.preprocess.with_size((32, 32)))  # positions resized and kept by the model
    features = store(ck)(source(11), ALL)
    x = torch.stack([ck.preprocess(image) for image in pixels(11)[0]])
    ck.model(x).sum().backward()
    assert all(p.grad is not None for p in ck.model.parameters())
    assert np.allclose(store(ck)(source(11), ALL), features)


def test_features_that_are_not_finite_are_refused_and_not_kept(tmp_path: Path) -> None:
    ck = checkpoint()
    with torch.no_grad():
        next(ck.model.parameters()).fill_(float("nan"))
    with pytest.raises(CheckpointError, match="NaN or infinity"):
        store(ck, tmp_path)(source(11), ALL)
    assert list(tmp_path.iterdir()) == []


def test_an_unreadable_image_is_named(tmp_path: Path) -> None:
    folder = image_folder(tmp_path / "images", 6)
    (folder / "bee" / "001.png").write_bytes(b"no image")
    train = open_data(str(folder)).train
    assert train is not None
    with pytest.raises(ImageError, match=r"001\.png"):
        store(checkpoint(), tmp_path / "kept")(train, np.arange(6))


def test_the_folder_is_in_the_cache(cache: Path) -> None:
    assert features_folder() == cache / "features"
