"""Every engine gives the model's logits for any batch, or says in one line why it cannot."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import vitascope as vs
from optional import needs
from other_kinds import OTHER_KINDS
from tiny_checkpoint import TINY, checkpoint
from vitascope.errors import ConfigError
from vitascope.inference.class_token import ClassTokenViT, for_prediction
from vitascope.inference.engines import table
from vitascope.inference.engines.names import ENGINES
from vitascope.inference.engines.pytorch import TorchEngine
from vitascope.inference.engines.table import BUILDERS, TOLERANCES, build, difference
from vitascope.models.config import ModelConfig, StemConfig

CPU = torch.device("cpu")
KINDS: dict[str, ModelConfig] = {
    "not square": replace(TINY, image_size=(16, 24), depth=2),
    "computed positions": replace(TINY, positions="sincos"),
    "mean of patches, registers, no head": replace(
        TINY, class_token=False, pooling="mean", norm="pooled", registers=2, classes=0
    ),
    "token and mean": replace(TINY, pooling="token+mean", registers=1, layer_scale=0.1),
    "hybrid": replace(TINY, image_size=(32, 32), patch=2, stem=StemConfig(units=(1,), width_factor=0.5)),
    **OTHER_KINDS,
}
ENGINE_KINDS = [
    *(("eager", kind) for kind in KINDS),
    *(("openvino", kind) for kind in ("not square", "computed positions", "hybrid", "BiT")),
    *(("onnx", kind) for kind in ("not square", "computed positions")),  # others in test_export.py
]


def test_the_names_are_those_of_the_table() -> None:
    assert ("auto", *BUILDERS) == ENGINES


@pytest.mark.parametrize(("name", "kind"), ENGINE_KINDS)
def test_every_engine_gives_the_models_logits_for_any_batch(name: str, kind: str) -> None:
    needs({"eager": "torch", "onnx": "onnxruntime"}.get(name, name))
    ck = checkpoint(KINDS[kind])
    engine = build(name, ck, CPU, "float32", 4)
    assert all(difference(engine, ck, batch) < 1e-5 for batch in (1, 2, 5))
    with torch.no_grad():  # an export leaves nothing of itself in the model
        assert torch.isfinite(ck.model(torch.zeros(1, 3, *ck.preprocess.size))).all()


def test_a_prediction_is_that_of_the_engine() -> None:
    needs("openvino")
    ck, image = checkpoint(), np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    expected = vs.Predictor(ck, "eager").probabilities([image] * 3)
    torch.testing.assert_close(vs.Predictor(ck, "openvino", batch=2).probabilities([image] * 3), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_the_short_form_computes_the_same(kind: str) -> None:
    model = checkpoint(KINDS[kind]).model
    images = torch.randn(2, 3, *KINDS[kind].image_size)
    with torch.no_grad():
        torch.testing.assert_close(for_prediction(model)(images), model(images))


def test_the_last_block_computes_one_token_where_the_head_reads_one() -> None:
    model = checkpoint(replace(TINY, depth=3)).model
    seen: list[int] = []
    for block in model.encoder.blocks:
        block.mlp.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape[1]))
    short = for_prediction(model)
    assert isinstance(short, ClassTokenViT)
    short(torch.zeros(1, 3, 16, 16))
    assert seen == [5, 5, 1]


@pytest.mark.parametrize("kind", KINDS)
def test_bfloat16_is_close_and_leaves_the_caller_float32(kind: str) -> None:
    ck = checkpoint(KINDS[kind])
    engine = build("eager", ck, CPU, "bfloat16", 4)
    assert 1e-6 < difference(engine, ck, 3) < TOLERANCES["bfloat16"]
    assert {p.dtype for p in ck.model.parameters()} == {torch.float32}
    assert isinstance(engine, TorchEngine)
    assert isinstance(engine.module, nn.Module)
    linears = [m for m in engine.module.modules() if isinstance(m, nn.Linear)]
    assert {m.weight.dtype for m in linears} <= {torch.bfloat16}


def test_a_compiled_engine_is_compiled_when_it_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[Any] = []

    def compile(module: nn.Module) -> Callable[[Tensor], Tensor]:
        return lambda images: compiled.append(images.shape) or module(images)  # type: ignore[func-returns-value]

    monkeypatch.setattr(torch, "compile", compile)
    ck = checkpoint()
    engine = build("compiled", ck, CPU, "float32", 8)
    assert compiled[0] == (2, 3, 16, 16)
    assert difference(engine, ck, 3) < 1e-6


def test_an_engine_that_fails_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(module: nn.Module) -> Callable[[Tensor], Tensor]:
        raise RuntimeError("no C++ compiler\nand much more")

    monkeypatch.setattr(torch, "compile", fails)
    with pytest.raises(
        ConfigError, match=r"^engine compiled does not work here \(no C\+\+ compiler\); choose [a-z ]+$"
    ):
        vs.Predictor(checkpoint(), "compiled")


def test_an_engine_that_differs_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(table.BUILDERS, "onnx", lambda ck, *_: lambda images: ck.model(images) + 0.1)
    with pytest.raises(ConfigError, match=r"engine onnx differs from the model by 0\.1"):
        build("onnx", checkpoint(), CPU, "float32", 2)


@pytest.mark.parametrize("package", ["openvino", "onnx"])
def test_without_the_extra(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigError, match=rf"vitascope\[{package}\]"):
        vs.Predictor(checkpoint(), package)


@pytest.mark.parametrize("name", ["openvino", "onnx"])
def test_engines_of_the_cpu_take_no_other_device(name: str) -> None:
    with pytest.raises(ConfigError, match=f"engine {name} runs on the CPU only, device is meta"):
        vs.Predictor(checkpoint(), name, device="meta")


def test_formats_that_an_engine_has_not_are_refused() -> None:
    needs("onnxruntime")
    with pytest.raises(ConfigError, match="float32 only, not bfloat16"):
        vs.Predictor(checkpoint(), "onnx", precision="bfloat16")
    with pytest.raises(ConfigError, match="precision is 'int4'"):
        vs.Predictor(checkpoint(), "eager", precision="int4")


def test_openvino_reports_nothing_to_its_makers() -> None:
    needs("openvino")
    words = "import sys; from vitascope.inference.engines import openvino as o; o.library(); "
    words += "print(sys.modules['openvino_telemetry'], sys.modules['openvino.tools.ovc.telemetry_utils'].tm.__name__)"
    found = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["None", "openvino.tools.ovc.telemetry_stub"]
