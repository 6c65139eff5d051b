"""The memory formula against what PyTorch really keeps and allocates."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch

from kept import kept, train
from memory import allocated
from vitascope.layers import attention
from vitascope.models.catalogue import build_model, count_parameters, model_config
from vitascope.models.config import ModelConfig, ViTConfig
from vitascope.models.memory import training_memory
from vitascope.models.vit import ViT
from vitascope.training.optimizer import make_optimizer
from vitascope.training.train_settings import TrainSettings

FIELDS: dict[str, Any] = {"width": 64, "heads": 4, "hidden": 192, "depth": 5, "classes": 10, "image_size": 64}
BATCH = 4
VARIANTS: dict[str, dict[str, Any]] = {
    "the paper's": {},
    "mean pooling": {"pooling": "mean", "class_token": False},
    "both": {"pooling": "token+mean", "norm": "pooled"},
    "normed patches": {"patch_norms": True},
    "wide heads": {"head_width": 48},
    "wide heads, mean": {"head_width": 48, "pooling": "mean"},
    "distilled": {"pooling": "token+distillation", "registers": 1},
    "dropout": {"dropout": 0.1},
    "LayerScale and registers": {"layer_scale": 0.1, "registers": 4},
    "exact GELU": {"gelu": "erf"},
    "shallow and wide": {"depth": 2, "width": 128, "hidden": 512},
    "no biases on q, k and v": {"qkv_bias": False},
    "LayerNorm before the blocks, quick GELU": {"norm_before": True, "gelu": "quick"},
    "rotary positions": {"positions": "rotary", "registers": 4},
    "gated MLPs": {"gated_mlp": True},
    "attention pooling": {"pooling": "attention", "class_token": False},
    "oblong": {"image_size": (32, 96)},
}


def made(name: str = "ViT-Ti/8", **changes: Any) -> tuple[ViTConfig, ViT]:
    config = model_config(name, **{**FIELDS, **changes})
    model = build_model(config, torch.Generator().manual_seed(0))
    assert isinstance(config, ViTConfig)
    assert isinstance(model, ViT)
    return config, model.train()


def images(config: ViTConfig) -> torch.Tensor:
    return torch.randn(BATCH, 3, *config.image_size)


def unseen(config: ModelConfig, a_pixel: int = 1) -> int:
    """Bytes of images that the formula counts and a forward pass does not see: the uint8 ones, or more."""
    return a_pixel * BATCH * 3 * config.image_size[0] * config.image_size[1]


@pytest.mark.parametrize("checkpointed", [False, True], ids=["kept", "checkpointed"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_activations_are_what_the_backward_pass_keeps(variant: str, checkpointed: bool) -> None:
    config, model = made(**VARIANTS[variant])
    _, held = kept(model, lambda: model(images(config), recompute=checkpointed))
    # Where patches are normalised the graph keeps copies of the images, which are held by the caller besides.
    images_held = unseen(config, 5 if config.patch_norms else 1)
    predicted = training_memory(config, BATCH, checkpoint_activations=checkpointed).activations - images_held
    assert held == pytest.approx(predicted, rel=0.03)


def test_dropped_tokens_are_not_kept() -> None:
    config, model = made()
    _, held = kept(model, lambda: model(images(config), drop_tokens=0.5))
    predicted = training_memory(config, BATCH, drop_tokens=0.5).activations - unseen(config)
    assert held == pytest.approx(predicted, rel=0.03)


def test_fused_attention_keeps_no_matrix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "attend", attention.attend_fused)
    config, model = made(pooling="mean")
    _, held = kept(model, lambda: model(images(config)))
    predicted = training_memory(config, BATCH, fused_attention=True).activations - unseen(config)
    assert held == pytest.approx(predicted, rel=0.03)


def test_products_in_bfloat16_keep_less_and_copies_of_the_weights() -> None:
    config, model = made()
    with torch.autocast("cpu", torch.bfloat16):
        _, held = kept(model, lambda: model(images(config)))
    predicted = training_memory(config, BATCH, precision="bfloat16")
    copies = predicted.weights - 4 * count_parameters(config)
    assert held == pytest.approx(predicted.activations - unseen(config, 5) + copies, rel=0.05)


@pytest.mark.parametrize("checkpointed", [False, True], ids=["kept", "checkpointed"])
@pytest.mark.parametrize("gated", [False, True], ids=["", "gated"])
def test_the_most_that_training_allocates(gated: bool, checkpointed: bool) -> None:
    # Exact GELU, because the other has some work space of a fixed size that a larger model does not notice.
    config, model = made(width=192, hidden=768, heads=3, gelu="erf", gated_mlp=gated)
    x = images(config)
    train(model, x, recompute=checkpointed)
    for parameter in model.parameters():
        parameter.grad = None
    most = allocated(lambda: train(model, x, recompute=checkpointed))
    m = training_memory(config, BATCH, checkpoint_activations=checkpointed)
    assert most == pytest.approx(m.peak - m.weights - m.optimizer - unseen(config, 5), rel=0.15)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "muon"])
def test_the_optimizer_keeps_as_much_as_said(optimizer: Any) -> None:
    config, model = made()
    made_optimizer = make_optimizer(model, TrainSettings(steps=1, optimizer=optimizer))
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    made_optimizer.step()
    states = sum(t.numel() for s in made_optimizer.state.values() for t in s.values() if t.ndim)
    memory = training_memory(config, BATCH, optimizer=optimizer)
    assert memory.optimizer == 4 * states
    assert training_memory(config, BATCH, optimizer=optimizer, ema=True).optimizer == 4 * (
        states + count_parameters(config)
    )
    assert memory.weights == memory.gradients == 4 * count_parameters(config)


def test_it_grows_in_proportion_to_the_batch_and_the_depth() -> None:
    def of(batch: int, depth: int) -> float:
        return training_memory(made(depth=depth)[0], batch).activations

    assert of(8, 5) == 2 * of(4, 5)
    assert of(4, 9) - of(4, 5) == of(4, 5) - of(4, 1)


def test_gradients_are_there_with_the_activations_only_where_they_are_accumulated() -> None:
    m = training_memory(made()[0], 64)
    assert m.activations > m.gradients
    assert m.peak == m.weights + m.optimizer + m.activations + m.working
    assert dataclasses.replace(m, accumulated=True).peak == m.peak + m.gradients
    assert dataclasses.replace(m, activations=0.0).peak == m.weights + m.optimizer + m.gradients + m.working


CONVOLUTIONS: list[tuple[str, dict[str, Any]]] = [
    ("BiT-R50x1", {"image_size": 128, "units": (1, 2, 1, 1)}),
    ("BiT-R50x1", {"image_size": 64, "units": (1, 2, 1, 1), "small_images": True}),
    ("R26+ViT-S/32", {"image_size": 128, "depth": 2}),
    ("R26+ViT-S/32", {"image_size": 64, "depth": 2, "patch": 4, "stem": {"units": [1, 1], "small_images": True}}),
    ("R+ViT-Ti/16", {"image_size": 128, "depth": 2}),
]


@pytest.mark.parametrize("checkpointed", [False, True], ids=["kept", "checkpointed"])
@pytest.mark.parametrize(("name", "fields"), CONVOLUTIONS)
def test_what_resnets_and_hybrids_keep_and_allocate(name: str, fields: dict[str, Any], checkpointed: bool) -> None:
    config = model_config(name, classes=10, **fields)
    model = build_model(config, torch.Generator().manual_seed(0)).train()
    x = torch.randn(BATCH, 3, *config.image_size)
    _, held = kept(model, lambda: model(x, recompute=checkpointed))
    m = training_memory(config, BATCH, checkpoint_activations=checkpointed)
    assert held == pytest.approx(m.activations - unseen(config), rel=0.03)
    train(model, x, recompute=checkpointed)
    for parameter in model.parameters():
        parameter.grad = None
    most = allocated(lambda: train(model, x, recompute=checkpointed))
    assert 0.9 * most < m.peak - m.weights - m.optimizer - unseen(config, 5) < 1.35 * most  # a bound, not too wide
