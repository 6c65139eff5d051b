from __future__ import annotations

import json
import resource
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import vitascope as vs
from tiny_checkpoint import TINY, checkpoint
from vitascope.data.preprocess import Preprocess
from vitascope.errors import CheckpointError
from vitascope.models.config import BiTConfig, ModelConfig, StemConfig, ViTConfig

CONFIGS: dict[str, ModelConfig] = {
    "plain": TINY,
    "headless": replace(TINY, classes=0),
    "everything": replace(
        TINY,
        image_size=(16, 24),
        channels=1,
        registers=2,
        pooling="token+mean",
        class_row=False,
        representation_size=5,
        gelu="erf",
        norm_eps=1e-5,
        layer_scale=0.1,
        dropout=0.1,
        stochastic_depth=0.2,
        head_bias=-10.0,
    ),
    "mean": replace(TINY, class_token=False, pooling="mean", norm="pooled", positions="sincos"),
    "hybrid": replace(
        TINY, image_size=(32, 32), patch=1, stem=StemConfig(units=(1, 1), width_factor=0.5), positions="none"
    ),
    "ResNet": BiTConfig(image_size=(32, 32), units=(1, 1, 1, 1), base_width=32, classes=3, small_images=True),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_everything_comes_back(name: str, tmp_path: Path) -> None:
    config = CONFIGS[name]
    labels = tuple(f"class {i} «é» 名" for i in range(config.classes))
    preprocess = Preprocess(
        size=config.image_size, channels=config.channels, fit="squash", mean=(0.1,), std=(0.7,), antialias=False
    )
    card = {"data": {"name": "digits", "images": 1437}, "results": {"top1": 0.985}}
    ck = checkpoint(config, labels=labels, preprocess=preprocess, card=card)
    vs.save(ck, tmp_path / "model")
    back = vs.load(tmp_path / "model")
    assert (back.config, back.labels, back.preprocess, back.card) == (config, labels, preprocess, card)
    assert back.format == "vitascope"
    assert not back.model.training
    state, expected = back.model.state_dict(), ck.model.state_dict()
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[key], expected[key]) for key in expected)
    assert all(p.requires_grad and p.dtype == torch.float32 for p in back.model.parameters())
    assert sorted(p.name for p in (tmp_path / "model").iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
        "preprocessor.json",
    ]


def test_a_run_and_the_weights_within_are_found(tmp_path: Path) -> None:
    vs.save(checkpoint(), tmp_path / "run" / "model")
    for path in (tmp_path / "run", tmp_path / "run" / "model", tmp_path / "run" / "model" / "model.safetensors"):
        assert vs.load(str(path)).config == TINY


def test_a_bfloat16_or_training_model_is_stored_as_float32(tmp_path: Path) -> None:
    ck = checkpoint()
    ck.model.train().bfloat16()
    vs.save(ck, tmp_path / "model")
    back = vs.load(tmp_path / "model")
    assert back.model.head.linear.weight.dtype == torch.float32
    assert torch.equal(back.model.head.linear.weight, ck.model.head.linear.weight.float())


