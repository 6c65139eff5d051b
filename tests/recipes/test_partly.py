"""Fine-tuning of a part: what rests is unchanged to the bit, runs resume to the bit, results are ordinary models."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import vitascope as vs
from ranks import free_ports
from tiny import RICH, finetune_recipe, image_folder, pretrain_recipe, splits
from vitascope.cli import main
from vitascope.errors import ConfigError, Stopped
from vitascope.fields import IdleError
from vitascope.recipes.finetune import finetune
from vitascope.recipes.pretrain import pretrain
from vitascope.recipes.sweep import finetune_with_sweep
from vitascope.training.state import saved_states

pytestmark = pytest.mark.usefixtures("no_pictures")

PARTS = ("head", "last:1", "lora:4")
RATES = {"optimizer": "adamw", "lr": 0.01}


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("pretrained") / "run"
    patch = pytest.MonkeyPatch()
    patch.setattr("vitascope.recipes.run.draw_curves", lambda folder: None)
    pretrain(pretrain_recipe(out), splits=splits())
    patch.undo()
    return out


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "model" / "model.safetensors")


def changed(run: Path, start: Path) -> set[str]:
    before, after = weights(start), weights(run)
    heads = {name for name in before.keys() | after.keys() if name.startswith("head.")}
    assert before.keys() - heads == after.keys() - heads
    return {name for name in after.keys() - heads if not torch.equal(after[name], before[name])}


@pytest.mark.parametrize("options", [{}, {"ema": 0.5, "keep": "best", "drop_tokens": 0.5, "clip": 0.1}], ids=str)
@pytest.mark.parametrize("part", PARTS)
def test_what_rests_stays_as_it_is_to_the_bit(
    part: str, options: dict[str, Any], pretrained: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "vitascope")
    finetune(finetune_recipe(tmp_path / "run", pretrained, train=part, **RATES, **options), splits=splits())
    kernels = {f"{kernel}.weight" for kernel in ("attention.qkv", "attention.out", "mlp.fc1", "mlp.fc2")}
    last = {name for name in weights(pretrained) if name.startswith(("encoder.blocks.1.", "encoder.norm."))}
    expected = {
        "head": set(),
        "last:1": last,
        "lora:4": {f"encoder.blocks.{block}.{kernel}" for block in (0, 1) for kernel in kernels},
    }
    assert changed(tmp_path / "run", pretrained) == expected[part]
    assert weights(tmp_path / "run")["head.linear.weight"].any()
    assert "M of them learn: 6 steps" in caplog.text
    checkpoint = vs.load(tmp_path / "run")
    assert checkpoint.card["recipe"]["train"] == part
    vs.save(checkpoint, tmp_path / "timm", format="timm")  # an ordinary model
    # The figures of the run are those of the model that is kept.
    images = torch.rand(3, 3, 16, 16)
    torch.testing.assert_close(vs.load(tmp_path / "timm").model(images), checkpoint.model(images))


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("part", PARTS)
def test_a_resumed_run_is_the_uninterrupted_run(
    part: str, optimizer: Any, pretrained: Path, tmp_path: Path, stop_after: Callable[..., None]
) -> None:
    if part == "head" and optimizer == "muon":  # which has nothing to do there
        optimizer = "sgd"
    changes = {"augment": RICH, "weight_decay": 0.1, "ema": 0.9, "keep": "best", "eval_every": 2, "drop_tokens": 0.3}
    changes |= {"train": part, "lr": 0.01, "optimizer": optimizer}
    changes |= {} if part == "head" else {"dropout": 0.2, "layer_decay": 0.7}
    recipes = [finetune_recipe(tmp_path / name, pretrained, **changes) for name in ("whole", "stopped")]
    finetune(recipes[0], splits=splits())
    stop_after(3)
    with pytest.raises(Stopped, match="saved at step 3 of 6"):
        finetune(recipes[1], splits=splits())
    saved = saved_states(tmp_path / "stopped" / "checkpoints")[-1]
    assert any(".down." in name for name in load_file(saved / "model.safetensors")) == (part == "lora:4")
    other = dataclasses.replace(recipes[1], train="all", layer_decay=1.0, dropout=None)
    with pytest.raises(ConfigError, match=f"train: all, was {part}"):
        finetune(other, splits=splits(), resume=True)
    finetune(recipes[1], splits=splits(), resume=True)
    for file in ("metrics.jsonl", "model/model.safetensors", "checkpoints/best.safetensors"):
        assert (tmp_path / "whole" / file).read_bytes() == (tmp_path / "stopped" / file).read_bytes()
    last = [saved_states(tmp_path / name / "checkpoints")[-1] for name in ("whole", "stopped")]
    for file in last[0].iterdir():
        assert file.read_bytes() == (last[1] / file.name).read_bytes()


@pytest.mark.parametrize("part", PARTS)
def test_parts_of_a_batch_and_recomputation_change_nothing(part: str, pretrained: Path, tmp_path: Path) -> None:
    ways: list[dict[str, Any]] = [{}, {"micro_batch": 4}]
    ways += [] if part == "head" else [{"checkpoint_activations": True}]
    results = []
    for number, way in enumerate(ways):
        out = tmp_path / str(number)
        finetune(finetune_recipe(out, pretrained, train=part, optimizer="sgd", lr=0.1, **way), splits=splits())
        results.append(weights(out))
    for other in results[1:]:
        for name, tensor in results[0].items():
            torch.testing.assert_close(other[name], tensor, rtol=0, atol=1e-5)


@pytest.mark.parametrize("part", PARTS)
def test_a_sweep_tries_rates_on_a_part(part: str, pretrained: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    recipe = finetune_recipe(out, pretrained, train=part, sweep=True, sweep_rates=(0.01, 0.1), holdout=0.3, steps=3)
    finetune_with_sweep(recipe, splits=splits())
    assert set(json.loads((out / "sweep" / "results.json").read_text())["top1_by_rate"]) == {"0.01", "0.1"}
    assert "train: " + part in (out / "sweep" / "lr-0.01" / "config.yaml").read_text()
    assert not {name for name in changed(out, pretrained) if name.startswith("embedding.")}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"train": "lora"}, "train is 'lora', expected all, head, last:N or lora:R"),
        ({"train": "head", "layer_decay": 0.5}, "layer_decay is 0.5, but the head alone learns; leave it at 1.0"),
        ({"train": "head", "dropout": 0.1}, "dropout is 0.1, but the head alone learns"),
        ({"train": "head", "stochastic_depth": 0.1}, "stochastic_depth is 0.1, but the head alone learns"),
        ({"train": "head", "checkpoint_activations": True}, "checkpoint_activations is True, but the head alone"),
    ],
)
def test_what_would_be_ignored_is_refused(changes: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        finetune_recipe(tmp_path, "c", **changes)
    assert isinstance(caught.value, IdleError) == ("but" in said)


def test_a_wrong_part_is_one_line_and_a_preset_gives_way(
    pretrained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = image_folder(tmp_path / "images", 24)
    words = ["finetune", str(pretrained), str(images), "--out", str(tmp_path / "run"), "--steps=2", "--preset=small"]
    assert main([*words, "--train", "last:13"]) == 2
    assert (
        capsys.readouterr()
        .err.splitlines()[-1]
        .endswith("train is last:13, but the model has 2 blocks; give last:1 to last:2")
    )
    assert not (tmp_path / "run").exists()
    assert main([*words, "--train", "last 2"]) == 2
    assert "--train is 'last 2', expected all, head, last:N or lora:R" in capsys.readouterr().err
    assert main([*words, "--train", "head", "--yes"]) == 0  # whose layer_decay says nothing of a head
    assert "layer_decay: 1.0" in (tmp_path / "run" / "config.yaml").read_text()


TOGETHER = """
import os, sys
from pathlib import Path
from tiny import finetune_recipe, splits
from vitascope.recipes import run
from vitascope.recipes.finetune import finetune
run.draw_curves = lambda folder: None
start, out, *parts = sys.argv[1:]
for part in parts:
    name, os.environ["MASTER_PORT"] = part.split("@")
    finetune(finetune_recipe(Path(out) / name, start, train=name, optimizer="sgd", lr=0.1), splits=splits())
"""


def test_two_processes_learn_what_one_does(pretrained: Path, tmp_path: Path) -> None:
    here = str(Path(__file__).parents[1])
    shared = {**os.environ, "PYTHONPATH": os.pathsep.join([here, *sys.path]), "MASTER_ADDR": "127.0.0.1"}
    shared |= {"WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"}
    parts = [f"{part}@{port}" for part, port in zip(PARTS, free_ports(len(PARTS)), strict=True)]
    words = [sys.executable, "-c", TOGETHER, str(pretrained), str(tmp_path / "two"), *parts]

    def start(rank: int) -> subprocess.CompletedProcess[str]:
        env = {**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)}
        return subprocess.run(words, env=env, capture_output=True, text=True, timeout=240, check=False)

    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(start, range(2)))
    assert [a.returncode for a in answers] == [0, 0], "\n\n".join(a.stderr for a in answers)
    for part in PARTS:
        recipe = finetune_recipe(tmp_path / "one" / part, pretrained, train=part, optimizer="sgd", lr=0.1)
        finetune(recipe, splits=splits())
        one, two = (weights(tmp_path / processes / part) for processes in ("one", "two"))
        for name, tensor in one.items():
            torch.testing.assert_close(two[name], tensor, rtol=0, atol=1e-5)
