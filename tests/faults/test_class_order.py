"""Whose class is which output: never guessed where two orders are usual, and always to be stated."""

from __future__ import annotations

import dataclasses
import json
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import vitascope as vs
from peers import peer
from tiny_checkpoint import TINY, checkpoint
from vitascope.checkpoints.stated import read_labels
from vitascope.cli import main
from vitascope.data.kept import ArraySource
from vitascope.errors import ConfigError, DataError
from vitascope.models.config import ViTConfig
from vitascope.recipes.evaluation import relabelled


def source(*classes: str) -> ArraySource:
    """One image of every class, in this order."""
    images = np.zeros((len(classes), 8, 8, 3), np.uint8)
    return ArraySource("s", classes, np.arange(len(classes)), images)


def numbers(count: int) -> tuple[str, ...]:
    return tuple(map(str, range(count)))


@pytest.mark.parametrize(
    "classes",
    [
        [f"class_{n}" for n in (1, 2, 3, 10, 11)],
        ["Apple", "banana", "Cherry", "date"],
        [str(n) for n in range(1, 13)],
        ["img-2b", "img-10a"],
    ],
)
@pytest.mark.parametrize("name", ["{}", "LABEL_{}"])
def test_two_usual_orders_are_refused_and_both_named(classes: list[str], name: str) -> None:
    labels = tuple(name.format(n) for n in range(len(classes)))
    with pytest.raises(DataError, match=r"code point.*as timm sorts.*--labels FILE") as error:
        relabelled(source(*sorted(classes)), labels)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 300
    # In the order that is stated, every name is where it belongs.
    natural = ("class_1", "class_2", "class_10")
    assert relabelled(source("class_1", "class_10", "class_2"), natural).labels.tolist() == [0, 2, 1]


@pytest.mark.parametrize("classes", [("ant", "bee", "cat"), ("b", "a", "c"), ("n01440764", "n01443537")])
def test_one_order_is_taken_and_said(classes: tuple[str, ...], caplog: pytest.LogCaptureFixture) -> None:
    for labels in (numbers(len(classes)), tuple(f"LABEL_{n}" for n in range(len(classes)))):
        caplog.clear()
        assert relabelled(source(*classes), labels).labels.tolist() == list(range(len(classes)))
        assert "does not name its classes" in caplog.text


def test_numbers_are_numbers() -> None:
    classes = tuple(sorted(numbers(12)))  # 0, 1, 10, 11, 2, …
    assert relabelled(source(*classes), numbers(12)).labels.tolist() == [int(name) for name in classes]
    # Our own runs name them, in the order of their data.
    assert relabelled(source(*classes), classes).labels.tolist() == list(range(12))


def test_the_key_is_timms() -> None:
    timm = peer("timm.data.readers.reader_image_folder")
    from vitascope.recipes.evaluation import _natural

    names = ["a10", "A2", "b", "10", "9", "x_1_b", "x_01_a", "", "Ä1"]
    assert sorted(names, key=_natural) == sorted(names, key=timm.natural_key)


def test_synsets_and_readable_names_have_a_remedy() -> None:
    with pytest.raises(DataError, match=r"WordNet synset of each output.*LOC_synset_mapping"):
        relabelled(source("n01440764", "n01443537"), ("tench", "goldfish", "shark"))
    with pytest.raises(DataError, match=r"--labels FILE with the data's name"):
        relabelled(source("goldfish", "tench"), ("n01440764", "n01443537", "n01484850"))
    with pytest.raises(DataError, match=r"no names. Give --labels FILE"):
        relabelled(source("goldfish", "tench"), numbers(3))


