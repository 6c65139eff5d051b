"""Attention, distance, share and rollout against plain loops, and where the answer is known beforehand."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from tiny_checkpoint import checkpoint
from vitascope import views
from vitascope.checkpoints.checkpoint import Checkpoint
from vitascope.models.config import ViTConfig
from vitascope.models.vit import ViT
from vitascope.views.distance import patch_distances

SHARP = 1e4
NEIGHBOUR = ViTConfig(
    image_size=(12, 16), patch=4, width=12, depth=1, heads=1, hidden=8, class_token=False, pooling="mean", classes=2
)


def looking_at(targets: list[int], config: ViTConfig = NEIGHBOUR) -> ViT:
    """A model whose only head attends, from every patch i, to patch `targets[i]` alone, whatever the image."""
    model = checkpoint(config).model
    assert isinstance(model, ViT)
    width = config.width
    with torch.no_grad():
        for parameter in (*model.patches.parameters(), *model.encoder.blocks[0].attention.qkv.parameters()):
            parameter.zero_()
        model.embedding.positions.table.copy_(torch.eye(width)[None])  # one direction for each patch
        norm = model.encoder.blocks[0].norm1
        norm.weight.fill_(1)
        norm.bias.zero_()
        wanted_by = torch.zeros(width, width)
        wanted_by[torch.arange(width), torch.tensor(targets)] = 1  # row i: the key of targets[i] is patch i's query
        weight = model.encoder.blocks[0].attention.qkv.weight
        weight[:width] = SHARP * torch.eye(width)
        weight[width : 2 * width] = wanted_by
    return model


def uniform(config: ViTConfig) -> ViT:
    """A model that attends to all tokens alike."""
    model = checkpoint(config).model
    assert isinstance(model, ViT)
    with torch.no_grad():
        for block in model.encoder.blocks:
            block.attention.qkv.weight.zero_()
            block.attention.qkv.bias.zero_()
    return model


def slow_distance(weights: Tensor, grid: tuple[int, int], pixels: int, prefix: int) -> float:
    """One head's (T, T), a pair of patches at a time."""
    places = [(row * pixels, column * pixels) for row in range(grid[0]) for column in range(grid[1])]
    total = 0.0
    for i, a in enumerate(places):
        for j, b in enumerate(places):
            total += float(weights[prefix + i, prefix + j]) * math.dist(a, b)
    return total / len(places)


