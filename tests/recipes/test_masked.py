"""Pre-training on masked images: runs, what they leave, how they go on, and what their result is good for."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import vitascope as vs
from ranks import begin, ended
from short_run import Clock, differ, weights
from tiny import FIELDS, PRETRAIN_WORDS, evaluated, finetune_recipe, image_folder, pretrain_recipe, source, splits
from vitascope.cli import main
from vitascope.data.source import Splits, without_labels
from vitascope.errors import ConfigError, DivergedError, UserError
from vitascope.models.masked_config import MaskedConfig
from vitascope.recipes.asked import FewShotOf
from vitascope.recipes.fewshot import fewshot_checkpoint
from vitascope.recipes.finetune import finetune
from vitascope.recipes.pretrain import pretrain
from vitascope.training import loop
from vitascope.training.state import saved_states

pytestmark = pytest.mark.usefixtures("no_pictures")

KINDS = [MaskedConfig(), MaskedConfig(autoencoder=False, target="colour"), MaskedConfig(decoder_depth=2, share=0.5)]


def recipe(out: Path, masked: MaskedConfig | None = None, **changes: Any) -> Any:
    return pretrain_recipe(
        out, **{"objective": "masked", "model": "ViT-Ti/4", "masked": masked or MaskedConfig(), "lr": 0.01, **changes}
    )


@pytest.mark.parametrize("masked", KINDS)
def test_a_run_leaves_a_model_without_a_head_and_its_losses(tmp_path: Path, masked: MaskedConfig) -> None:
    held = Splits(train=source(), validation=source(9, seed=1), test=source(7, seed=2))
    model = pretrain(recipe(tmp_path / "run", masked), splits=held)
    checkpoint = vs.load(model)
    assert (checkpoint.labels, checkpoint.config.classes) == ((), 0)
    assert checkpoint.card["task"] == "pre-training on masked images"
    assert set(weights(model)) == set(vs.create_model("ViT-Ti/4", **FIELDS, classes=0, image_size=16).state_dict())
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert results["test"]["images"] == 7
    assert ("colours" in results["test"]) == masked.tells_classes
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["validation"]["images"] for line in lines if "validation" in line] == [9, 9]
    card = (model / "README.md").read_text()
    assert "# Vision Transformer without a head at 16×16" in card
    assert "pipeline_tag: image-feature-extraction" in card
    assert "classes" not in card.partition("## ")[0]
    assert checkpoint.shown is not None
    assert len(checkpoint.shown.trained) == 20


def test_labels_change_nothing(tmp_path: Path) -> None:
    bare = Splits(train=without_labels(source()), validation=without_labels(source(9, seed=1)))
    runs = [pretrain(recipe(tmp_path / name), splits=data) for name, data in (("a", splits()), ("b", bare))]
    assert not differ(*map(weights, runs))
    held = pretrain(recipe(tmp_path / "c", holdout=0.2), splits=Splits(train=source()))
    lines = (held.parent / "metrics.jsonl").read_text()
    assert json.loads(lines.splitlines()[-1])["validation"]["images"] == 4


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("masked", KINDS)
def test_a_resumed_run_is_the_uninterrupted_run(
    tmp_path: Path, masked: MaskedConfig, optimizer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = {"ema": 0.9, "dropout": 0.1, "stochastic_depth": 0.3, "weight_decay": 0.1, "optimizer": optimizer}
    changes |= {"layer_decay": 0.8, "keep": "best", "save_every": 3}
    pretrain(recipe(tmp_path / "whole", masked, **changes), splits=splits())
    real = loop.training_step

    def failing(job: Any, state: Any, *rest: Any) -> None:
        if state.counters.step == 5:
            raise OSError("power cut")
        real(job, state, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "training_step", failing)
        with pytest.raises(OSError, match="power cut"):
            pretrain(recipe(tmp_path / "cut", masked, **changes), splits=splits())
    pretrain(recipe(tmp_path / "cut", masked, **changes), splits=splits(), resume=True)
    whole, cut = (tmp_path / name for name in ("whole", "cut"))
    assert (whole / "metrics.jsonl").read_bytes() == (cut / "metrics.jsonl").read_bytes()
    for name in ("model", "ema", "optimizer"):
        files = [saved_states(run / "checkpoints")[-1] / f"{name}.safetensors" for run in (whole, cut)]
        assert files[0].read_bytes() == files[1].read_bytes()
    assert not differ(weights(whole / "model"), weights(cut / "model"))
    state = load_file(saved_states(whole / "checkpoints")[-1] / "model.safetensors")
    assert any(name.startswith(("decoder.", "prediction.")) for name in state)  # what the result has not


def test_two_processes_do_what_one_does(tmp_path: Path) -> None:
    image_folder(tmp_path / "images")
    words = ["pretrain", tmp_path / "images", "--objective=masked", *PRETRAIN_WORDS[1:], "--model=ViT-Ti/4"]
    words += ["--steps=4", "--lr=0.1", "--optimizer=sgd", "--eval_every=4", "--holdout=0.2", "--log_every=1"]
    one, two = tmp_path / "one", tmp_path / "two"
    assert main([*map(str, words), "--out", str(one)]) == 0
    said = ended(begin([*words, "--out", two], [*words, "--out", two]))
    assert [code for code, _, _ in said] == [0, 0], said
    for name, tensor in weights(one / "model").items():
        torch.testing.assert_close(weights(two / "model")[name], tensor, rtol=0, atol=1e-5)
    lines = ([json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()] for run in (one, two))
    for mine, theirs in zip(*lines, strict=True):
        assert mine.pop("validation", {}) == pytest.approx(theirs.pop("validation", {}), rel=1e-5)
        assert mine == pytest.approx(theirs, rel=1e-5)


def test_a_budget_of_time_and_a_plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    Clock(monkeypatch, step=10.0)
    changes = {"steps": None, "time_budget": "10m", "checkpoint_activations": True, "micro_batch": 2}
    model = pretrain(recipe(tmp_path / "run", workers=1, **changes), splits=splits())
    assert 50 < json.loads((model.parent / "results.json").read_text())["steps"] <= 60
    assert "in parts of 2" in caplog.text


def test_the_best_weights_are_those_of_the_least_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, told = loop.evaluate, [5.0, 3.0, 4.0, 3.0]

    def evaluate(*args: Any, **options: Any) -> Any:
        tally = real(*args, **options)
        tally.sums[1] = tally.images * told.pop(0)
        return tally

    monkeypatch.setattr(loop, "evaluate", evaluate)
    model = pretrain(recipe(tmp_path / "run", keep="best", eval_every=1, steps=4), splits=splits())
    assert json.loads((model.parent / "results.json").read_text())["best_step"] == 2


def test_the_result_is_a_start_and_no_classifier(tmp_path: Path) -> None:
    data, other = (str(image_folder(tmp_path / name, seed=seed)) for seed, name in enumerate(("images", "other")))
    model = pretrain(recipe(tmp_path / "run"), splits=splits())
    tuned = finetune(finetune_recipe(tmp_path / "tuned", model, image_size=32), splits=splits())
    assert vs.load(tuned).labels == ("ant", "bee", "cat")
    asked = FewShotOf(checkpoint=str(model), data=data, test=other, shots=(3,), seeds=1, device="cpu")
    assert fewshot_checkpoint(asked, None)["results"][0]["mean"] > 0.3
    with pytest.raises(UserError, match="no head, so there is nothing to evaluate: fine-tune it first"):
        evaluated(str(model), data)
    with pytest.raises(UserError, match="no head, so it cannot predict labels: fine-tune it first"):
        vs.Predictor(model)([str(next(Path(data).rglob("*.png")))])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model": "BiT-R50x1", "model_fields": {}}, "BiT-R50x1 is a ResNet"),
        ({"model": "R+ViT-Ti/16", "model_fields": {}, "image_size": 32}, r"R\+ViT-Ti/16 is a hybrid"),
        ({"model": "ViT-Ti/16"}, "an image of one patch has none to hide"),
        ({"model": "ViT-Ti/2", "masked": MaskedConfig(target="colours")}, "needs a patch of a multiple of 4 pixels"),
    ],
)
def test_what_cannot_be_masked_is_refused_before_data_are_read(
    tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        pretrain(recipe(tmp_path / "run", **{"data": str(tmp_path / "nowhere"), **changes}))
    assert not (tmp_path / "run").exists()


def test_every_setting_does_something(tmp_path: Path) -> None:
    changes = {"autoencoder": False, "share": 0.5, "target": "pixels", "decoder_width": 64, "decoder_depth": 2}
    assert changes.keys() == {field.name for field in dataclasses.fields(MaskedConfig)}
    plain = pretrain(recipe(tmp_path / "plain", steps=2), splits=splits())
    for name, value in changes.items():
        changed = pretrain(recipe(tmp_path / name, MaskedConfig(**{name: value}), steps=2), splits=splits())
        assert differ(weights(plain), weights(changed)), name


def test_products_in_bfloat16(tmp_path: Path) -> None:
    for number, masked in enumerate(KINDS):
        model = pretrain(recipe(tmp_path / str(number), masked, precision="bfloat16", steps=2), splits=splits())
        assert all(tensor.dtype == torch.float32 for tensor in weights(model).values())


def test_a_rate_far_too_high_is_noticed(tmp_path: Path) -> None:
    with pytest.raises(DivergedError):
        pretrain(recipe(tmp_path / "run", lr=1e30, warmup=0.0, clip=0.0, optimizer="sgd"), splits=splits())


def test_the_objective_cannot_change_at_a_resume(tmp_path: Path) -> None:
    pretrain(recipe(tmp_path / "run"), splits=splits())
    with pytest.raises(ConfigError, match=r"masked: .*'share': 0.5.*, was"):
        pretrain(recipe(tmp_path / "run", MaskedConfig(share=0.5)), splits=splits(), resume=True)
