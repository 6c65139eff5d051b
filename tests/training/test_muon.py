"""Muon: orthogonal updates of the hidden matrices, each of q, k and v by itself, and Adam for everything else."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

from vitascope.errors import ConfigError
from vitascope.models.catalogue import create_model
from vitascope.training.muon import Muon, orthogonalised
from vitascope.training.optimizer import (
    decay_kernels,
    hidden_matrices,
    make_optimizer,
    parameter_groups,
    set_learning_rate,
)
from vitascope.training.train_settings import TrainSettings

FIELDS: dict[str, Any] = {"width": 16, "heads": 2, "hidden": 24, "depth": 3, "classes": 5, "image_size": 32}
SETTINGS = TrainSettings(steps=1, optimizer="muon", lr=0.01, momentum=0.95)


def with_gradients(model: nn.Module, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator)


@pytest.mark.parametrize("shape", [(1, 16, 16), (3, 16, 24), (2, 1, 8)])
def test_singular_values_come_near_one_and_vectors_stay(shape: tuple[int, ...]) -> None:
    x = (
        torch.randn(shape, generator=torch.Generator().manual_seed(0))
        * torch.tensor([1.0, 1e-3, 1e4][: shape[0]])[:, None, None]
    )
    got = orthogonalised(x)
    assert float(torch.linalg.svdvals(got).min()) > 0.5
    assert float(torch.linalg.svdvals(got).max()) < 1.3
    u, _, v = torch.linalg.svd(x, full_matrices=False)
    inside = u.mT @ got @ v.mT  # diagonal where the singular vectors are the same
    assert float((inside - inside.diagonal(dim1=1, dim2=2).diag_embed()).abs().max()) < 1e-3


def test_zero_stays_zero() -> None:
    assert torch.equal(orthogonalised(torch.zeros(1, 4, 6)), torch.zeros(1, 4, 6))


def test_the_matrices_of_the_blocks_and_nothing_else() -> None:
    model = create_model("R26+ViT-S/32", **{**FIELDS, "image_size": 64}, representation_size=8, layer_scale=0.1)
    modules = dict(model.named_modules())
    found = {n: hidden_matrices(n, modules[n.rpartition(".")[0]]) for n, _ in model.named_parameters()}
    ends = {n.split(".", 3)[3]: parts for n, parts in found.items() if parts}
    assert ends == {"attention.qkv.weight": 3, "attention.out.weight": 1, "mlp.fc1.weight": 1, "mlp.fc2.weight": 1}
    assert len([n for n, parts in found.items() if parts]) == 3 * 4
    grouped = [id(p) for g in parameter_groups(model, 0.1, 0.7, muon=True) for p in g["params"]]
    assert sorted(grouped) == sorted(id(p) for p in model.parameters())


def expected_update(gradients: list[torch.Tensor], momentum: float) -> torch.Tensor:
    """Of one matrix after gradients in turn, by the definition."""
    mean = torch.zeros_like(gradients[0])
    for gradient in gradients:
        mean = momentum * mean + (1 - momentum) * gradient
    ahead = momentum * mean + (1 - momentum) * gradients[-1]
    wide = ahead if ahead.shape[0] <= ahead.shape[1] else ahead.T
    got = orthogonalised(wide[None])[0]
    return 0.2 * max(ahead.shape) ** 0.5 * (got if wide is ahead else got.T)


def test_matrices_move_as_defined_each_by_itself_and_all_else_as_adam_moves_it() -> None:
    ours = create_model("ViT-Ti/16", **FIELDS)
    theirs = copy.deepcopy(ours)
    optimizer, adam = make_optimizer(ours, SETTINGS), make_optimizer(theirs, TrainSettings(steps=1, lr=0.01))
    modules, seen, matrices = dict(ours.named_modules()), {}, 0
    for step in range(4):
        before = {n: p.detach().clone() for n, p in ours.named_parameters()}
        for model, o in ((ours, optimizer), (theirs, adam)):
            with_gradients(model, step)
            set_learning_rate(o, 0.01 * (step + 1))
            o.step()
        for (name, p), other in zip(ours.named_parameters(), theirs.parameters(), strict=True):
            seen.setdefault(name, []).append(p.grad.clone())
            parts = hidden_matrices(name, modules[name.rpartition(".")[0]])
            if not parts:
                assert torch.equal(p, other), name
                continue
            matrices += 1
            pieces = [
                expected_update(list(grads), 0.95) for grads in zip(*(g.chunk(parts) for g in seen[name]), strict=True)
            ]
            expected = before[name] - 0.01 * (step + 1) * torch.cat(pieces)
            torch.testing.assert_close(p.detach(), expected, atol=1e-5, rtol=1e-4, msg=f"{name} at step {step}")
    assert matrices == 4 * 3 * 4


def test_updates_are_as_large_as_adams() -> None:
    model = create_model("ViT-Ti/16", **{**FIELDS, "width": 64, "hidden": 256})
    optimizer = make_optimizer(model, SETTINGS)
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    with_gradients(model, 0)
    optimizer.step()
    for name, p in model.named_parameters():
        if name.endswith(("qkv.weight", "fc1.weight", "fc2.weight")):
            size = float((p.detach() - before[name]).square().mean().sqrt()) / 0.01
            assert 0.1 < size < 0.3, name


def test_decay_is_of_kernels_at_their_rate() -> None:
    model = create_model("ViT-Ti/16", **FIELDS)
    optimizer = make_optimizer(model, TrainSettings(steps=1, optimizer="muon", weight_decay=0.5, lr=0.1))
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    decay_kernels(optimizer)
    for name, p in model.named_parameters():
        kernel = name.endswith(".weight") and p.ndim in (2, 4)
        assert torch.equal(p, before[name] * (0.95 if kernel else 1.0)), name


def test_parameters_without_gradients_stay() -> None:
    model = create_model("ViT-Ti/16", **FIELDS)
    before = copy.deepcopy(model.state_dict())
    optimizer = make_optimizer(model, SETTINGS)
    optimizer.step()
    with_gradients(model, 0)
    held = model.encoder.blocks[0].mlp.fc1.weight
    held.grad = None
    optimizer.step()
    assert torch.equal(held, before["encoder.blocks.0.mlp.fc1.weight"])
    assert not torch.equal(model.encoder.blocks[1].mlp.fc1.weight, before["encoder.blocks.1.mlp.fc1.weight"])


def test_its_state_goes_through_state_dict_bit_for_bit() -> None:
    model = create_model("ViT-Ti/16", **FIELDS)
    optimizer = make_optimizer(model, SETTINGS)
    with_gradients(model, 0)
    optimizer.step()
    copied = copy.deepcopy(model)
    other = make_optimizer(copied, SETTINGS)
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for m, o in ((model, optimizer), (copied, other)):
        with_gradients(m, 1)
        o.step()
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), copied.parameters(), strict=True))


def test_the_iteration_runs_in_the_format_of_the_products() -> None:
    model = create_model("ViT-Ti/16", **FIELDS)
    for precision, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        optimizer = make_optimizer(model, TrainSettings(steps=1, optimizer="muon", precision=precision))
        assert isinstance(optimizer, Muon)
        assert optimizer.dtype == dtype
        with_gradients(model, 0)
        optimizer.step()
        assert all(p.dtype == torch.float32 and bool(p.isfinite().all()) for p in model.parameters())


def test_a_model_without_hidden_matrices_is_refused() -> None:
    model = create_model("BiT-R50x1", image_size=(32, 32), base_width=32, units=(1, 1, 1, 1), classes=5)
    with pytest.raises(ConfigError, match="choose adamw"):
        make_optimizer(model, SETTINGS)