def test_rows_sum_to_one_and_have_the_right_shape(kind: tuple[Checkpoint, Tensor]) -> None:
    ck, images = kind
    weights = views.attention(ck.model, images)
    step, c = ck.config.pixels_per_token, ck.config
    tokens = c.prefix + (images.shape[2] // step) * (images.shape[3] // step)
    assert list(weights) == list(range(c.depth))
    for of_layer in weights.values():
        assert of_layer.shape == (3, c.heads, tokens, tokens)
        assert float(of_layer.min()) >= 0
        torch.testing.assert_close(of_layer.sum(-1), torch.ones(3, c.heads, tokens), rtol=0, atol=1e-6)


def read_by_the_head(ck: Checkpoint, images: Tensor) -> Tensor:
    """How much of each token the head reads, (B, T)."""
    c, z = ck.config, ck.model.tokens(images)
    share = torch.zeros(z.shape[:2], dtype=torch.float64)
    if ck.model.head.attention is None:
        reads = slice(0, c.first_read or 1) if "token" in c.pooling else slice(c.prefix, None)
        share[:, reads] = 1 / share[:, reads].shape[1]
        return share
    pooling = ck.model.head.attention
    weight, bias = (tensor.double().chunk(3) for tensor in pooling.attention.qkv.parameters())
    for h in range(c.heads):
        part = slice(h * c.width // c.heads, (h + 1) * c.width // c.heads)
        q = (pooling.probe.double() @ weight[0].T + bias[0])[..., part]
        k = (z[:, c.prefix :].double() @ weight[1].T + bias[1])[..., part]
        share[:, c.prefix :] += ((q * k).sum(-1) / (c.width / c.heads) ** 0.5).softmax(1) / c.heads
    return share.detach()


def test_every_kind_agrees_with_plain_loops(kind: tuple[Checkpoint, Tensor]) -> None:
    ck, images = kind
    c, weights = ck.config, views.attention(ck.model, images)
    step = c.pixels_per_token
    grid = (images.shape[2] // step, images.shape[3] // step)
    n = grid[0] * grid[1]
    reads = list(range(c.first_read or 1) if "token" in c.pooling else range(c.prefix, c.prefix + n))
    distance, share = views.attention_distance(ck.model, images), views.attended_share(ck.model, images)
    maps = views.class_attention(ck.model, images)
    assert distance.shape == share.shape == (c.depth, c.heads)
    assert maps.shape == (3, c.depth, c.heads, *grid)
    for layer, of_layer in weights.items():
        for head in range(c.heads):
            one = of_layer[:, head].double()
            slow = sum(slow_distance(one[b], grid, step, c.prefix) for b in range(3)) / 3
            assert float(distance[layer, head]) == pytest.approx(slow, abs=1e-4)
            patches = one[:, c.prefix :, c.prefix :]
            p = patches / patches.sum(-1, keepdim=True)
            entropy = -(p * p.log()).sum(-1)
            assert float(share[layer, head]) == pytest.approx(float(entropy.exp().mean()) / n, abs=1e-5)
            expected = one[:, reads, c.prefix :].mean(1).reshape(3, *grid)
            torch.testing.assert_close(maps[:, layer, head].double(), expected, rtol=0, atol=1e-6)
    share_read = read_by_the_head(ck, images).numpy()
    for residual in (True, False):
        rolled = views.rollout(ck.model, images, residual)
        assert rolled.shape == (3, *grid)
        for b in range(3):
            flow = np.eye(c.prefix + n)
            for of_layer in weights.values():
                mean = of_layer[b].double().mean(0).numpy()
                if residual:
                    mean = mean + np.eye(len(mean))
                    mean = mean / mean.sum(axis=1, keepdims=True)
                flow = mean @ flow
            expected = (share_read[b] @ flow)[c.prefix :].reshape(grid)
            np.testing.assert_allclose(rolled[b].numpy(), expected, atol=1e-6)
            if c.prefix == 0:
                assert float(rolled[b].sum()) == pytest.approx(1, abs=1e-5)


def test_a_head_that_looks_at_one_neighbour_has_exactly_its_distance() -> None:
    """Columns 0 and 1 look at each other, and 2 and 3: 4 pixels, one of 12 patches."""
    model = looking_at([i ^ 1 for i in range(12)])
    images = torch.randn(2, 3, 12, 16)
    assert views.attention_distance(model, images).tolist() == [[4.0]]
    assert views.attended_share(model, images).tolist() == [[pytest.approx(1 / 12)]]
    weights = views.attention(model, images)[0]
    assert weights[0, 0].argmax(1).tolist() == [i ^ 1 for i in range(12)]
    torch.testing.assert_close(views.rollout(model, images), torch.full((2, 3, 4), 1 / 12))


def test_distance_is_euclidean_across_rows_and_columns() -> None:
    """Each patch looks at the one opposite the centre of the 3×4 grid."""
    model = looking_at([11 - i for i in range(12)])
    expected = np.mean([math.hypot(4 * (2 - 2 * row), 4 * (3 - 2 * column)) for row in range(3) for column in range(4)])
    got = float(views.attention_distance(model, torch.randn(1, 3, 12, 16)))
    assert got == pytest.approx(float(expected), rel=1e-6)


def test_attention_to_itself_has_no_distance() -> None:
    images = torch.randn(1, 3, 12, 16)
    assert float(views.attention_distance(looking_at(list(range(12))), images)) == 0.0


@pytest.mark.parametrize("prefix", [0, 1, 4])
def test_uniform_attention_gives_the_analytic_distance(prefix: int) -> None:
    """In a strip of c patches the mean |i − j| is (c² − 1)/(3c); what goes to other tokens counts as nothing."""
    config = ViTConfig(image_size=(8, 72), patch=8, width=16, depth=2, heads=2, hidden=24, classes=2)
    if prefix == 0:
        config = replace(config, class_token=False, pooling="mean")
    else:
        config = replace(config, registers=prefix - 1)
    model, images = uniform(config), torch.randn(2, 3, 8, 72)
    expected = 8 * (81 - 1) / 27 * 9 / (9 + prefix)
    torch.testing.assert_close(views.attention_distance(model, images), torch.full((2, 2), expected))
    assert views.uniform_distance((1, 9), 8, prefix) == pytest.approx(expected)
    torch.testing.assert_close(views.attended_share(model, images), torch.ones(2, 2))


def test_uniform_attention_on_a_grid() -> None:
    config = ViTConfig(image_size=(24, 40), patch=8, width=16, depth=1, heads=2, hidden=24, classes=2)
    rows, columns = 3, 5
    total = sum(
        (rows - abs(y)) * (columns - abs(x)) * 8 * math.hypot(y, x)  # as many pairs of patches lie y and x apart
        for y in range(1 - rows, rows)
        for x in range(1 - columns, columns)
    )
    got = views.attention_distance(uniform(config), torch.randn(1, 3, 24, 40))
    torch.testing.assert_close(got, torch.full((1, 2), total / 15 / 16))


def test_rollout_of_uniform_attention() -> None:
    """Two layers of (A + I)/2 with A = 1/T: the class token keeps 1/4 + 3/(4T), every other token gives 3/(4T)."""
    config = ViTConfig(image_size=(24, 24), patch=8, width=16, depth=2, heads=2, hidden=24, classes=2)
    model, images = uniform(config), torch.randn(2, 3, 24, 24)
    torch.testing.assert_close(views.rollout(model, images), torch.full((2, 3, 3), 3 / 40))
    torch.testing.assert_close(views.rollout(model, images, residual=False), torch.full((2, 3, 3), 1 / 10))


def test_distances_between_patches() -> None:
    table = patch_distances((2, 3), 16)
    assert table.dtype == torch.float64
    assert table[0].tolist() == [0, 16, 32, 16, pytest.approx(16 * math.sqrt(2)), pytest.approx(16 * math.sqrt(5))]
    assert torch.equal(table, table.T)
