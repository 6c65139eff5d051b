"""Arguments: either spelling, files and presets, and mistakes answered in one line before torch is loaded."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from tiny import PRETRAIN_WORDS, image_folder
from vitascope.cli import COMMANDS, main
from vitascope.cli.arguments import Arguments
from vitascope.cli.commands import finetune as finetune_command
from vitascope.cli.commands import predict as predict_command
from vitascope.cli.commands import pretrain as pretrain_command
from vitascope.recipes.recipe import FinetuneRecipe, PretrainRecipe


def refused(capsys: pytest.CaptureFixture[str], *words: str | Path) -> str:
    """The one line on standard error of a command line that ends with 2."""
    assert main([str(word) for word in words]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("vitascope")
    assert err.count("\n") == 1
    assert err.endswith("\n")
    assert "Traceback" not in err
    return err


def told(name: str, function: Callable[..., Any], *words: str | Path) -> list[Any]:
    """What a command's function is given."""
    return Arguments(name, *COMMANDS[name], function).parse([str(word) for word in words])


def pretrain_recipe(*words: str | Path) -> PretrainRecipe:
    recipe = told("pretrain", pretrain_command.run, *words)[0]
    assert isinstance(recipe, PretrainRecipe)
    return recipe


def finetune_recipe(*words: str | Path) -> FinetuneRecipe:
    recipe = told("finetune", finetune_command.run, *words)[0]
    assert isinstance(recipe, FinetuneRecipe)
    return recipe


MISTAKES: list[tuple[tuple[str, ...], str]] = [
    (("pretrian",), "did you mean 'pretrain'"),
    (("xyz",), "expected one of demo, check"),
    (("pretrain", "digits"), "required: out"),
    (("pretrain", "--out", "x"), "DATA is missing"),
    (("pretrain", "digits", "--out", "x", "--lrr", "3"), "did you mean --lr"),
    (("pretrain", "digits", "--out", "x", "--epoch", "3"), "did you mean --epochs"),
    (("finetune", "--checkpoint", "x", "--out", "y"), "it is given by place: vitascope finetune CHECKPOINT DATA"),
    (("pretrain", "digits", "extra", "--out", "x"), "unrecognized arguments: extra"),
    (("pretrain", "digits", "--out", "x", "--lr", "much"), "--lr: Expected a float. Got value: much"),
    (("pretrain", "digits", "--out", "x", "--lr", "-1"), "lr is -1"),
    (("pretrain", "digits", "--out", "x", "--lr", ".inf"), "lr is inf"),
    (("pretrain", "digits", "--out", "x", "--lr", "nan"), "Expected a float"),
    (("pretrain", "digits", "--out", "x", "--epochs", "0"), "epochs is 0"),
    (("pretrain", "digits", "--out", "x", "--steps", "1", "--epochs", "1"), "only one"),
    (("pretrain", "digits", "--out", "x", "--steps", "2.5"), "--steps"),
    (("pretrain", "digits", "--out", "x", "--time-budget", "soon"), "90s, 10m or 2h"),
    (("pretrain", "digits", "--out", "x", "--image-size", "big"), "size: Expected int or [int, int]. Got value: big ("),
    (("pretrain", "digits", "--out", "x", "--image-size", "[8,9,7]"), "int]. Got value: [8, 9, 7] ("),
    (("pretrain", "digits", "--out", "x", "--image-size", "[8,0]"), "image_size is (8, 0), expected one positive"),
    (("pretrain", "digits", "--out", "x", "--micro-batch", "few"), "Expected int or 'auto'. Got value: few ("),
    (("evaluate", "ck", "digits", "--image-size", "48x64"), "size: Expected int or [int, int]. Got value: 48x64 ("),
    (("pretrain", "digits", "--out", "x", "--decay", "step"), "cosine"),
    (("pretrain", "digits", "--out", "x", "--augment.flip", "maybe"), "flip"),
    (("pretrain", "digits", "--out", "x", "--augment.mixup", "-1"), "mixup"),
    (("pretrain", "digits", "--out", "x", "--augment.crpo", "none"), "did you mean --augment.crop"),
    (("pretrain", "digits", "--out", "x", "--preset", "huge"), "choose from 'jft'"),
    (("finetune", "ck", "digits", "--out", "x", "--preset", "paper"), "choose from 'imagenet', 'cifar', 'pets'"),
    (("pretrain", "digits", "--out", "x", "--config", "absent.yaml"), "absent.yaml"),
    (("pretrain", "no-such-data", "--out", "x"), "no-such-data: no such folder"),
    (("finetune", "ck", "no-such-data", "--out", "x"), "no-such-data: no such folder"),
    (("finetune", "ck", "--out", "x"), "DATA is missing"),
    (("evaluate", "ck", "no-such-data"), "no-such-data: no such folder"),
    (("evaluate", "ck", "digits", "--batch", "0"), "--batch is 0"),
    (("evaluate", "ck", "digits", "--workers", "-1"), "--workers is -1"),
    (("predict", "ck"), "PATHS is missing"),
    (("finetune", "digits", "--out", "x"), "CHECKPOINT is missing"),
    (("evaluate", "digits"), "CHECKPOINT is missing"),
    (("evaluate", "absent.npz"), "DATA is missing: what to evaluate on (`vitascope data` lists the kinds); expected "),
    (("convert", "ck"), "OUT is missing: what to write: a folder, or a file for google and torchvision; expected "),
    (("pretrain", "digits", "--out", "x", "--heads", "3"), "did you mean --model_fields.heads?"),
    (("pretrain", "digits", "--out", "x", "--learning-rate", "3"), "did you mean --lr?"),
    (("pretrain", "digits", "--out", "x", "--zebra", "3"), "unrecognized arguments: --zebra 3 ("),
    (("predict", "ck", "a.png", "--top", "0"), "--top is 0"),
    (("convert", "ck", "out", "--format", "pickle"), "choose from 'vitascope'"),
    (("check",), "data"),
    (("demo", "--seed", "-1"), "--seed is -1"),
    (("models", "--bogus"), "--bogus"),
]


