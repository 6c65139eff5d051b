"""Positions of Table 8: of two tables, in every layer, relative."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from vitascope.checkpoints.adapt import resize_model
from vitascope.checkpoints.checkpoint import Checkpoint
from vitascope.checkpoints.save import save
from vitascope.data.preprocess import Preprocess
from vitascope.errors import ConfigError, UserError
from vitascope.layers.attention import Attention, attend_fused, attend_two_products, attention_weights
from vitascope.layers.encoder import Block
from vitascope.layers.position import Positions2d, over_tokens
from vitascope.models.catalogue import build_model, count_parameters
from vitascope.models.config import ViTConfig
from vitascope.models.vit import ViT
from vitascope.views.capture import captures

NEW = ("learned-layers", "learned-shared", "learned2d", "learned2d-layers", "learned2d-shared", "relative")


def config(positions: str, **changes: object) -> ViTConfig:
    given = {"image_size": (8, 12), "patch": 4, "width": 12, "depth": 3, "heads": 2, "hidden": 16, "classes": 3}
    return ViTConfig(**{**given, "positions": positions, **changes})  # type: ignore[arg-type]


def model(positions: str, **changes: object) -> ViT:
    made = build_model(config(positions, **changes), torch.Generator().manual_seed(0)).eval()
    assert isinstance(made, ViT)
    for p in made.parameters():  # zeros tell nothing
        nn.init.normal_(p, std=0.3, generator=torch.Generator().manual_seed(p.numel()))
    return made


@pytest.mark.parametrize(
    ("positions", "count"),
    [
        ("learned-layers", 2 * 7 * 12),  # of the two blocks after the first; 1 + 2·3 rows of 12
        ("learned-shared", 0),
        ("learned2d", 12 + (2 + 3) * 6 - 7 * 12),
        ("learned2d-layers", 3 * (12 + (2 + 3) * 6) - 7 * 12),
        ("learned2d-shared", 12 + (2 + 3) * 6 - 7 * 12),
        ("relative", 3 * 13 * 12 - 7 * 12),
    ],
)
def test_each_has_the_values_that_it_is_told_by(positions: str, count: int) -> None:
    assert count_parameters(config(positions)) - count_parameters(config("learned")) == count


def test_two_tables_stand_side_by_side() -> None:
    p = Positions2d(config("learned2d"))
    for table in p.parameters():
        nn.init.normal_(table)
    assert p.token is not None
    table = p((2, 3))
    assert table.shape == (1, 7, 12)
    torch.testing.assert_close(table[0, 0], p.token[0, 0])
    for row in range(2):
        for column in range(3):
            expected = torch.cat([p.columns[0, column], p.rows[0, row]])
            torch.testing.assert_close(table[0, 1 + 3 * row + column], expected)


@pytest.mark.parametrize("form", ["learned", "learned2d"])
@pytest.mark.parametrize("where", ["layers", "shared"])
def test_every_block_after_the_first_adds_them_again(form: str, where: str) -> None:
    m, images = model(f"{form}-{where}"), torch.randn(2, 3, 8, 12)
    z, stem = m.embedded(images), m.embedding.positions
    assert stem is not None
    for number, block in enumerate(m.encoder.blocks):
        assert isinstance(block, Block)
        if number:
            own = stem if where == "shared" else block.positions
            assert own is not None
            z = z + own((2, 3))
        z = block.add(z, block.attention(block.norm1(z)))
    torch.testing.assert_close(m.tokens(images), m.encoder.norm(z))


def test_tokens_without_a_position_are_left_alone() -> None:
    table = torch.arange(1.0, 6.0).reshape(1, 5, 1)
    assert over_tokens(table, True, 3).flatten().tolist() == [1, 0, 0, 2, 3, 4, 5]
    assert over_tokens(table, False, 2).flatten().tolist() == [0, 0, 1, 2, 3, 4, 5]


def formula(attention: Attention, x: Tensor) -> Tensor:
    """Softmax of (q·k + q·e(i − j)) / √d, written out; (T, T) of each head."""
    q, k, _ = attention._split(attention.qkv(x))
    assert attention.relative is not None
    offsets, tokens = attention.relative.offsets[0], x.shape[1]
    logits = torch.empty(len(x), attention.h, tokens, tokens)
    for head in range(attention.h):
        part = offsets[:, head * attention.d : (head + 1) * attention.d]
        for i in range(tokens):
            for j in range(tokens):
                key = k[:, head, j] + part[i - j + tokens - 1]
                logits[:, head, i, j] = (q[:, head, i] * key).sum(1) / math.sqrt(attention.d)
    return logits.softmax(-1)


def test_relative_logits_are_those_of_the_formula() -> None:
    attention = model("relative").encoder.blocks[0].attention
    assert isinstance(attention, Attention)
    x = torch.randn(2, 7, 12)
    q, k, v = attention.heads(x)
    torch.testing.assert_close(attention_weights(q, k), formula(attention, x))
    torch.testing.assert_close(attend_fused(q, k, v), attend_two_products(q, k, v))
    q, k, v = attention.heads(x, 1)
    torch.testing.assert_close(attention_weights(q, k), formula(attention, x)[:, :, :1])


@pytest.mark.parametrize("positions", NEW)
def test_order_matters_and_views_see_what_the_model_does(positions: str) -> None:
    m, images = model(positions), torch.randn(2, 3, 8, 12)
    moved = torch.cat([images[..., 4:], images[..., :4]], dim=3)  # the same patches in another order
    assert not torch.allclose(m(images), m(moved), atol=1e-3)
    seen = next(iter(captures(m, images, tokens=True)))
    torch.testing.assert_close(m.encoder.norm(seen.tokens[-1]), m.tokens(images))
    training = m.train()(images)
    training.sum().backward()
    assert all(p.grad is not None for p in m.parameters())
    torch.testing.assert_close(training, m.eval()(images))


@pytest.mark.parametrize("positions", NEW)
def test_other_sizes_are_those_that_are_stored_for(positions: str) -> None:
    m, images = model(positions), torch.randn(1, 3, 16, 12)
    resized = resize_model(m, (16, 12))
    assert isinstance(resized, ViT)
    assert resized.config.grid == (4, 3)
    torch.testing.assert_close(resized(images), m(images))


@pytest.mark.parametrize("positions", NEW)
def test_registers_have_none(positions: str) -> None:
    m = model(positions, registers=2)
    assert m(torch.randn(1, 3, 8, 12)).shape == (1, 3)
    assert model(positions, class_token=False, pooling="mean")(torch.randn(1, 3, 8, 12)).shape == (1, 3)


@pytest.mark.parametrize("positions", sorted(set(NEW) - {"learned2d"}))
def test_tokens_cannot_be_left_out(positions: str) -> None:
    with pytest.raises(ConfigError, match=f'"{positions}" positions count'):
        model(positions)(torch.randn(1, 3, 8, 12), drop_tokens=0.5)


@pytest.mark.parametrize("positions", NEW)
def test_formats_that_cannot_hold_them_are_refused(positions: str, tmp_path: Path) -> None:
    made = Checkpoint(
        model=model(positions, image_size=(8, 8)), preprocess=Preprocess(size=(8, 8)), labels=("a", "b", "c")
    )
    with pytest.raises(UserError):
        save(made, tmp_path / "x", "timm")
    save(made, tmp_path / "own")


def test_two_tables_need_an_even_width() -> None:
    with pytest.raises(ConfigError, match="must be even"):
        config("learned2d", width=9, heads=3)
