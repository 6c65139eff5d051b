"""The whole study at toy size: its files, its reading, the same numbers twice, and whom it refuses."""

from __future__ import annotations

import csv
import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import vitascope as vs
from tiny import image_folder
from tiny_checkpoint import checkpoint
from vitascope.checkpoints.checkpoint import Checkpoint
from vitascope.cli.arguments import Arguments
from vitascope.cli.commands.study import inductive_bias
from vitascope.cli.console import Console
from vitascope.errors import ConfigError, DataError
from vitascope.models.catalogue import build_model
from vitascope.models.config import BiTConfig, StemConfig, ViTConfig
from vitascope.streams import Stream, seed_of
from vitascope.studies.inductive_bias.reading import CLOSE, read
from vitascope.studies.inductive_bias.report import COLUMNS, rows
from vitascope.studies.inductive_bias.settings import OF_LAYERS, OF_MODELS, InductiveBias
from vitascope.studies.inductive_bias.study import Measured, compare_models, example_pictures, pictures_of, steps_for
from vitascope.views.distance import attention_distance, uniform_distance
from vitascope.views.positions import position_locality

VIT = ViTConfig(image_size=(16, 16), patch=4, width=16, depth=2, heads=2, hidden=24, classes=3)
HYBRID = replace(VIT, patch=1, stem=StemConfig(units=(1,), width_factor=0.5))
BIT = BiTConfig(image_size=(16, 16), units=(1, 1, 1, 1), base_width=32, small_images=True, classes=3)
CONFIGS = {"vit": VIT, "hybrid": HYBRID, "bit": BIT}
LABELS = ("ant", "bee", "cat")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """vit/, hybrid/ and bit/ are checkpoints, photos/ data of their classes."""
    folder = tmp_path_factory.mktemp("study")
    for name, config in CONFIGS.items():
        vs.save(checkpoint(config, labels=LABELS), folder / name)
    image_folder(folder / "photos")
    return folder


@pytest.fixture(scope="module")
def study(place: Path) -> tuple[Measured, ...]:
    """All three on twelve images."""
    loaded = [(name, vs.load(place / name)) for name in CONFIGS]
    images = pictures_of(str(place / "photos"), 12, 0)[1]
    return compare_models(loaded, images, InductiveBias(batch=5, field_images=3))


def command(*words: str | Path) -> dict[str, Any]:
    arguments = Arguments("study inductive-bias", "checkpoints", "inductive bias", inductive_bias)
    return inductive_bias(*arguments.parse([str(word) for word in words]), Console(json_only=True))


def test_all_files_from_the_command(place: Path, tmp_path: Path) -> None:
    out = tmp_path / "o"
    words = [*(place / name for name in CONFIGS), "--out", out, "--data", place / "photos", "--images", "6"]
    result = command(*words, "--field_images", "2")
    assert sorted(p.name for p in out.iterdir()) == [
        "README.md",
        "inductive_bias.png",
        "inductive_bias.svg",
        "measures.csv",
        "study.json",
    ]
    stored = json.loads((out / "study.json").read_text(), parse_constant=lambda name: pytest.fail(name))
    assert stored["reading"] == json.loads(json.dumps(result["reading"]))
    assert [one["verdict"] for one in stored["reading"]][:3] == ["holds"] * 3
    assert stored["settings"]["field_images"] == 2
    assert stored["environment"]["vitascope"] == vs.__version__
    assert [(m["name"], m["trained"], m["kind"]) for m in stored["models"]] == [
        (name, trained, kind)
        for name, kind in (("vit", "ViT"), ("hybrid", "hybrid"), ("bit", "BiT-ResNet"))
        for trained in (True, False)
    ]
    with (out / "measures.csv").open() as file:
        table = list(csv.DictReader(file))
    assert tuple(table[0]) == COLUMNS
    assert {row["trained"] for row in table} == {"true", "false"}
    assert all(math.isfinite(float(row["value"])) for row in table)
    readme = (out / "README.md").read_text()
    assert "![Six panels](inductive_bias.png)" in readme
    assert "## bit, untrained" in readme
    assert (out / "inductive_bias.png").read_bytes()[:4] == b"\x89PNG"
    assert result["images"] == 6

    with pytest.raises(ConfigError, match="--overwrite"):
        command(*words)
    single = command(place / "vit", "--out", out, "--overwrite", "--no-untrained")
    assert single["images"] == 8, "the package's examples"
    assert [m["trained"] for m in json.loads((out / "study.json").read_text())["models"]] == [True]
    (out / "study.json").unlink()
    with pytest.raises(ConfigError, match="not ours"):
        command(place / "vit", "--out", out, "--overwrite")


