"""All forms of attention are equal; heads and mix are all of it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from vitascope.layers import attention as module
from vitascope.layers.attention import Attention, attend, attend_fused, attend_two_products, attention_weights
from vitascope.layers.config import ViTConfig


def qkv(dtype: torch.dtype = torch.float64) -> list[Tensor]:
    torch.manual_seed(0)
    return [torch.randn(2, 3, 7, 8, dtype=dtype, requires_grad=True) for _ in range(3)]


def plain(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Appendix A, a query at a time."""
    out = torch.zeros_like(v)
    for b, h, t in torch.cartesian_prod(*(torch.arange(n) for n in q.shape[:3])).tolist():
        scores = torch.tensor([float(q[b, h, t] @ k[b, h, s]) / 8**0.5 for s in range(q.shape[2])], dtype=q.dtype)
        out[b, h, t] = torch.exp(scores - scores.logsumexp(0)) @ v[b, h]
    return out


@pytest.mark.parametrize("form", [attend_fused, attend_two_products, attend])
def test_every_form_is_the_formula_and_has_its_gradient(form: module.Callable[..., Tensor]) -> None:
    q, k, v = qkv()
    torch.testing.assert_close(form(q, k, v), plain(q.detach(), k.detach(), v.detach()), rtol=1e-10, atol=1e-10)
    weight = torch.randn(2, 3, 7, 8, dtype=torch.float64)
    gradients = torch.autograd.grad((form(q, k, v) * weight).sum(), (q, k, v))
    expected = torch.autograd.grad((attend_two_products(q, k, v) * weight).sum(), (q, k, v))
    for one, other in zip(gradients, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


def test_rows_of_the_weights_sum_to_one() -> None:
    q, k, _ = qkv(torch.float32)
    torch.testing.assert_close(attention_weights(q, k).sum(-1), torch.ones(2, 3, 7))


def test_training_on_the_cpu_takes_the_two_products(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen: list[str] = []
    monkeypatch.setattr(module, "attend_two_products", lambda q, k, v: chosen.append("two products") or v)
    monkeypatch.setattr(module, "attend_fused", lambda q, k, v: chosen.append("fused") or v)
    q, k, v = qkv()
    attend(q, k, v)
    with torch.no_grad():
        attend(q, k, v)
    attend(q.detach(), k.detach(), v.detach())
    assert chosen == ["two products", "fused", "fused"]


def test_heads_are_cut_from_one_projection_and_mixed_to_the_output() -> None:
    torch.manual_seed(0)
    layer = Attention(ViTConfig(width=24, heads=3)).eval()
    x = torch.randn(2, 5, 24)
    with torch.no_grad():
        q, k, v = layer.heads(x)
        for number, part in enumerate((q, k, v)):
            expected = layer.qkv(x)[..., 24 * number : 24 * (number + 1)].reshape(2, 5, 3, 8).transpose(1, 2)
            assert torch.equal(part, expected)
        assert torch.equal(layer.mix(q, k, v), layer(x))
        by_hand = layer.out((attention_weights(q, k) @ v).transpose(1, 2).reshape(2, 5, 24))
    torch.testing.assert_close(layer(x), by_hand)