@pytest.mark.parametrize(("words", "said"), MISTAKES, ids=[" ".join(words) for words, _ in MISTAKES])
def test_a_mistake_is_one_line_that_says_what_to_do(
    words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    assert said in refused(capsys, *words)
    assert list(tmp_path.iterdir()) == []


def test_mistakes_and_help_do_not_load_torch(tmp_path: Path) -> None:
    code = """
import contextlib, io, json, sys
from vitascope.cli import COMMANDS, main
from vitascope.cli.arguments import Arguments
mistakes = json.loads(sys.argv[1])
def run(words):
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        main(words)
    assert "torch" not in sys.modules, words
run(["--help"])
run(["--version"])
for command in COMMANDS:
    run([command, "--help"])
for words in mistakes:
    run(words)
"""
    words = json.dumps([words for words, _ in MISTAKES])
    result = subprocess.run(
        [sys.executable, "-c", code, words], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("words", [("--help",), ("pretrain", "--help")])
def test_help_takes_under_half_a_second(words: tuple[str, ...]) -> None:
    def used() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    # The processor's time, since other work on the machine is not the program's; the best of three.
    times = []
    for _ in range(3):
        before = used()
        subprocess.run([sys.executable, "-m", "vitascope", *words], capture_output=True, check=True)
        times.append(used() - before)
    assert min(times) < 0.5


def test_help_names_every_command_and_tells_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    assert main([]) == 2
    out = capsys.readouterr().out
    assert all(f"  {name} " in out for name in COMMANDS)
    for name in COMMANDS:
        assert main([*name.split(), "--help"]) == 0
        assert "--json" in capsys.readouterr().out


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    import vitascope

    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"vitascope {vitascope.__version__}\n"


def test_hyphens_and_underscores_are_the_same() -> None:
    one = pretrain_recipe(
        "d",
        "--out=x",
        "--weight-decay=0.2",
        "--label-smoothing",
        "0.1",
        "--augment.pad-shift=3",
        "--augment.crop=shift",
    )
    two = pretrain_recipe(
        "d",
        "--out=x",
        "--weight_decay=0.2",
        "--label_smoothing",
        "0.1",
        "--augment.pad_shift=3",
        "--augment.crop=shift",
    )
    assert one == two
    assert (one.weight_decay, one.label_smoothing, one.augment.pad_shift) == (0.2, 0.1, 3)


def test_an_image_size_is_one_side_or_two() -> None:
    assert pretrain_recipe("d", "--out=x", "--image-size=48").image_size == 48
    assert pretrain_recipe("d", "--out=x", "--image-size", "[48, 64]").image_size == (48, 64)
    assert finetune_recipe("ck", "d", "--out=x", "--image_size=[48,64]").image_size == (48, 64)


def test_values_that_look_like_options_stay() -> None:
    assert pretrain_recipe("d", "--out=a-b_c--d").out == "a-b_c--d"


def test_a_config_file_is_changed_by_options_wherever_they_stand(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("data: d\nout: there\nlr: 0.5\nbatch: 7\naugment:\n  mixup: 0.3\n")
    for words in (["--config", file, "--lr=0.25"], ["--lr=0.25", f"--config={file}"]):
        recipe = pretrain_recipe(*words)
        assert (recipe.data, recipe.out, recipe.lr, recipe.batch, recipe.augment.mixup) == ("d", "there", 0.25, 7, 0.3)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("bogus: 3", "Option 'bogus' is not accepted"),
        ("lrr: 3", "did you mean --lr"),
        ("lr: much", "--lr: Expected a float"),
        ("lr: -1", "lr is -1"),
        ("augment:\n  bogus: 1", "bogus"),
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
    recipe = pretrain_recipe("d", "--out=x", "--preset=small", "--lr=0.5")
    assert (recipe.lr, recipe.batch, recipe.epochs, recipe.augment.cutmix) == (0.5, 128, 100.0, 1.0)
    tuned = finetune_recipe("ck", "d", "--out", "x", "--preset", "small")
    assert (tuned.optimizer, tuned.layer_decay, tuned.augment.crop_area) == ("adamw", 0.75, (0.3, 1.0))
    swept = finetune_recipe("ck", "d", "--out", "x", "--preset", "cifar", "--sweep")
    assert (swept.sweep_rates, swept.steps, swept.holdout) == ((0.001, 0.003, 0.01, 0.03), 10_000, 0.02)


@pytest.mark.parametrize("length", [("steps", 9), ("epochs", 2.0), ("time_budget", "9m")])
def test_a_presets_length_gives_way(length: tuple[str, Any], tmp_path: Path) -> None:
    name, value = length
    file = tmp_path / "c.yaml"
    file.write_text(f"{name}: {value}\n")
    for words in ([f"--{name}={value}"], [f"--{name.replace('_', '-')}", str(value)], [f"--config={file}"]):
        recipe = pretrain_recipe("d", "--out=x", "--preset=small", *words)
        lengths = {n: getattr(recipe, n) for n in ("steps", "epochs", "time_budget")}
        assert lengths == {"steps": None, "epochs": None, "time_budget": None, name: value}


def test_a_config_files_length_gives_way_to_an_option(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("steps: 9\n")
    recipe = pretrain_recipe("d", "--out=x", "--config", file, "--epochs=2")
    assert (recipe.steps, recipe.epochs) == (None, 2.0)


def test_what_a_command_would_do_can_be_printed_and_used(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    words = ["d", "--out=x", "--preset=fractals", "--augment.mixup=0.4", "--model_fields={depth: 3}"]
    assert main(["pretrain", *words, "--print_config"]) == 0
    text = capsys.readouterr().out
    assert yaml.safe_load(text)["augment"]["mixup"] == 0.4
    (tmp_path / "c.yaml").write_text(text)
    assert pretrain_recipe("--config", tmp_path / "c.yaml") == pretrain_recipe(*words)


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


def test_swapped_arguments_are_recognised(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    weights, photos = tmp_path / "ViT-B_16.npz", image_folder(tmp_path / "photos")
    weights.touch()
    for command in ("finetune", "evaluate", "fewshot"):
        out = ["--out", tmp_path / "run"] if command == "finetune" else []
        assert "CHECKPOINT DATA: swap them" in refused(capsys, command, photos, weights, *out)
    assert "CHECKPOINT PATHS: swap them" in refused(capsys, "predict", photos, weights)


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


def test_what_is_nested_on_the_command_line_is_bounded_too(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["--lr", "[" * 30_000], ["--lr=" + "{a: " * 200 + "1" + "}" * 200]):
        assert "nested more than 20 deep" in refused(capsys, "pretrain", "digits", "--out", "x", *words)


@pytest.mark.parametrize("words", [["evaluate", "{}", "digits"], ["convert", "{}", "x"], ["inspect", "{}", "--out=x"]])
def test_a_path_too_long_to_be_looked_at(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(capsys, *[word.replace("{}", "x" * 300) for word in words])
    assert "cannot be read or written (file name too long); choose another place" in said


def test_a_config_that_is_no_text(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_bytes(b"\xff\xfe")
    assert "can't decode" in refused(capsys, "pretrain", "digits", "--out", "x", "--config", tmp_path / "c.yaml")


@pytest.mark.parametrize("words", [["--help"], ["pretrain", "--help"], ["models"]])
def test_a_reader_that_has_had_enough_is_no_error(words: list[str]) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "vitascope", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        said = process.stderr.read().decode()
    assert "Error" not in said
    assert process.returncode == 0


def test_headings_of_help_are_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--help"]) == 0
    assert "\nAddress, limits and patience of a server:\n" in capsys.readouterr().out


def test_options_may_stand_between_what_is_given_by_place(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("lr: 0.5\nsteps: 7\n")
    words = ["ck", "--out", "x", "--sweep", "digits", "--config", tmp_path / "c.yaml", "--lr", ".1"]
    recipe = finetune_recipe(*words)
    assert (recipe.checkpoint, recipe.data, recipe.out, recipe.sweep) == ("ck", "digits", "x", True)
    assert (recipe.lr, recipe.steps) == (0.1, 7)
    (asked,) = told("predict", predict_command.run, "--json", "ck", "--top", "2", "a.jpg", "--engine=eager", "b.jpg")
    assert (asked.checkpoint, asked.paths, asked.top, asked.engine) == ("ck", ("a.jpg", "b.jpg"), 2, "eager")