def test_every_measure_is_explained_and_every_value_a_number(study: tuple[Measured, ...]) -> None:
    for model in study:
        of_layers = {name for layer in model.layers for name in layer} - {"name", "kind", "depth", "stride"}
        assert of_layers <= OF_LAYERS.keys()
        assert model.whole.keys() <= OF_MODELS.keys()
        assert model.step == 8, "the smallest that 4, 4 and 8 share"
        values = [layer[name] for layer in model.layers for name in of_layers] + [*model.whole.values()]
        assert all(v is None or math.isfinite(v) for v in values)
    assert {row[4] for row in rows(study)} == OF_LAYERS.keys() | OF_MODELS.keys()


def test_twice_the_same_and_models_as_before(place: Path, study: tuple[Measured, ...]) -> None:
    loaded = [(name, vs.load(place / name)) for name in CONFIGS]
    images = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        before = [ck.model(images) for _, ck in loaded]
    seen = pictures_of(str(place / "photos"), 12, 0)[1]
    loaded[0][1].model.train()
    assert compare_models(loaded, seen, InductiveBias(batch=5, field_images=3)) == study
    for (name, ck), logits in zip(loaded, before, strict=True):
        assert {m.training for m in ck.model.modules()} == {name == "vit"}
        assert not any(m._forward_hooks or m._forward_pre_hooks for m in ck.model.modules())
        with torch.no_grad():
            assert torch.equal(ck.model.eval()(images), logits)


def test_pictures_need_no_labels(place: Path, tmp_path: Path) -> None:
    for i, photo in enumerate(sorted((place / "photos").rglob("*.png"))):
        shutil.copy(photo, tmp_path / f"{i}.png")
    assert len(pictures_of(str(tmp_path), 5, 0)[1]) == 5


def test_views_are_passed_on(place: Path, study: tuple[Measured, ...]) -> None:
    ck, result = vs.load(place / "vit"), study[0]
    pictures = pictures_of(str(place / "photos"), 12, 0)
    inputs = torch.stack([ck.preprocess(image) for image in pictures[1]])
    uniform = uniform_distance((4, 4), 4, 1)
    for layer, expected in zip(result.of("attention"), attention_distance(ck.model, inputs).mean(1), strict=True):
        assert layer["distance"] == pytest.approx(float(expected), rel=1e-5)
        assert layer["distance_share"] == pytest.approx(float(expected) / uniform, rel=1e-5)
    assert result.whole["positions_correlation"] == position_locality(ck.model).correlation


def test_uniform_attention_is_as_far_as_uniform() -> None:
    ck = checkpoint(VIT)
    with torch.no_grad():
        for block in ck.model.encoder.blocks:
            block.attention.qkv.weight[:32] = 0  # q and k say nothing
            block.attention.qkv.bias[:32] = 0
    result = compare_models([("v", ck)], example_pictures([(16, 16)])[1], InductiveBias(untrained=False))[0]
    assert [layer["distance_share"] for layer in result.of("attention")] == pytest.approx([1, 1])


def test_a_step_is_shared_where_it_fits() -> None:
    def steps(*configs: ViTConfig | BiTConfig) -> list[int]:
        return steps_for([("m", checkpoint(config)) for config in configs])

    assert steps(VIT, BIT) == [8, 8]
    odd = replace(VIT, image_size=(12, 12), patch=3)
    assert steps(VIT, odd) == [4, 3], "12 pixels do not fit twice"


