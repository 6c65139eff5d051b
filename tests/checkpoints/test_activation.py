"""How logits become probabilities: said once with the checkpoint, the same wherever it is used."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import vitascope as vs
from peers import peer, randomise
from tiny import evaluated
from tiny_checkpoint import TINY, checkpoint, look
from vitascope.checkpoints.checkpoint import Checkpoint
from vitascope.errors import CheckpointError
from vitascope.inference.files import predict_files
from vitascope.web.engine import Engine

PIXELS = np.random.default_rng(0).integers(0, 255, (16, 16, 3), dtype=np.uint8)
ERF = replace(TINY, gelu="erf", norm_eps=1e-12)


def multi_label() -> Checkpoint:
    return checkpoint(ERF, labels=("cloud", "road", "tree"), activation="sigmoid")


def logits(ck: Checkpoint) -> torch.Tensor:
    with torch.inference_mode():
        return ck.model(ck.preprocess(PIXELS)[None])[0]


def test_each_label_is_judged_by_itself_everywhere(tmp_path: Path) -> None:
    ck = multi_label()
    wanted = logits(ck).sigmoid()
    Image.fromarray(PIXELS).save(tmp_path / "a.png")
    predictor = vs.Predictor(ck, engine="eager")
    for found in (predictor(PIXELS)[0], next(predict_files(predictor, [tmp_path / "a.png"])).answer.predictions):
        assert [index for _, index, _ in found] == wanted.argsort(descending=True).tolist()
        assert [p for _, _, p in found] == pytest.approx(wanted.sort(descending=True).values.tolist(), abs=1e-6)
    assert [p for _, _, p in look(ck, PIXELS).predictions] == pytest.approx(sorted(wanted.tolist())[::-1], abs=1e-6)
    engine = Engine(ck, max_pixels=10**6)
    np.testing.assert_allclose(engine.probabilities(logits(ck)[None].numpy())[0], wanted, atol=1e-6)


@pytest.mark.parametrize("format", ["vitascope", "huggingface"])
@pytest.mark.parametrize("activation", ["softmax", "sigmoid", "none"])
def test_it_travels_with_the_weights(format: str, activation: str, tmp_path: Path) -> None:
    ck = checkpoint(ERF, activation=activation)
    vs.save(ck, tmp_path / "out", format=format)
    assert vs.load(tmp_path / "out").activation == activation
    assert vs.load(tmp_path / "out", classes=2).activation == "softmax"  # a new head is for one of several classes


@pytest.mark.parametrize("format", ["timm", "torchvision", "google"])
def test_a_format_that_cannot_say_it_is_refused(format: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match='become probabilities by "sigmoid"'):
        vs.save(multi_label(), tmp_path / "out", format=format)
    assert not (tmp_path / "out").exists()


def test_a_regression_is_no_class_of_a_hundred_percent(tmp_path: Path) -> None:
    ck = checkpoint(replace(ERF, classes=1), activation="none")
    predictor = vs.Predictor(ck, engine="eager")
    for use in (lambda: predictor(PIXELS), lambda: Engine(ck, max_pixels=10**6)):
        with pytest.raises(CheckpointError, match="regression model"):
            use()
    assert look(ck, PIXELS).predictions == []
    vs.save(ck, tmp_path / "model")
    with pytest.raises(CheckpointError, match="regression model"):
        evaluated(str(tmp_path / "model"), "digits")


def test_it_is_judged_label_by_label(tmp_path: Path) -> None:
    vs.save(multi_label(), tmp_path / "model")
    for name in ("cloud", "road"):
        (tmp_path / "data" / name).mkdir(parents=True)
        Image.fromarray(PIXELS).save(tmp_path / "data" / name / "a.png")
    found = evaluated(str(tmp_path / "model"), str(tmp_path / "data"))
    assert {name: each["ap"] for name, each in found["per_label"].items()} == {"cloud": 0.5, "road": 0.5}
    assert "top1" not in found


@pytest.mark.parametrize(
    "said", [{"problem_type": "multi_label_classification"}, {"num_labels": 1}, {"num_labels": 4}, {}]
)
def test_as_the_pipeline_of_transformers(said: dict[str, object], tmp_path: Path) -> None:
    transformers = peer("transformers")
    config = transformers.ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=24, image_size=16, patch_size=8,
        **said,
    )  # fmt: skip
    model = randomise(transformers.ViTForImageClassification(config))
    processor = transformers.ViTImageProcessor(size={"height": 16, "width": 16})
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    pipe = transformers.pipeline("image-classification", model=model, image_processor=processor)
    wanted = {int(entry["label"][6:]): entry["score"] for entry in pipe(Image.fromarray(PIXELS), top_k=9)}
    found = {index: p for _, index, p in vs.Predictor(tmp_path, engine="eager")(PIXELS)[0]}
    assert found == pytest.approx(wanted, abs=1e-5)


def test_an_unknown_activation_is_refused(tmp_path: Path) -> None:
    vs.save(checkpoint(), tmp_path / "model")
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    (tmp_path / "model" / "config.json").write_text(json.dumps({**config, "activation": ["softmax"]}))
    with pytest.raises(CheckpointError, match="activation is "):
        vs.load(tmp_path / "model")