@pytest.mark.parametrize(
    "text",
    [
        "x\ny y\nž\n",
        "\ufeffx\r\ny y\r\nž\r\n\r\n",
        '["x", "y y", "ž"]',
        '{"0": "x", "1": "y y", "2": "ž"}',
        '{"ž": 2, "x": 0, "y y": 1}',
        '{"id2label": {"0": "x", "1": "y y", "2": "ž"}, "model_type": "vit"}',
    ],
)
def test_files_of_labels(text: str, tmp_path: Path) -> None:
    (tmp_path / "labels").write_text(text, encoding="utf-8")
    assert read_labels(tmp_path / "labels") == ("x", "y y", "ž")
    vs.save(checkpoint(), tmp_path / "ck")
    assert vs.load(tmp_path / "ck", labels=tmp_path / "labels").labels == ("x", "y y", "ž")
    assert vs.load(tmp_path / "ck", labels=["p", "q", "r"]).labels == ("p", "q", "r")


@pytest.mark.parametrize(
    "text",
    [
        *(b"", b"\n", b"a\n\nb", b"[1, 2, 3]", b"[", b"[" * 100_000, b"\xff\xfe\x00", b'["a", ""]'),
        *(b'{"0": "a", "2": "b", "3": "c"}', b'{"a": 0, "b": 0, "c": 1}', b'{"a": true, "b": 1, "c": 2}'),
        *(b'{"0": "a", "0": "b"}', b'{"id2label": 3}'),
    ],
)
def test_files_that_are_none(text: bytes, tmp_path: Path) -> None:
    (tmp_path / "labels").write_bytes(text)
    with pytest.raises(ConfigError, match="expected"):
        read_labels(tmp_path / "labels")


def test_labels_must_be_as_many_as_outputs_and_twice_the_same_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    vs.save(checkpoint(labels=("crane", "hen", "crane")), tmp_path / "ck")
    with caplog.at_level(logging.WARNING):
        vs.load(tmp_path / "ck")
    assert "same name" in caplog.text
    assert "crane" in caplog.text
    with pytest.raises(ConfigError, match="2 labels for a model of 3 outputs"):
        vs.load(tmp_path / "ck", labels=["a", "b"])
    with pytest.raises(ConfigError, match="1 label for a model of 3 outputs"):
        vs.load(tmp_path / "ck", labels=["a"])
    with pytest.raises(ConfigError, match="cannot be read"):
        vs.load(tmp_path / "ck", labels=tmp_path / "absent")


def bare_timm(path: Path) -> None:
    """A ViT of timm's names, and nothing beside it."""
    config = ViTConfig(image_size=(16, 16), patch=8, width=64, depth=1, heads=1, hidden=24, classes=3)
    vs.save(checkpoint(config), path.parent / "whole", format="timm")
    (path.parent / "whole" / "model.safetensors").rename(path)


