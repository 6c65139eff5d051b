"""A graph that takes photographs of any size says what `Predictor` says of them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import vitascope as vs
from optional import needs
from tiny_checkpoint import TINY, checkpoint
from vitascope.checkpoints.checkpoint import Checkpoint
from vitascope.cli import main
from vitascope.data.preprocess import Preprocess
from vitascope.errors import ConfigError, ExportError
from vitascope.evaluation.sets import PredictionSets
from vitascope.inference import agreement
from vitascope.inference.agreement import LEVELS, of_photographs, pieces
from vitascope.inference.engines.traced import Further
from vitascope.inference.export import export
from vitascope.inference.photograph import preparation
from vitascope.models.config import BiTConfig
from vitascope.views.attention_rollout import logits_and_rollout, rollout

needs("onnxruntime")

LOOKED = Further("rollout", logits_and_rollout)
WAYS: dict[str, dict[str, Any]] = {
    "official": {"antialias": False, "fit": "squash"},
    "bilinear": {},
    "bicubic, a part": {"interpolation": "bicubic", "crop_fraction": 0.9},
    "two taps, cropped": {"antialias": False, "crop_fraction": 0.8},
    "nearest": {"interpolation": "nearest"},
    "wide": {"size": (10, 24), "mean": (0.4, 0.5, 0.6), "std": (0.2, 0.3, 0.1)},
    "grey": {"channels": 1},
    "two channels": {"channels": 2},
}


def opened(path: Path | bytes) -> Any:
    import onnxruntime

    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("way", WAYS)
def test_pixels_are_those_of_preprocessing_to_a_level(way: str) -> None:
    preprocess = Preprocess(**{"size": (20, 20), **WAYS[way]})
    session = opened(preparation(preprocess).SerializeToString())
    rng = np.random.default_rng(0)
    channels = 3 if preprocess.channels == 1 else preprocess.channels
    noise = [rng.integers(0, 256, (*size, channels), np.uint8) for size in ((1, 1), (3, 500), (200, 201), (20, 20))]
    shares, most = [], []
    for image in [*pieces(preprocess.channels), *noise]:
        found = torch.from_numpy(session.run(None, {"image": image})[0])
        levels = (preprocess.restored(found).int() - preprocess.restored(preprocess(image)[None]).int()).abs()
        torch.testing.assert_close(found, preprocess.normalise(preprocess.restored(found)), atol=1e-5, rtol=0)
        shares.append((levels > 0).double().mean().item())
        most.append(levels.max().item())
    # Where the height shrinks a little more than the width, Pillow 13 resizes that first: a tenth or two then.
    assert np.median(shares) < 0.01
    assert max(shares) < 0.3
    assert max(most) <= 1 or way == "nearest"  # where rounding decides between two pixels that are as near


@pytest.mark.parametrize("wrong", [{"antialias": False}, {"interpolation": "bicubic"}, {"fit": "squash"}])
def test_another_way_of_resizing_is_noticed(wrong: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    right = Preprocess(size=(20, 20))
    assert max(of_photographs(right).values()) < LEVELS
    other = preparation(replace(right, **wrong))
    monkeypatch.setattr(agreement, "preparation", lambda _: other)
    with pytest.raises(ExportError, match="resizes photographs otherwise"):
        of_photographs(right)


def calibrated() -> Checkpoint:
    sets = PredictionSets(coverage=0.9, least=(0.3, 0.6, 0.4), images=40)
    return checkpoint(replace(TINY, depth=3), labels=("ant", "bee", "cat"), sets=sets)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("exported") / "out"
    record = export(calibrated(), out, "onnx", form="image", further=LOOKED)
    assert record["input"] == {"name": "image", "type": "uint8", "shape": ["height", "width", 3]}
    assert max(record["differences"].values()) < 1e-5
    assert len(record["photographs"]) == 7
    assert max(record["photographs"].values()) < 0.2
    return out


def test_it_answers_as_the_predictor_does(exported: Path) -> None:
    ck, session = calibrated(), opened(exported / "model.onnx")
    names = [output.name for output in session.get_outputs()]
    assert names == ["logits", "rollout", "probabilities", "label", "set", "known"]
    predictor = vs.Predictor(ck, "eager")
    for image in pieces():
        said = dict(zip(names, session.run(names, {"image": image}), strict=True))
        expected = predictor.probabilities(image)
        np.testing.assert_allclose(said["probabilities"], expected, atol=2e-3)
        (answer,) = predictor.answers(expected)
        assert ck.labels[said["label"][0]] == answer.predictions[0][0]
        inside = [label for label, is_in in zip(ck.labels, said["set"][0], strict=True) if is_in]
        assert (inside, bool(said["known"][0])) == (list(answer.members or ()), bool(answer.members))
        torch.testing.assert_close(
            torch.from_numpy(said["rollout"]), rollout(ck.model, ck.preprocess(image)[None]), atol=2e-3, rtol=0
        )


def test_looking_where_it_looked_computes_no_block_twice(exported: Path) -> None:
    import onnx

    operators = [node.op_type for node in onnx.load(exported / "model.onnx", load_external_data=False).graph.node]
    of_a_block = 6  # qkv, q kᵀ, A v, out and two of the MLP
    for_its_rollout = 2  # A once more, which fused attention never shows, and what is handed on by it
    depth = calibrated().model.config.depth
    assert operators.count("MatMul") + operators.count("Gemm") <= depth * (of_a_block + for_its_rollout) + 1  # the head
    assert operators.count("Conv") == 1


def test_it_says_all_that_one_has_to_know_and_nothing_of_this_machine(exported: Path) -> None:
    ck = calibrated()
    told = opened(exported / "model.onnx").get_modelmeta().custom_metadata_map
    told = {name: json.loads(text) for name, text in told.items()}
    assert told["labels"] == list(ck.labels)
    assert Preprocess.from_dict(told["preprocess"]) == ck.preprocess
    assert (told["activation"], told["sets"]["least"]) == ("softmax", [0.3, 0.6, 0.4])
    assert b"/" + b"site-packages" not in (exported / "model.onnx").read_bytes()
    assert __file__.encode()[:12] not in (exported / "model.onnx").read_bytes()


def test_the_folder_is_a_model_like_any_other(exported: Path) -> None:
    expected = vs.Predictor(calibrated(), "eager").probabilities(pieces())
    torch.testing.assert_close(vs.Predictor(exported).probabilities(pieces()), expected)


@pytest.mark.parametrize("kind", ["sigmoid", "features", "grey, sets for all", "ResNet"])
def test_other_kinds_of_checkpoints(kind: str, tmp_path: Path) -> None:
    ck = {
        "sigmoid": lambda: checkpoint(activation="sigmoid"),
        "features": lambda: checkpoint(replace(TINY, classes=0)),
        "grey, sets for all": lambda: checkpoint(
            replace(TINY, channels=1), sets=PredictionSets(coverage=0.9, least=(0.5,), images=9)
        ),
        "ResNet": lambda: checkpoint(BiTConfig(units=(1, 1, 1, 1), base_width=32, image_size=(32, 32), classes=3)),
    }[kind]()
    export(ck, tmp_path / "out", "onnx", form="image")
    session = opened(tmp_path / "out/model.onnx")
    said = {output.name for output in session.get_outputs()}
    assert ("probabilities" in said) == (kind != "features")
    assert ("set" in said) == kind.startswith("grey")
    if kind != "features":
        found = session.run(["probabilities"], {"image": pieces()[0]})[0]
        np.testing.assert_allclose(found, vs.Predictor(ck, "eager").probabilities(pieces()[0]), atol=2e-3)


def test_what_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot resize by lanczos.*--input batch"):
        export(
            checkpoint(preprocess=Preprocess(size=(16, 16), interpolation="lanczos")),
            tmp_path / "out",
            "onnx",
            form="image",
        )
    with pytest.raises(ConfigError, match=r"rollout is given of one photograph.*--input image"):
        export(checkpoint(), tmp_path / "out", "onnx", further=LOOKED)
    with pytest.raises(ConfigError, match="openvino takes batches"):
        export(checkpoint(), tmp_path / "out", "openvino", form="image")
    bit = checkpoint(BiTConfig(units=(1, 1, 1, 1), base_width=32, image_size=(32, 32), classes=3))
    with pytest.raises(ConfigError, match="BiT has no attention"):
        export(bit, tmp_path / "out", "onnx", form="image", further=LOOKED)
    assert list(tmp_path.iterdir()) == []


def test_the_command_takes_photographs_unless_told_otherwise(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    vs.save(checkpoint(), tmp_path / "ck")
    for words, name, outputs in (
        ([], "image", 3),
        (["--rollout"], "image", 4),
        (["--input", "batch"], "images", 1),
    ):
        out = tmp_path / f"out {outputs}"
        assert main(["export", str(tmp_path / "ck"), str(out), *words, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["input"]["name"] == name
        assert len(opened(out / "model.onnx").get_outputs()) == outputs
    words = ["export", str(tmp_path / "ck"), str(tmp_path / "no")]
    assert main([*words, "--input", "batch", "--rollout"]) == 2
    assert "--rollout is True, but a batch gives logits alone" in capsys.readouterr().err
    assert main([*words, "--format", "openvino", "--input", "image"]) == 2
    assert "openvino takes --input batch" in capsys.readouterr().err
