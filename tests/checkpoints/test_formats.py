"""Foreign formats without their libraries: variants of names, round trips, refusals."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import vitascope as vs
from tiny_checkpoint import TINY, checkpoint
from vitascope.checkpoints.checkpoint import Checkpoint
from vitascope.checkpoints.formats.names import FORMATS
from vitascope.checkpoints.formats.table import FOREIGN
from vitascope.data.preprocess import Preprocess
from vitascope.errors import CheckpointError
from vitascope.models.config import BiTConfig, ModelConfig, StemConfig

GOLDEN = Path(__file__).parents[1] / "golden"
WIDE = replace(TINY, width=64, heads=1, hidden=128)
ERF = replace(WIDE, gelu="erf")

ROUND_TRIPS: list[tuple[str, ModelConfig]] = [
    ("google", TINY),
    ("google", replace(TINY, classes=0)),
    ("google", replace(TINY, representation_size=5, representation_activation="tanh")),
    ("google", replace(TINY, class_token=False, pooling="mean", class_row=False)),
    ("google", replace(TINY, class_row=False)),
    (
        "google",
        replace(TINY, image_size=(32, 32), patch=2, stem=StemConfig(units=(1, 2), width_factor=0.5)),
    ),
    ("google", BiTConfig(units=(1, 2, 1, 1), base_width=32, classes=3)),
    ("google", BiTConfig(units=(1, 1, 1, 1), classes=3, small_images=True)),
    ("google", BiTConfig(units=(1, 2), base_width=32, classes=3)),
    ("timm", WIDE),
    ("timm", replace(ERF, layer_scale=1e-6, class_row=False, registers=3)),
    ("timm", replace(ERF, norm="pooled", pooling="mean", image_size=(16, 24), channels=1)),
    ("timm", replace(ERF, positions="none", classes=0)),
    ("timm", replace(TINY, width=40, heads=5, hidden=23)),
    ("huggingface", replace(WIDE, norm_eps=1e-12)),
    ("huggingface", replace(ERF, image_size=(16, 24))),
    ("huggingface", replace(ERF, classes=0, representation_size=7, representation_activation="tanh")),
    ("huggingface", replace(WIDE, classes=0, representation_size=7)),
    ("huggingface", replace(ERF, layer_scale=0.5, pooling="token+mean")),
    ("huggingface", replace(ERF, layer_scale=0.5, registers=2, classes=0)),
    ("torchvision", ERF),
    ("torchvision", replace(ERF, width=40, heads=5)),
    ("torchvision", replace(ERF, representation_size=7, representation_activation="tanh")),
]  # fmt: skip


def same(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    a, b = one.state_dict(), other.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize(("format", "config"), ROUND_TRIPS)
def test_a_round_trip_gives_back_every_bit(format: str, config: ModelConfig, tmp_path: Path) -> None:
    labels = tuple(f"class {i}" for i in range(config.classes))
    preprocess = Preprocess(size=config.image_size, channels=config.channels, fit="squash", mean=(0.2,))
    ck = checkpoint(config, labels=labels, preprocess=preprocess)
    vs.save(ck, tmp_path / "out", format=format)
    back = vs.load(tmp_path / "out")
    assert back.config == config
    assert same(back.model, ck.model)
    assert back.format == format
    if format != "google":  # an .npz has no place for these
        assert (back.labels, back.preprocess) == (labels, preprocess)
    assert not vs.load(tmp_path / "out").model.training


def test_every_format_has_round_trips() -> None:
    assert {format for format, _ in ROUND_TRIPS} == {format.name for format in FOREIGN}
    assert set(FORMATS) == {"vitascope"} | {
        format.name for format in FOREIGN
    }  # what the command line lists without loading them


REFUSALS: list[tuple[str, ModelConfig, str]] = [
    ("google", replace(TINY, registers=2), "register tokens"),
    ("google", replace(TINY, layer_scale=0.1), "LayerScale"),
    ("google", replace(TINY, gelu="erf", norm_eps=1e-12), r"gelu erf .* tanh; norm_eps 1e-12 .* 1e-06"),
    ("google", replace(TINY, representation_size=5), "representation_activation gelu where that would be read as tanh"),
    ("google", replace(TINY, pooling="mean"), "pooling mean"),
    ("google", replace(TINY, image_size=(16, 24)), "16×24, not square"),
    ("google", replace(TINY, positions="none"), "positions none"),
    ("timm", replace(TINY, norm_eps=1e-5, pooling="token+mean"), r"pooling token\+mean .* mean; norm_eps 1e-05"),
    ("timm", replace(TINY, representation_size=5), "hidden layer in the head"),
    ("huggingface", replace(TINY, class_token=False, pooling="mean"), "no class token"),
    ("huggingface", replace(TINY, layer_scale=0.1), r"pooling token where that would be read as token\+mean"),
    ("huggingface", replace(TINY, registers=1), "registers without LayerScale"),
    ("torchvision", TINY, "gelu tanh"),
    ("torchvision", replace(TINY, gelu="erf", registers=1, image_size=(16, 24)), r"not square.*register tokens"),
    ("torchvision", replace(TINY, gelu="erf", classes=0), "no head"),
    ("torchvision", BiTConfig(units=(1, 1, 1, 1), base_width=32), "BiT-ResNet"),
    ("timm", replace(TINY, image_size=(32, 32), stem=StemConfig()), "hybrid"),
]


@pytest.mark.parametrize(("format", "config", "expected"), REFUSALS)
def test_what_a_format_cannot_say_is_refused(format: str, config: ModelConfig, expected: str, tmp_path: Path) -> None:
    if getattr(config, "stem", None) is not None:
        config = replace(config, patch=1)
    with pytest.raises(CheckpointError, match=expected) as caught:
        vs.save(checkpoint(config), tmp_path / "out", format=format)
    assert f'"{format}"' in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_fixed_positions_become_a_table_for_timm(tmp_path: Path) -> None:
    ck = checkpoint(replace(ERF, positions="sincos", class_token=False, pooling="mean"))
    vs.save(ck, tmp_path / "out", format="timm")
    back = vs.load(tmp_path / "out")
    images = torch.randn(2, 3, 16, 16)
    assert back.config.positions == "learned"
    assert torch.equal(back.model(images), ck.model(images))


def test_existing_files_are_kept_unless_overwritten(tmp_path: Path) -> None:
    for format in ("google", "timm", "huggingface", "torchvision"):
        config = ERF if format == "torchvision" else TINY
        vs.save(checkpoint(config), tmp_path / format, format=format)
        with pytest.raises(CheckpointError, match="already"):
            vs.save(checkpoint(config), tmp_path / format, format=format)
        vs.save(checkpoint(config), tmp_path / format, format=format, overwrite=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["google", "huggingface", "timm", "torchvision"]


# Variants of the official .npz.


def arrays(name: str) -> dict[str, np.ndarray]:
    with np.load(GOLDEN / f"{name}.npz") as file:
        return {key: file[key] for key in file.files}


def logits(path: Path) -> torch.Tensor:
    with torch.inference_mode():
        return vs.load(path).model(
            torch.from_numpy(np.load(GOLDEN / "vit_token.io.npz")["images_nhwc"]).permute(0, 3, 1, 2)
        )


def stacked(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    result = {key: array for key, array in tensors.items() if "encoderblock_" not in key}
    for key in [key for key in tensors if "encoderblock_0" in key]:
        layers = [tensors[key.replace("encoderblock_0", f"encoderblock_{i}")] for i in range(2)]
        result[key.replace("encoderblock_0", "encoderblock")] = np.stack(layers)
    return result


def renumbered(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    renames = (("Attention_1/", "Attention_0/"), ("LayerNorm_2/", "LayerNorm_1/"), ("MlpBlock_3/", "MlpBlock_0/"))
    result = {}
    for key, array in tensors.items():
        for old, new in renames:
            key = key.replace(old, new)
        result[key] = array
    return result


VARIANTS: dict[str, Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]] = {
    "today's numbering": renumbered,
    "stacked": stacked,
    "stacked, today's numbering": lambda t: stacked(renumbered(t)),
    "opt/target/": lambda t: {f"opt/target/{k}": v for k, v in t.items()} | {"opt/state/step": np.array(9)},
    "params/": lambda t: {f"params/{k}": v for k, v in t.items()} | {"opt/0/mu": np.zeros(3)},
    "params/img/": lambda t: {f"params/img/{k}": v for k, v in t.items()} | {"params/txt/a": np.zeros(3)},
    "compressed": lambda t: t,
}


@pytest.mark.parametrize("name", VARIANTS)
def test_variants_of_the_official_file_are_the_same_model(name: str, tmp_path: Path) -> None:
    save = np.savez_compressed if name == "compressed" else np.savez
    save(tmp_path / "variant.npz", **VARIANTS[name](arrays("vit_token")))
    assert torch.equal(logits(tmp_path / "variant.npz"), logits(GOLDEN / "vit_token.npz"))


def test_bfloat16_as_void_is_read(tmp_path: Path) -> None:
    tensors = {k: torch.from_numpy(v).bfloat16() for k, v in arrays("vit_token").items()}
    np.savez(tmp_path / "a.npz", **{k: t.view(torch.int16).numpy().view("V2") for k, t in tensors.items()})
    np.savez(tmp_path / "b.npz", **{k: t.float().numpy() for k, t in tensors.items()})
    assert torch.equal(logits(tmp_path / "a.npz"), logits(tmp_path / "b.npz"))


def test_everything_wrong_is_listed_in_one_error(tmp_path: Path) -> None:
    tensors = arrays("vit_token")
    del tensors["Transformer/encoder_norm/scale"], tensors["head/bias"]
    tensors["extra/thing"] = np.zeros(2, np.float32)
    tensors["cls"] = np.zeros((1, 1, 47), np.float32)
    tensors["embedding/bias"] = np.zeros(48, np.int64)
    np.savez(tmp_path / "a.npz", **tensors)
    with pytest.raises(CheckpointError) as caught:
        vs.load(tmp_path / "a.npz")
    text = str(caught.value)
    for part in (
        "missing: Transformer/encoder_norm/scale, head/bias",
        "not part of this model: extra/thing",
        "wrong shape: cls is 1×1×47, expected 1×1×48",
        "not floating point: embedding/bias is int64",
    ):
        assert part in text
    assert "\n" not in text


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda t: t.pop("embedding/kernel"), "embedding/kernel is missing"),
        (lambda t: t.update({"head/kernel": np.zeros((48, 10, 1))}), r"head/kernel is \(48, 10, 1\)"),
        (lambda t: t.update({"MAPHead_0/probe": np.zeros((1, 1, 48))}), "MAPHead_0/probe"),
        (lambda t: t.update({"Transformer/encoderblock_999999999/x": np.zeros(1)}), "encoderblock_2/.*999999999"),
        (lambda t: t.update({"Transformer/encoderblock/x": np.zeros((10**7, 0))}), "encoderblock/x"),
        (
            lambda t: t.update({"Transformer/encoderblock_0/MlpBlock_0/Dense_0/bias": np.zeros(96)}),
            "there twice",
        ),
        (
            lambda t: t.update({"Transformer/posembed_input/pos_embedding": np.zeros((1, 16, 48))}),
            "no square grid",
        ),
        (lambda t: t.update({"head/kernel": np.full((48, 10), np.nan, np.float32)}), r"head/kernel \(480 of 480\)"),
    ],
)
def test_odd_official_files_are_refused_quickly(change: Any, expected: str, tmp_path: Path) -> None:
    tensors = arrays("vit_token")
    change(tensors)
    np.savez(tmp_path / "a.npz", **tensors)
    with pytest.raises(CheckpointError, match=expected):
        vs.load(tmp_path / "a.npz")


def test_a_grid_that_is_not_square_needs_the_size(tmp_path: Path) -> None:
    tensors = arrays("vit_token")
    tensors["Transformer/posembed_input/pos_embedding"] = np.random.default_rng(0).random((1, 13, 48))
    np.savez(tmp_path / "a.npz", **tensors)
    with pytest.raises(CheckpointError, match=r"13 rows of positions are no square grid; give the image size"):
        vs.load(tmp_path / "a.npz")
    assert vs.load(tmp_path / "a.npz", image_size=(24, 32)).config.grid == (3, 4)


# Names of the PyTorch libraries, without these libraries.


def written(format: str, config: ModelConfig, folder: Path) -> tuple[Checkpoint, dict[str, torch.Tensor]]:
    ck = checkpoint(config)
    vs.save(ck, folder, format=format)
    return ck, load_file(folder / "model.safetensors" if folder.is_dir() else folder)


@pytest.mark.parametrize(
    ("name", "shape", "expected"),
    [
        ("dist_token", (1, 1, 64), "distilled DeiT"),
        ("attn_pool.latent", (1, 1, 64), "attention pooling"),
        ("norm_pre.weight", (64,), "CLIP"),
        ("patch_embed.backbone.stem.conv.weight", (1,), r"hybrid of timm.*official \.npz"),
        ("blocks.0.attn.q_norm.weight", (64,), "normalises queries and keys"),
        ("blocks.0.mlp.w12.weight", (64,), "SwiGLU"),
    ],
)
def test_relatives_of_timm_vits_are_refused_by_name(
    name: str, shape: tuple[int, ...], expected: str, tmp_path: Path
) -> None:
    _, tensors = written("timm", ERF, tmp_path / "out")
    save_file(tensors | {name: torch.zeros(shape)}, tmp_path / "a")
    with pytest.raises(CheckpointError, match=expected):
        vs.load(tmp_path / "a")


def test_deit_iii_names_its_scales_otherwise(tmp_path: Path) -> None:
    ck, tensors = written("timm", replace(ERF, layer_scale=1e-5, class_row=False), tmp_path / "out")
    renamed = {k.replace("ls1.gamma", "gamma_1").replace("ls2.gamma", "gamma_2"): t for k, t in tensors.items()}
    assert renamed.keys() != tensors.keys()
    torch.save({"model": renamed}, tmp_path / "deit_3.pth")
    back = vs.load(tmp_path / "deit_3.pth")
    assert back.config == ck.config
    assert same(back.model, ck.model)


def test_heads_that_nothing_tells_must_be_said(tmp_path: Path) -> None:
    ck, tensors = written("timm", replace(TINY, gelu="erf"), tmp_path / "out")
    save_file(tensors, tmp_path / "a")
    with pytest.raises(CheckpointError, match="how many attention heads a width of 16 has; say it in Python"):
        vs.load(tmp_path / "a")
    assert vs.load(tmp_path / "a", model=ck.config).config.heads == 2


def test_torchvision_files_of_before_2022(tmp_path: Path) -> None:
    ck, tensors = written("torchvision", ERF, tmp_path / "out")
    old = {k.replace("mlp.0.", "mlp.linear_1.").replace("mlp.3.", "mlp.linear_2."): t for k, t in tensors.items()}
    assert old.keys() != tensors.keys()
    torch.save(old, tmp_path / "a.pth")
    back = vs.load(tmp_path / "a.pth")
    assert same(back.model, ck.model)
    assert back.preprocess.mean == (0.485, 0.456, 0.406)
    assert back.labels == ("0", "1", "2")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"model_type": "deit"}, "model_type 'deit'"),
        ({"model_type": "swin"}, "model_type 'swin'"),
        ({"hidden_act": "relu"}, "hidden_act 'relu'"),
        ({"layer_norm_eps": "small"}, "layer_norm_eps 'small'"),
        ({"num_attention_heads": 7}, "not divisible by heads 7"),
        ({"num_attention_heads": -4}, "heads"),
    ],
)
def test_a_hugging_face_description_that_cannot_be_is_refused(
    changes: dict[str, Any], expected: str, tmp_path: Path
) -> None:
    written("huggingface", ERF, tmp_path / "out")
    config = tmp_path / "out" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | changes))
    with pytest.raises(CheckpointError, match=expected) as caught:
        vs.load(tmp_path / "out")
    assert str(tmp_path / "out") in str(caught.value)


@pytest.mark.parametrize(
    ("names", "labels", "said"),
    [
        ({"0": "ant", "2": "cat"}, ("ant", "1", "cat"), "no name for 1 of 3 classes (1)"),
        ({"0": "ant", "1": None, "2": ["cat"]}, ("ant", "1", "2"), "no name for 2 of 3 classes (1, 2)"),
        ({"0": "ant", "1": "bee", "2": "cat", "3": "dog"}, ("ant", "bee", "cat"), ""),
        (["ant", "bee"], ("0", "1", "2"), "2 names for 3 classes are left out"),
        ("ant", ("0", "1", "2"), ""),
    ],
)
def test_a_class_without_a_name_keeps_its_number(
    names: Any, labels: tuple[str, ...], said: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    written("huggingface", ERF, tmp_path / "out")
    config = tmp_path / "out" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"id2label": names}))
    assert vs.load(tmp_path / "out").labels == labels
    assert said in caplog.text
    assert bool(said) == ("names" in caplog.text or "no name" in caplog.text)


@pytest.mark.parametrize("format", ["timm", "torchvision", "huggingface"])
@pytest.mark.parametrize("value", [float("nan"), 1e300])
def test_weights_that_are_not_finite_in_float32_are_named(format: str, value: float, tmp_path: Path) -> None:
    _, tensors = written(format, ERF, tmp_path / "out")
    name = next(name for name in tensors if name.endswith("weight"))
    save_file({**tensors, name: torch.full_like(tensors[name], value, dtype=torch.float64)}, tmp_path / "a")
    with pytest.raises(CheckpointError, match=rf"NaN or infinite in {name}"):
        vs.load(tmp_path / "a")


def test_the_eps_of_a_hugging_face_file_comes_from_its_config(tmp_path: Path) -> None:
    _, tensors = written("huggingface", ERF, tmp_path / "out")
    config = tmp_path / "out" / "config.json"
    values = json.loads(config.read_text())
    del values["layer_norm_eps"], values["id2label"]
    config.write_text(json.dumps(values))
    (tmp_path / "out" / "preprocessor_config.json").unlink()
    back = vs.load(tmp_path / "out")
    assert (back.config.norm_eps, back.labels) == (1e-12, ("0", "1", "2"))
    assert (back.preprocess.fit, back.preprocess.mean) == ("squash", (0.5, 0.5, 0.5))
    save_file(tensors, tmp_path / "model.safetensors")
    assert vs.load(tmp_path / "model.safetensors").config.norm_eps == 1e-12