def test_at_another_size_untrained_positions_are_resized_too(place: Path) -> None:
    """Interpolated positions have two dimensions; of a model that has learned nothing both rows are the same."""
    made = build_model(VIT, torch.Generator().manual_seed(seed_of(Stream.INITIAL, 0)))
    images = example_pictures([(32, 32)])[1]
    named = [("v", replace(checkpoint(VIT), model=made))]
    trained, untrained = compare_models(named, images, InductiveBias(field_images=2), image_size=(32, 32))
    assert trained.image_size == untrained.image_size == (32, 32)
    assert trained.whole == untrained.whole
    assert trained.layers == untrained.layers
    assert untrained.whole["positions_correlation"] < -0.4
    assert abs(compare_models(named, images, InductiveBias())[1].whole["positions_correlation"]) < 0.3


def test_bad_requests_are_refused(place: Path, tmp_path: Path) -> None:
    images = example_pictures([(16, 16)])[1]

    def run(ck: Checkpoint, **settings: Any) -> Any:
        return compare_models([("m", ck)], images, InductiveBias(untrained=False, **settings))

    with pytest.raises(ConfigError, match="a step of 6 pixels, expected a multiple of its 4"):
        run(checkpoint(VIT), step=6)
    with pytest.raises(ConfigError, match="fits twice in a side of 8"):
        run(checkpoint(replace(VIT, image_size=(8, 8), patch=8)))
    with pytest.raises(ConfigError, match="images is 1, expected at least 2"):
        compare_models([("m", checkpoint(VIT))], images[:1], InductiveBias())
    for field in ("step", "batch", "field_images"):
        with pytest.raises(ConfigError, match=f"{field} is 0"):
            InductiveBias(**{field: 0})
    with pytest.raises(ConfigError, match="seed is -1"):
        InductiveBias(seed=-1)
    with pytest.raises(ConfigError, match="images is 1"):
        command(place / "vit", "--out", tmp_path / "o", "--data", place / "photos", "--images", "1")
    with pytest.raises(DataError):
        command(place / "vit", "--out", tmp_path / "o", "--data", "nowhere")
    assert not (tmp_path / "o").exists()


def test_the_reading_follows_the_numbers(study: tuple[Measured, ...]) -> None:
    only_vit, only_bit = study[:2], study[4:]
    assert [one.verdict for one in read(only_vit)] == ["not decidable here", "holds", "holds", "not decidable here"]
    assert [one.verdict for one in read(only_bit)][:3] == ["holds", "not decidable here", "not decidable here"]
    assert len(read(study)[1].found) == 4, "ViT and hybrid, trained and untrained"

    def changed(kind: str, **values: float) -> Measured:
        model = study[2]
        return replace(model, layers=tuple(one | values if one["kind"] == kind else one for one in model.layers))

    ordered = {"order_change": 0.01, "shuffle_change": 1.0}
    for spoiled, verdicts in (
        (changed("convolution", error_alone_fixed=0.01), ["does not hold", "holds", "holds"]),
        (changed("convolution", alone_rows=1.0, alone_columns=3.0), ["does not hold", "holds", "holds"]),
        (changed("mlp", error_alone=0.01), ["holds", "does not hold", "holds"]),
        (changed("attention", alone_rows=1.0), ["holds", "does not hold", "holds"]),
        (replace(study[2], whole=ordered), ["holds", "holds", "does not hold"]),
    ):
        assert [one.verdict for one in read([spoiled])][:3] == verdicts
    for error, verdict in ((0.04, "holds"), (0.83, "does not hold")):
        path = read([changed("convolution", error_step=error)])[3]
        assert path.verdict == verdict
        met = "2 of 2" if error <= CLOSE else "0 of 2"
        assert path.found[0].endswith(f"{met} layers (convolution) bear it out: error_step {error:g}.")


def test_no_verdict_contradicts_the_figure_beside_it(study: tuple[Measured, ...]) -> None:
    """The errors that the first panel draws for convolutional layers are those that the verdict of the way judges."""
    for model in study:
        drawn = [v for layer in model.of("convolution") if (v := layer["error_step"]) is not None]
        path = read([model])[3]
        holds = "not decidable here" if not drawn else "holds" if max(drawn) <= CLOSE else "does not hold"
        assert path.verdict == holds
    assert "does not hold" in [read([model])[3].verdict for model in study]
    assert not any("every layer" in one.statement for one in read(study))