def test_every_command_takes_labels_and_statistics(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("openvino")
    from tiny import image_folder

    bare, names = tmp_path / "bare.safetensors", tmp_path / "names"
    bare_timm(bare)
    image_folder(tmp_path / "images", 6)
    names.write_text("cat\nbee\nant\n")
    stated = ["--labels", str(names), "--mean", "imagenet"]
    images, report = str(tmp_path / "images"), tmp_path / "report"
    assert main(["convert", str(bare), str(tmp_path / "ours"), *stated]) == 0
    ours = vs.load(tmp_path / "ours")
    assert ours.labels == ("cat", "bee", "ant")
    assert ours.preprocess.mean == (0.485, 0.456, 0.406)
    assert main(["export", str(bare), str(tmp_path / "ir"), "--format=openvino", *stated]) == 0
    assert json.loads((tmp_path / "ir" / "labels.json").read_text()) == ["cat", "bee", "ant"]
    assert main(["inspect", str(bare), f"{images}/ant/000.png", "--out", str(report), "--show=1", *stated]) == 0
    looked = json.loads((report / "report.json").read_text())["looks"][0]["predictions"]
    assert {one["label"] for one in looked} == {"cat", "bee", "ant"}
    capsys.readouterr()
    found = []
    for path, more in ((tmp_path / "ours", []), (bare, stated), (tmp_path / "ir", [])):
        assert main(["predict", str(path), images, "--json", *more]) == 0
        out, err = capsys.readouterr()
        assert "assuming mean" not in err
        order = [[x["index"] for x in p["labels"]] for p in json.loads(out)["predictions"]]
        assert main(["evaluate", str(path), images, "--json", *more]) == 0
        found.append((order, round(json.loads(capsys.readouterr().out)["loss"], 4)))
    assert found[0] == found[1] == found[2]
    assert main(["predict", str(tmp_path / "ir"), images, "--json", "--labels", str(names)]) == 0


def test_what_is_assumed_is_said_and_only_then(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    bare = tmp_path / "bare.safetensors"
    bare_timm(bare)
    with caplog.at_level(logging.WARNING):
        assert vs.load(bare).preprocess.mean == (0.5, 0.5, 0.5)
    assert "assuming mean 0.5 and std 0.5" in caplog.text
    assert "--mean imagenet" in caplog.text
    caplog.clear()
    numbers = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    for mean, std in (("imagenet", None), ("0.485,0.456,0.406", "0.229,0.224,0.225"), numbers):
        preprocess = vs.load(bare, mean=mean, std=std).preprocess
        assert (preprocess.mean, preprocess.std) == numbers
    assert vs.load(bare, mean=0.4, std="0.2").preprocess.mean == (0.4, 0.4, 0.4)
    assert "assuming mean" not in caplog.text
    for mean, std in (("imagenett", "1"), ("0.5", None), (None, 0.5), ("1,2", "1"), ("0.5", "0")):
        with pytest.raises(ConfigError, match=r"mean|std"):
            vs.load(bare, mean=mean, std=std)


def test_a_description_that_says_half_is_completed_as_timm_does(tmp_path: Path) -> None:
    vs.save(checkpoint(), tmp_path / "timm", format="timm")
    description = json.loads((tmp_path / "timm" / "config.json").read_text())
    cfg = description["pretrained_cfg"]
    for key in ("input_size", "mean", "std", "interpolation", "crop_pct"):
        cut = {**description, "pretrained_cfg": {k: v for k, v in cfg.items() if k != key}}
        (tmp_path / "timm" / "config.json").write_text(json.dumps(cut))
        preprocess = vs.load(tmp_path / "timm").preprocess
        assert preprocess.size == (16, 16)
        assert preprocess.mean == ((0.485, 0.456, 0.406) if key == "mean" else (0.5, 0.5, 0.5))
        assert preprocess.interpolation == ("bicubic" if key == "interpolation" else "bilinear")


def test_hugging_faces_folders(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    config = dataclasses.replace(TINY, norm_eps=1e-12, gelu="erf")
    folder = tmp_path / "hf"
    vs.save(checkpoint(config), folder, format="huggingface")
    alone = folder / "preprocessor_config.json"
    held = json.loads(alone.read_text())
    held["image_mean"] = held["image_std"] = [0.25, 0.5, 0.75]
    alone.unlink()
    with caplog.at_level(logging.WARNING):
        vs.load(folder)
    assert "assuming mean 0.5" in caplog.text
    caplog.clear()
    whole = {"processor_class": "ViTProcessor", "image_processor": held}
    (folder / "processor_config.json").write_text(json.dumps(whole))
    assert vs.load(folder).preprocess.mean == (0.25, 0.5, 0.75)
    assert caplog.text == ""


def test_a_bare_file_of_tensors_keeps_its_own_description(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    save_file({"x": torch.zeros(1)}, tmp_path / "x.safetensors")  # no format at all: refused as before
    with pytest.raises(vs.errors.CheckpointError):
        vs.load(tmp_path / "x.safetensors", mean="imagenet", labels=["a"])
    vs.save(checkpoint(), tmp_path / "own")
    with caplog.at_level(logging.WARNING):
        vs.load(tmp_path / "own")
    assert caplog.text == ""
