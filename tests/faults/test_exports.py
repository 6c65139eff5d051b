"""A damaged export is refused before it predicts; outputs that are no numbers are never passed on."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import vitascope as vs
from optional import needs
from tiny_checkpoint import checkpoint
from vitascope.errors import CheckpointError, ExportError
from vitascope.inference.export import export
from vitascope.inference.exported import open_model
from vitascope.inference.predictor import Predictor

IMAGE = np.zeros((16, 16, 3), np.uint8)


@pytest.fixture(scope="module", params=["openvino", "onnx"])
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    needs("openvino" if request.param == "openvino" else "onnxruntime")
    out = tmp_path_factory.mktemp("exported") / "out"
    export(checkpoint(), out, request.param)
    return out


def test_any_turned_bit_is_noticed(exported: Path, tmp_path: Path) -> None:
    rng = random.Random(0)
    files = [path.name for path in exported.iterdir() if path.name != "export.json"]
    for n in range(60):
        folder = tmp_path / str(n)
        shutil.copytree(exported, folder)
        file = folder / files[n % len(files)]
        content = bytearray(file.read_bytes())
        if n % 3 == 0:
            content = content[: rng.randrange(len(content))]
        else:
            content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        file.write_bytes(content)
        with pytest.raises(CheckpointError, match=rf"{file.name} cannot be read.*SHA-256") as error:
            open_model(folder)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("value", ['"abc"', '["a", "b"]', "[1, 2, 3]", '{"0": "a"}', "null"])
def test_labels_are_a_list_of_as_many_names_as_outputs(exported: Path, tmp_path: Path, value: str) -> None:
    import hashlib

    shutil.copytree(exported, tmp_path / "out")
    (tmp_path / "out" / "labels.json").write_text(value)
    record = json.loads((exported / "export.json").read_text())
    record["sha256"]["labels.json"] = hashlib.sha256(value.encode()).hexdigest()
    (tmp_path / "out" / "export.json").write_text(json.dumps(record))
    with pytest.raises(CheckpointError, match=r"labels\.json (is no list of names|has 2 names for 3 outputs)"):
        open_model(tmp_path / "out")


def test_what_export_json_lacks_is_not_trusted(exported: Path, tmp_path: Path) -> None:
    shutil.copytree(exported, tmp_path / "out")
    record = json.loads((exported / "export.json").read_text())
    for sums in (None, {}, {"../x": "0"}, {**record["sha256"], "../x": "0"}, {**record["sha256"], "model.bin": "0"}):
        (tmp_path / "out" / "export.json").write_text(json.dumps({**record, "sha256": sums}))
        with pytest.raises(CheckpointError, match="no complete export"):
            open_model(tmp_path / "out")


def spoiled(value: float) -> vs.checkpoints.checkpoint.Checkpoint:
    ck = checkpoint()
    with torch.no_grad():
        ck.model.head.linear.bias[1] = value
    return ck


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_outputs_that_are_not_finite(value: float, tmp_path: Path) -> None:
    for engine in ("eager", "auto"):
        with pytest.raises(CheckpointError, match="not finite"):
            Predictor(spoiled(value), engine, device="cpu")(IMAGE)
    needs("openvino")
    with pytest.raises(ExportError, match="not finite"):
        export(spoiled(value), tmp_path / "out", "openvino")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("engine", ["eager", "auto", "openvino"])
def test_the_callers_model_is_left_as_it_is(engine: str) -> None:
    if engine == "openvino":
        needs("openvino")
    config = vs.create_model(
        "ViT-Ti/8", width=32, depth=2, heads=2, hidden=8, image_size=16, classes=3, dropout=0.5
    ).config
    ck = checkpoint(config)
    expected = Predictor(ck, engine, device="cpu").probabilities(IMAGE)
    ck.model.train()
    ck.model.encoder.eval()  # a mixture, as of someone who trains the head alone
    modes = {name: module.training for name, module in ck.model.named_modules()}
    state = {name: tensor.data_ptr() for name, tensor in ck.model.state_dict().items()}
    predictor = Predictor(ck, engine, device="cpu")
    assert torch.equal(predictor.probabilities(IMAGE), expected)
    assert {name: module.training for name, module in ck.model.named_modules()} == modes
    assert {name: tensor.data_ptr() for name, tensor in ck.model.state_dict().items()} == state
    assert all(parameter.requires_grad for parameter in ck.model.parameters())