def flip(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("format", ["vitascope", "timm", "torchvision"])
def test_half_the_bytes_are_read_as_float32(format: str, tmp_path: Path) -> None:
    ck = checkpoint(replace(TINY, gelu="erf"))
    vs.save(ck, tmp_path / "half", format, half=True)
    state = vs.load(tmp_path / "half", image_size=ck.config.image_size).model.state_dict()
    for name, tensor in ck.model.state_dict().items():
        assert torch.equal(state[name], tensor.half().float()), name
    with torch.no_grad():
        next(ck.model.parameters()).fill_(1e5)
    with pytest.raises(CheckpointError, match=r"reaches 1e.05, float16 ends at 65504"):
        vs.save(ck, tmp_path / "beyond", format, half=True)
    assert not (tmp_path / "beyond").exists()


@pytest.mark.parametrize("position", [-1, -1000, 0.5])
def test_one_flipped_bit_is_noticed(position: float, tmp_path: Path) -> None:
    vs.save(checkpoint(), tmp_path / "model")
    file = tmp_path / "model" / "model.safetensors"
    flip(file, int(position if position < 0 else position * file.stat().st_size))
    with pytest.raises(CheckpointError, match=r"model\.safetensors: SHA-256 is .* config\.json says .*older"):
        vs.load(tmp_path / "model")


def edit(folder: Path, file: str, **changes: Any) -> None:
    values = json.loads((folder / file).read_text())
    for key, value in changes.items():
        if value is None:
            del values[key]
        else:
            values[key] = value
    (folder / file).write_text(json.dumps(values))


DAMAGES: dict[str, tuple[Any, str]] = {
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "model.safetensors: missing"),
    "no preprocessing": (lambda f: (f / "preprocessor.json").unlink(), "preprocessor.json: missing"),
    "no hash": (lambda f: edit(f, "config.json", weights_sha256=None), "weights_sha256"),
    "no model": (lambda f: edit(f, "config.json", model=None), '"model"'),
    "labels missing": (lambda f: edit(f, "config.json", labels=None), "labels"),
    "too few labels": (lambda f: edit(f, "config.json", labels=["a"]), "1 labels for a model of 3"),
    "labels of numbers": (lambda f: edit(f, "config.json", labels=[1, 2, 3]), "labels must"),
    "card a list": (lambda f: edit(f, "config.json", card=[1]), "card is a list"),
    "unknown preprocessing": (lambda f: edit(f, "preprocessor.json", sizee=3), "sizee"),
    "wrong channels": (
        lambda f: edit(f, "preprocessor.json", channels=1, mean=[0.5], std=[0.5]),
        "makes 1 channels",
    ),
    "images of 1.6 GB": (
        lambda f: edit(f, "preprocessor.json", size=[20_000, 20_000]),
        "from 1 to 16,384",
    ),
    "config not JSON": (lambda f: (f / "config.json").write_text("{,}"), "config.json: damaged JSON"),
    "config a list": (lambda f: (f / "config.json").write_text("[]"), "config.json: JSON holds a list"),
    "config twice the same": (
        lambda f: (f / "config.json").write_text('{"vitascope": 1, "vitascope": 2}'),
        "occurs twice",
    ),
    "truncated": (
        lambda f: (f / "model.safetensors").write_bytes((f / "model.safetensors").read_bytes()[:-9]),
        "truncated",
    ),
    "empty": (lambda f: (f / "model.safetensors").write_bytes(b""), "damaged"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_named_in_one_line(name: str, tmp_path: Path) -> None:
    vs.save(checkpoint(), tmp_path / "model")
    damage, expected = DAMAGES[name]
    damage(tmp_path / "model")
    with pytest.raises(CheckpointError) as caught:
        vs.load(tmp_path / "model")
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"depth": 2}, "missing: encoder.blocks.1.norm1.weight, encoder.blocks.1.norm1.bias"),
        ({"classes": 4}, "head.linear.weight is 3×16, expected 4×16"),
        ({"hidden": 32}, "mlp.fc1.weight is 24×16, expected 32×16"),
        ({"registers": 2}, "missing: embedding.registers"),
        ({"class_row": False}, "embedding.positions.table is 1×5×16, expected 1×4×16"),
        ({"hidden": 10**15}, "hidden is 1000000000000000, expected"),
        ({"classes": 10**6}, "head.linear.weight is 3×16, expected 1000000×16"),
        ({"registers": 10**12}, "registers is 1000000000000, expected"),
        ({"channels": 10**12}, "channels is 1000000000000, expected"),
        ({"image_size": [8 * 10**3, 8 * 10**3]}, "embedding.positions.table is 1×5×16, expected"),
        ({"image_size": [8 * 10**8, 8 * 10**8]}, "image_size is (800000000, 800000000), expected"),
        ({"depth": 10**9}, "depth is 1000000000, expected a whole number from 1 to 1,024"),
        ({"depth": 1024}, "describes 1024 blocks"),
        ({"width": 2 * 10**400}, "width is 2000"),
        ({"heads": 3}, "not divisible by heads"),
        ({"depth": "1"}, "depth is '1', expected a whole number"),
        ({"pooling": "max"}, "pooling is 'max', expected one of token, mean, token+mean"),
        ({"gelu": "relu"}, "gelu is 'relu'"),
        ({"norm_eps": "small"}, "norm_eps is 'small', expected a number"),
        ({"layer_scale": "big"}, "layer_scale is 'big', expected a number"),
        ({"class_token": 1}, "class_token is 1, expected true or false"),
        ({"classes": 1.5}, "classes is 1.5, expected a whole number"),
        ({"colour": 3}, "no field 'colour'"),
        ({"architecture": "gpt"}, "architecture is 'gpt'"),
    ],
)
def test_a_config_of_another_model_is_refused_and_takes_no_memory(
    changes: dict[str, Any], expected: str, tmp_path: Path
) -> None:
    vs.save(checkpoint(), tmp_path / "model")
    values = json.loads((tmp_path / "model" / "config.json").read_text())
    edit(tmp_path / "model", "config.json", model=values["model"] | changes)
    with pytest.raises(CheckpointError) as caught:
        vs.load(tmp_path / "model")
    assert expected in str(caught.value)
    assert str(tmp_path / "model") in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("config.json", '"ant"', '"ent"'),
        ("config.json", '"norm_eps": 1e-06', '"norm_eps": 2e-06'),
        ("config.json", '"config_sha256": "', '"config_sha256": "0'),
        ("config.json", '"config_sha256"', '"config_sha257"'),
        ("config.json", '"preprocessor_sha256"', '"preprocessor_sha257"'),
        ("preprocessor.json", "0.5", "0.4"),
    ],
)
def test_a_flipped_bit_in_a_description_is_noticed(file: str, old: str, new: str, tmp_path: Path) -> None:
    vs.save(checkpoint(labels=("ant", "bee", "cat")), tmp_path / "model")
    path = tmp_path / "model" / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(CheckpointError, match="not as it was saved"):
        vs.load(tmp_path / "model")


