"""The logit lens and token norms."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from vitascope import views
from vitascope.checkpoints.checkpoint import Checkpoint
from vitascope.errors import ConfigError


def states(model: torch.nn.Module, images: Tensor) -> list[Tensor]:
    """Tokens after every block, by hooks."""
    kept: list[Tensor] = []
    hooks = [block.register_forward_hook(lambda m, i, x: kept.append(x)) for block in model.encoder.blocks]
    with torch.no_grad():
        model.eval()(images)
    for hook in hooks:
        hook.remove()
    return kept


def test_the_lens_is_the_head_on_every_layer(kind: tuple[Checkpoint, Tensor]) -> None:
    ck, images = kind
    c = ck.config
    if not c.classes:
        with pytest.raises(ConfigError, match="no head"):
            views.logit_lens(ck.model, images)
        return
    lens = views.logit_lens(ck.model, images)
    assert lens.shape == (3, c.depth, c.classes)
    with torch.no_grad():
        for layer, x in enumerate(states(ck.model, images)):
            expected = ck.model.head(ck.model.encoder.norm(x))
            torch.testing.assert_close(lens[:, layer], expected)
        assert torch.equal(lens[:, -1], ck.model(images))
    assert float((lens[:, 0] - lens[:, -1]).abs().max()) > 1e-3


def test_norms_are_those_after_each_block(kind: tuple[Checkpoint, Tensor]) -> None:
    ck, images = kind
    norms = views.token_norms(ck.model, images)
    expected = torch.stack([x.double().square().sum(-1).sqrt() for x in states(ck.model, images)], dim=1)
    assert norms.shape == expected.shape
    torch.testing.assert_close(norms.double(), expected, rtol=1e-5, atol=1e-6)


def test_an_outlier_token_stands_out(plain: tuple[Checkpoint, Tensor]) -> None:
    model, images = plain[0].model, plain[1]
    with torch.no_grad():
        model.embedding.positions.table[0, 1 + 4] += 100
    norms = views.token_norms(model, images)
    assert (norms[:, :, 1:].argmax(-1) == 4).all()
    assert bool((norms[:, :, 5] > 20 * norms[:, :, 1:].median(-1).values).all())
