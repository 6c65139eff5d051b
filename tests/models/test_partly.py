"""A part of a model learns: its gradients are those of the whole, what rests is left alone, factors merge."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from kept import kept, train
from memory import allocated
from vitascope.errors import ConfigError
from vitascope.models.bit import BiT
from vitascope.models.catalogue import build_model, empty_model, model_config
from vitascope.models.learned import ALL, Learned, learned
from vitascope.models.lora import Factored
from vitascope.models.memory import training_memory
from vitascope.models.partly import partly, whole
from vitascope.models.vit import ViT
from vitascope.training.ema import Ema
from vitascope.training.optimizer import make_optimizer
from vitascope.training.train_settings import TrainSettings

FIELDS: dict[str, Any] = {"width": 64, "heads": 4, "hidden": 192, "depth": 5, "classes": 10, "image_size": 64}
PARTS = ("all", "head", "last:2", "lora:8")
RESNET = {"units": (1, 2, 1, 1), "base_width": 32, "image_size": 64, "classes": 10}
BATCH = 4


def made(name: str = "ViT-Ti/8", **changes: Any) -> ViT | BiT:
    fields = RESNET if name.startswith("BiT") else FIELDS
    model = build_model(model_config(name, **{**fields, **changes}), drawn())
    if model.head.linear is not None:
        torch.nn.init.normal_(model.head.linear.weight, generator=drawn())  # else no gradient comes further
    return model.train()


def drawn() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def images() -> torch.Tensor:
    return torch.randn(BATCH, 3, 64, 64, generator=drawn())


def gradients(model: ViT | BiT) -> dict[str, torch.Tensor]:
    F.cross_entropy(model(images()), torch.arange(BATCH)).backward()
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def test_what_is_asked_for_is_read() -> None:
    assert learned("all") == ALL == Learned()
    assert learned("head") == Learned("head")
    assert (learned("last:2"), learned("lora:16")) == (Learned("last", 2), Learned("lora", 16))


@pytest.mark.parametrize("text", ["", "heads", "last", "last:0", "last:-1", "lora:8.5", "lora:99999", "all:1", "head "])
def test_anything_else_is_refused_with_what_was_expected(text: str) -> None:
    with pytest.raises(ConfigError, match=f"train is '{text}', expected all, head, last:N or lora:R, such as"):
        learned(text)


@pytest.mark.parametrize(
    ("name", "part", "said"),
    [
        ("ViT-Ti/8", "last:6", "train is last:6, but the model has 5 blocks; give last:1 to last:5"),
        ("BiT-R50x1", "last:5", "train is last:5, but the model has 4 stages; give last:1 to last:4"),
        ("BiT-R50x1", "lora:4", "train is lora:4, but the model is a ResNet.* give --train last:1 or head"),
        ("ViT-Ti/8", "lora:64", "train is lora:64, expected a rank below 64"),
    ],
)
def test_a_part_that_a_model_has_not_is_refused(name: str, part: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        partly(made(name), learned(part))


@pytest.mark.parametrize("name", ["ViT-Ti/8", "gated ViT-Ti/8", "R+ViT-Ti/16", "BiT-R50x1"])
@pytest.mark.parametrize("part", ["head", "last:1", "last:2", "lora:8"])
def test_gradients_are_those_of_the_same_parameters_when_all_learns(name: str, part: str) -> None:
    if name == "BiT-R50x1" and part == "lora:8":
        return
    model = made("ViT-Ti/8", gated_mlp=True) if name.startswith("gated") else made(name)
    full = gradients(copy.deepcopy(model))
    some = gradients(partly(model, learned(part), drawn()))
    common = some.keys() & full.keys()
    assert {"head.linear.weight", "head.linear.bias"} <= common
    assert len(common) < len(full)
    for key in common:
        torch.testing.assert_close(some[key], full[key], rtol=1e-4, atol=1e-5 * float(full[key].abs().max()))
    asked = {key for key, p in model.named_parameters() if p.requires_grad}
    assert some.keys() == asked
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == learned(part).parameters(model.config)


def test_the_last_blocks_learn_with_the_final_norm_and_the_head() -> None:
    learn = {name for name, p in partly(made(), learned("last:2")).named_parameters() if p.requires_grad}
    assert {name.rpartition(".")[0].split(".attention")[0].split(".mlp")[0] for name in learn} == {
        *(f"encoder.blocks.{block}{norm}" for block in (3, 4) for norm in ("", ".norm1", ".norm2")),
        "encoder.norm",
        "head.linear",
    }
    learn = {name for name, p in partly(made("BiT-R50x1"), learned("last:1")).named_parameters() if p.requires_grad}
    assert {name.split(".")[0] for name in learn} == {"stages", "norm", "head"}
    assert {name.split(".")[1] for name in learn if name.startswith("stages")} == {"3"}


@pytest.mark.parametrize("part", ["head", "last:2", "lora:8"])
def test_what_rests_knows_no_dropout(part: str) -> None:
    model = partly(
        made(dropout=0.5, stochastic_depth=0.5, positions="sincos", class_token=False, pooling="mean"),
        learned(part),
        drawn(),
    )
    assert isinstance(model, ViT)
    seen: list[torch.Tensor] = []
    model.encoder.blocks[3].register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    first, second = (model(images()) for _ in range(2))
    assert torch.equal(*seen) == (part != "lora:8")
    assert torch.equal(first, second) == (part == "head")
    again = whole(model).eval()
    assert again.config == model.config
    assert again(images()).allclose(model.eval()(images()), atol=1e-5)


def turned(model: ViT | BiT) -> ViT | BiT:
    """As after some training: no B is zero."""
    for module in model.modules():
        if isinstance(module, Factored):
            torch.nn.init.normal_(module.up.weight, std=0.05, generator=drawn())
    return model


def test_factors_begin_as_the_model_and_merge_into_it() -> None:
    model = made(pooling="token+mean")
    before = model.eval()(images())
    adapted = partly(copy.deepcopy(model), learned("lora:8"), drawn())
    assert torch.equal(adapted(images()), before)
    assert all(torch.equal(t, model.state_dict()[name]) for name, t in whole(adapted).state_dict().items())
    after = turned(adapted)(images())
    assert not torch.allclose(after, before, atol=0.01)
    merged = whole(adapted)
    assert merged.state_dict().keys() == model.state_dict().keys()
    torch.testing.assert_close(merged(images()), after, rtol=1e-5, atol=1e-5)
    for mode in (True, False):  # also where the last block computes the class token alone
        single = turned(partly(made(), learned("lora:2"), drawn())).train(mode)
        torch.testing.assert_close(whole(single)(images()), single(images()), rtol=1e-5, atol=1e-5)


def test_factors_depend_on_what_they_are_drawn_from() -> None:
    one, same, other = (
        partly(made(), learned("lora:4"), torch.Generator().manual_seed(seed)).state_dict() for seed in (0, 0, 1)
    )
    name = "encoder.blocks.0.mlp.fc1.down.weight"
    assert torch.equal(one[name], same[name])
    assert not torch.equal(one[name], other[name])


@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "muon"])
@pytest.mark.parametrize("part", PARTS)
def test_optimizer_and_average_hold_what_learns(part: str, optimizer: Any) -> None:
    model = partly(made(), learned(part), drawn())
    settings = TrainSettings(steps=1, optimizer=optimizer, layer_decay=0.5, weight_decay=0.1)
    if (part, optimizer) == ("head", "muon"):
        with pytest.raises(ConfigError, match="none learns here: choose adamw"):
            make_optimizer(model, settings)
        return
    made_optimizer = make_optimizer(model, settings)
    names = {id(p): name for name, p in model.named_parameters()}
    scales = {names[id(p)]: g["scale"] for g in made_optimizer.param_groups for p in g["params"]}
    assert scales.keys() == Ema(model, 0.9).tensors.keys()
    assert scales["head.linear.weight"] == 1
    assert all(scales[name] == 0.5 for name in scales if name.startswith("encoder.blocks.4."))
    gradients(model)
    made_optimizer.step()
    states = sum(t.numel() for s in made_optimizer.state.values() for t in s.values() if t.ndim)
    memory = training_memory(model.config, BATCH, optimizer=optimizer, learned=learned(part))
    assert memory.optimizer == 4 * states
    assert memory.gradients == 4 * len(torch.cat([p.flatten() for p in model.parameters() if p.grad is not None]))
    assert memory.weights == 4 * sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("checkpointed", [False, True], ids=["kept", "checkpointed"])
@pytest.mark.parametrize("changes", [{}, {"pooling": "mean"}, {"gated_mlp": True}], ids=["token", "mean", "gated"])
@pytest.mark.parametrize("part", ["head", "last:2", "lora:8"])
def test_the_formula_is_what_is_kept_and_allocated(part: str, changes: dict[str, Any], checkpointed: bool) -> None:
    # Exact GELU, because the other has some work space of a fixed size that a larger model does not notice.
    model = partly(made(width=192, hidden=768, heads=3, gelu="erf", **changes), learned(part), drawn())
    m = training_memory(model.config, BATCH, checkpoint_activations=checkpointed, learned=learned(part))
    x, seen = images(), 5 * BATCH * 3 * 64 * 64
    _, held = kept(model, lambda: model(x, recompute=checkpointed))
    assert held == pytest.approx(m.activations - seen, rel=0.03, abs=4096)  # logits and the like
    train(model, x, recompute=checkpointed)
    for parameter in model.parameters():
        parameter.grad = None
    most = allocated(lambda: train(model, x, recompute=checkpointed))
    assert most == pytest.approx(m.peak - m.weights - m.optimizer - seen, rel=0.15)


@pytest.mark.parametrize("part", ["head", "last:1", "last:2", "lora:8"])
@pytest.mark.parametrize("name", ["BiT-R50x1", "R+ViT-Ti/16"])
def test_the_formula_bounds_what_resnets_and_hybrids_take(name: str, part: str) -> None:
    if name == "BiT-R50x1" and part == "lora:8":
        return
    model, x = partly(made(name), learned(part), drawn()), images()
    m = training_memory(model.config, BATCH, learned=learned(part))
    _, held = kept(model, lambda: model(x))
    seen = 5 * BATCH * 3 * 64 * 64
    assert held == pytest.approx(m.activations - seen, rel=0.1, abs=40_000)
    train(model, x, recompute=False)
    for parameter in model.parameters():
        parameter.grad = None
    most = allocated(lambda: train(model, x, recompute=False))
    assert 0.85 * most < m.peak - m.weights - m.optimizer - seen < 1.5 * most


def test_passes_of_a_step_follow_what_learns() -> None:
    config = empty_model(model_config("ViT-Ti/8", **FIELDS)).config
    assert [learned(part).passes(config) for part in PARTS] == pytest.approx([3, 1, 1.8, 2])