def test_what_was_saved_without_these_sums_loads(tmp_path: Path) -> None:
    ck = checkpoint(labels=("ant", "bee", "cat"))
    vs.save(ck, tmp_path / "model")
    path = tmp_path / "model" / "config.json"
    values = json.loads(path.read_text())
    del values["config_sha256"], values["preprocessor_sha256"]
    path.write_text(json.dumps({**values, "labels": ["ant", "bee", "emu"]}))
    assert vs.load(tmp_path / "model").labels == ("ant", "bee", "emu")


def test_nan_and_infinite_weights_are_named(tmp_path: Path) -> None:
    ck = checkpoint()
    with torch.no_grad():
        ck.model.head.linear.bias[1] = float("nan")
        ck.model.encoder.norm.weight[:2] = float("inf")
    vs.save(ck, tmp_path / "model")
    with pytest.raises(CheckpointError) as caught:
        vs.load(tmp_path / "model")
    assert "encoder.norm.weight (2 of 16), head.linear.bias (1 of 3)" in str(caught.value)


def test_disk_full_keeps_the_old_checkpoint(tmp_path: Path) -> None:
    ck = checkpoint()
    vs.save(ck, tmp_path / "model")
    before = {p.name: p.read_bytes() for p in (tmp_path / "model").iterdir()}
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        for format in ("vitascope", "timm", "huggingface"):
            config = ViTConfig(**{**vars(TINY), "gelu": "erf"})
            other = checkpoint(config)
            with pytest.raises(CheckpointError, match="disk full"):
                vs.save(other, tmp_path / "model", format=format, overwrite=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert {p.name: p.read_bytes() for p in (tmp_path / "model").iterdir()} == before
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


def test_the_model_card_tells_data_recipe_and_results_and_escapes_names(tmp_path: Path) -> None:
    card = {
        "data": "photos of <script>alert(1)</script>",
        "recipe": {"steps": 500, "optimizer": {"name": "sgd"}},
        "results": {"top1": 0.9751},
        "note": "by hand",
    }
    vs.save(checkpoint(card=card, labels=("a|b", "*c*", "d\ne")), tmp_path / "model")
    text = (tmp_path / "model" / "README.md").read_text()
    assert text.startswith("---\nlibrary_name: vitascope\n")
    assert "| optimizer.name | sgd |" in text
    assert "| top1 | 0.9751 |" in text
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert r"a\|b, \*c\*, d e" in text
    assert "## Note" in text


def test_the_figures_of_many_classes_stay_out_of_the_card_for_people(tmp_path: Path) -> None:
    of_each = {f"class {n}": {"images": 5, "top1": 0.4} for n in range(100)}
    card = {"results": {"test": {"top1": 0.5, "per_class": of_each}}}
    vs.save(checkpoint(card=card), tmp_path / "model")
    text = (tmp_path / "model" / "README.md").read_text()
    assert "class 7" not in text
    assert "100 entries, in config.json" in text
    assert vs.load(tmp_path / "model").card["results"]["test"]["per_class"] == of_each


def test_a_checkpoint_that_contradicts_itself_cannot_be_made() -> None:
    with pytest.raises(CheckpointError, match="2 labels for a model of 3 classes"):
        checkpoint(labels=("a", "b"))
    with pytest.raises(CheckpointError, match="1 channels, the model takes 3"):
        checkpoint(preprocess=Preprocess(size=(16, 16), channels=1))
