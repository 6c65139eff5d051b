"""The two forms of GELU, and the quicker way through the one by tanh."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from vitascope.layers import gelu as module
from vitascope.layers.gelu import Gelu


def by_pytorch(x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    x = x.detach().double().requires_grad_()
    y = F.gelu(x, approximate="tanh")
    (y * weight).sum().backward()
    assert x.grad is not None
    return y.detach(), x.grad


@pytest.mark.parametrize("shape", [(1,), (3, 5), (2, 7, 33)])
def test_trained_through_it_gives_value_and_derivative_of_gelu_by_tanh(
    shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_VALUES", 10)  # several parts, the last one shorter
    generator = torch.Generator().manual_seed(0)
    x = (4 * torch.randn(shape, generator=generator)).requires_grad_()
    weight = torch.randn(shape, generator=generator)
    y = Gelu("tanh")(x)
    assert y.grad_fn is not None
    assert "WithDerivative" in y.grad_fn.name()
    (y * weight).sum().backward()
    assert x.grad is not None
    value, derivative = by_pytorch(x, weight)
    torch.testing.assert_close(y.detach().double(), value, rtol=2e-6, atol=1e-6)
    torch.testing.assert_close(x.grad.double(), derivative, rtol=5e-6, atol=5e-6)


def test_far_from_zero_nothing_overflows() -> None:
    x = torch.tensor([-1e6, -100.0, 0.0, 100.0, 1e6], requires_grad=True)
    y = Gelu("tanh")(x)
    y.sum().backward()
    assert y.tolist() == [0.0, 0.0, 0.0, 100.0, 1e6]
    assert x.grad is not None
    assert x.grad.tolist() == [0.0, 0.0, 0.5, 1.0, 1.0]


def test_what_is_not_contiguous_is_read_in_its_own_order() -> None:
    x = torch.randn(6, 4, generator=torch.Generator().manual_seed(0)).T.requires_grad_()
    y = Gelu("tanh")(x)
    y.square().sum().backward()
    expected = F.gelu(x, approximate="tanh")
    torch.testing.assert_close(y, expected)
    (gradient,) = torch.autograd.grad(expected.square().sum(), x)
    torch.testing.assert_close(x.grad, gradient)


@pytest.mark.parametrize("form", ["tanh", "erf"])
def test_without_training_it_is_pytorchs_bit_for_bit(form: str) -> None:
    x = torch.randn(100, generator=torch.Generator().manual_seed(0)).requires_grad_()
    assert torch.equal(Gelu(form).eval()(x), F.gelu(x, approximate="tanh" if form == "tanh" else "none"))


def test_bfloat16_is_left_to_pytorch() -> None:
    x = torch.randn(100, generator=torch.Generator().manual_seed(0)).bfloat16().requires_grad_()
    assert torch.equal(Gelu("tanh")(x), F.gelu(x, approximate="tanh"))
