"""Files of options and presets: what is said nearest to the user counts; hostile files are one line at once."""

from __future__ import annotations

import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from commanding import finetune_words, pretrain_words, refused
from tiny import PRETRAIN_WORDS, image_folder
from vitascope.cli import main
from vitascope.recipes.presets import PRESETS
from vitascope.recipes.pretrain import pretraining_config
from vitascope.recipes.recipe import PretrainRecipe


def test_a_config_file_is_changed_by_options_wherever_they_stand(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("data: d\nout: there\nlr: 0.5\nbatch: 7\naugment:\n  mixup: 0.3\n")
    for words in (["--config", file, "--lr=0.25"], ["--lr=0.25", f"--config={file}"]):
        recipe = pretrain_words(*words)
        assert (recipe.data, recipe.out, recipe.lr, recipe.batch, recipe.augment.mixup) == ("d", "there", 0.25, 7, 0.3)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("bogus: 3", "Option 'bogus' is not accepted"),
        ("lrr: 3", "did you mean --lr"),
        ("lr: much", "--lr: Expected a float"),
        ("lr: -1", "lr is -1"),
        ("augment:\n  bogus: 1", "bogus"),
        ("augment: 3", "augment is '3', expected names with values"),
        ("lr: [", "parsing"),
        ("betas: [0.9]", "betas"),
    ],
)
def test_a_wrong_config_file_is_one_line(
    text: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(text)
    assert said in refused(capsys, "pretrain", "digits", "--out", tmp_path / "x", "--config", file)


def test_a_preset_is_a_starting_point() -> None:
    recipe = pretrain_words("d", "--out=x", "--preset=small", "--lr=0.5")
    assert (recipe.lr, recipe.batch, recipe.epochs, recipe.augment.cutmix) == (0.5, 128, 100.0, 1.0)
    tuned = finetune_words("ck", "d", "--out", "x", "--preset", "small")
    assert (tuned.optimizer, tuned.layer_decay, tuned.augment.crop_area) == ("adamw", 0.75, (0.3, 1.0))
    swept = finetune_words("ck", "d", "--out", "x", "--preset", "cifar", "--sweep")
    assert (swept.sweep_rates, swept.steps, swept.holdout) == ((0.001, 0.003, 0.01, 0.03), 10_000, 0.02)


@pytest.mark.parametrize("length", [("steps", 9), ("epochs", 2.0), ("time_budget", "9m")])
def test_a_presets_length_gives_way(length: tuple[str, Any], tmp_path: Path) -> None:
    name, value = length
    file = tmp_path / "c.yaml"
    file.write_text(f"{name}: {value}\n")
    for words in ([f"--{name}={value}"], [f"--{name.replace('_', '-')}", str(value)], [f"--config={file}"]):
        recipe = pretrain_words("d", "--out=x", "--preset=small", *words)
        lengths = {n: getattr(recipe, n) for n in ("steps", "epochs", "time_budget")}
        assert lengths == {"steps": None, "epochs": None, "time_budget": None, name: value}


def test_a_config_files_length_gives_way_to_an_option(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("steps: 9\n")
    recipe = pretrain_words("d", "--out=x", "--config", file, "--epochs=2")
    assert (recipe.steps, recipe.epochs) == (None, 2.0)


def test_what_a_command_would_do_can_be_printed_and_used(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    words = ["d", "--out=x", "--preset=fractals", "--augment.mixup=0.4", "--model_fields={depth: 3}"]
    assert main(["pretrain", *words, "--print_config"]) == 0
    text = capsys.readouterr().out
    assert yaml.safe_load(text)["augment"]["mixup"] == 0.4
    (tmp_path / "c.yaml").write_text(text)
    assert pretrain_words("--config", tmp_path / "c.yaml") == pretrain_words(*words)


@pytest.mark.usefixtures("no_pictures")
def test_the_config_of_a_run_is_a_config_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = image_folder(tmp_path / "images")
    out = tmp_path / "run"
    assert main(["pretrain", str(data), "--out", str(out), "--steps=2", *PRETRAIN_WORDS]) == 0
    again = ["pretrain", "--config", str(out / "config.yaml"), "--out", str(tmp_path / "again")]
    assert main(again) == 0
    model = Path("model", "model.safetensors")
    assert (tmp_path / "again" / model).read_bytes() == (out / model).read_bytes()
    assert main(["pretrain", "--config", str(out / "config.yaml"), "--resume"]) == 0
    capsys.readouterr()
    assert main(["pretrain", "--config", str(out / "config.yaml"), "--resume", "--lr=0.5"]) == 2
    assert "lr: 0.5, was 0.003" in capsys.readouterr().err
    assert "exists" in refused(capsys, "pretrain", "--config", out / "config.yaml")


NESTED = "data: " + "[" * 5000 + "]" * 5000
BOMB = "a: &a [x, x]\n" + "".join(f"{b}: &{b} [{f'*{a}, ' * 9}]\n" for a, b in pairwise("abcdefghijklmnopq"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: &a\n  b: *a\n", "the alias *a, expected plain values; write them out"),
        (BOMB, "the alias *a, expected plain values; write them out"),
        (NESTED, "nested more than 20 deep"),
        ("lr: null\n", "lr is null, expected float; give it or leave the line out"),
        ("augment:\n  flip:\n", "augment.flip is null, expected bool"),
        ("seed: " + "59:" * 5000 + "59", "a value of 15,002 characters, expected at most 4,096"),
        ("workers: 100000000", "workers is 100000000, expected a whole number from 0 to 512"),
        ("lr: [", "expected a YAML file of options"),
        ("just text", "holds str, expected options, one a line"),
        ("# nothing yet", "holds nothing, expected options"),
        ("#" * (1 << 20) + "#", "1,048,577 characters, expected at most 1,048,576"),
    ],
    ids=["itself", "bomb", "nested", "null", "null_within", "sexagesimal", "workers", "cut", "text", "empty", "long"],
)
def test_a_hostile_config_is_one_line_at_once(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str, said: str
) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(text)
    start = time.perf_counter()
    assert said in refused(capsys, "pretrain", "digits", "--out", tmp_path / "x", "--config", file)
    assert time.perf_counter() - start < 5


def test_a_config_that_is_no_text(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_bytes(b"\xff\xfe")
    assert "can't decode" in refused(capsys, "pretrain", "digits", "--out", "x", "--config", tmp_path / "c.yaml")


def test_parts_of_a_field_add_to_a_presets_however_they_are_said() -> None:
    by_part = pretrain_words("d", "--out=x", "--preset=record", "--model_fields.depth=3")
    assert by_part.model_fields["depth"] == 3
    assert by_part.model_fields["width"] == 160
    assert pretrain_words("d", "--out=x", "--preset=record", "--model_fields={depth: 3}") == by_part


@pytest.mark.parametrize(
    ("words", "name", "value"),
    [
        (["--preset=fractals", "--augment.crop=none"], "augment.crop_area", "[0.1,0.2]"),
        (["--preset=record", "--optimizer=adamw"], "momentum", "0.5"),
        (["--preset=record", "--drop_tokens=0"], "drop_tokens_for", "0.5"),
    ],
)
def test_what_a_preset_says_of_something_chosen_otherwise_falls_away(
    words: list[str], name: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe, plain = pretrain_words("d", "--out=x", *words), pretrain_words("d", "--out=x")
    for part in name.split("."):
        recipe, plain = getattr(recipe, part), getattr(plain, part)
    assert recipe == plain
    said = refused(capsys, "pretrain", "d", "--out", "x", *words, f"--{name}={value}")
    assert "leave it at" in said


def test_of_a_preset_for_another_objective_the_rest_stays() -> None:
    masked = pretrain_words("d", "--out=x", "--preset=record", "--objective=masked", "--masked.share=0.5")
    assert (masked.objective, masked.masked.share, masked.optimizer) == ("masked", 0.5, "muon")
    assert (masked.label_smoothing, masked.drop_tokens, masked.drop_tokens_for) == (0.0, 0.0, 1.0)
    classes = pretrain_words("d", "--out=x", "--preset=masked_patches", "--objective=classes")
    assert (classes.masked.autoencoder, classes.masked.target, classes.lr) == (True, "normalised", 2e-4)


def test_words_within_braces_are_words() -> None:
    fields = pretrain_words("d", "--out=x", "--model_fields={pooling: mean, class_token: false}").model_fields
    assert fields == {"pooling": "mean", "class_token": False}


@pytest.mark.parametrize("preset", list(PRESETS[PretrainRecipe]))
def test_a_preset_drops_what_a_resnet_lacks(preset: str) -> None:
    if preset.startswith("masked"):
        return  # of ViTs alone
    recipe = pretrain_words("d", "--out=x", f"--preset={preset}", "--model=BiT-R14x0.5", "--image-size=32")
    assert not any((recipe.dropout, recipe.stochastic_depth, recipe.drop_tokens, recipe.whiten, recipe.zero_residuals))
    assert pretraining_config(recipe, 10).features == 1024
    assert recipe.model_fields == ({"head_bias": -10.0} if preset.startswith("jft") else {})


@pytest.mark.parametrize(
    ("word", "said"),
    [
        (
            "--stochastic-depth=0.1",
            "--stochastic-depth is 0.1, but BiT-R50x1 is a ResNet, which has none; leave it out",
        ),
        ("--model-fields.width=64", "model_fields has width 64, but BiT-R50x1 is a ResNet, which has none"),
        ("--model-fields={depth: 6}", "model_fields has depth 6, but BiT-R50x1 is a ResNet, which has none"),
        ("--zero-residuals", "--zero-residuals is True, but BiT-R50x1 is a ResNet"),
    ],
)
def test_what_is_asked_of_a_resnet_that_it_lacks_is_refused(
    word: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for preset in ([], ["--preset=record"]):
        words = ["pretrain", "digits", "--out=x", "--model=BiT-R50x1", *preset, word]
        assert said in refused(capsys, *words)
