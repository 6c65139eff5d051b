"""The official initial values (`models_vit.py`, `models_resnet.py`)."""

from __future__ import annotations

import copy
import math

import pytest
import torch

from vitascope.errors import ConfigError
from vitascope.models.catalogue import create_model
from vitascope.models.initialise import zero_residuals
from vitascope.models.vit import ViT


@pytest.fixture(scope="module")
def vit() -> ViT:
    generator = torch.Generator().manual_seed(0)
    changes = {"image_size": 64, "classes": 7, "representation_size": 192, "registers": 2, "head_bias": -10.0}
    model = create_model("ViT-Ti/8", generator=generator, **changes)
    assert isinstance(model, ViT)
    return model.requires_grad_(False)


def test_q_k_v_are_xavier_uniform_each_on_its_own(vit: ViT) -> None:
    d = 192
    bound = math.sqrt(6 / (d + d))
    for kernel in vit.encoder.blocks[3].attention.qkv.weight.chunk(3):  # type: ignore[union-attr,operator]
        assert float(kernel.abs().max()) <= bound
        assert float(kernel.abs().max()) > 0.99 * bound
        assert float(kernel.std()) == pytest.approx(bound / math.sqrt(3), rel=0.02)
    # One tensor of 3D×D would have had a smaller bound.
    assert bound > 1.3 * math.sqrt(6 / (3 * d + d))


def test_mlp(vit: ViT) -> None:
    mlp = vit.encoder.blocks[0].mlp
    bound = math.sqrt(6 / (192 + 768))
    for layer in (mlp.fc1, mlp.fc2):  # type: ignore[union-attr]
        assert 0.99 * bound < float(layer.weight.abs().max()) <= bound
        assert float(layer.bias.std()) == pytest.approx(1e-6, rel=0.15)


def test_lecun_normal_of_patches_and_hidden_layer(vit: ViT) -> None:
    assert vit.head.hidden is not None
    for kernel, fan_in in ((vit.patches.projection.weight, 3 * 8 * 8), (vit.head.hidden.weight, 192)):
        std = math.sqrt(1 / fan_in)
        assert float(kernel.std()) == pytest.approx(std, rel=0.03)
        assert float(kernel.abs().max()) <= 2 * std / 0.87962566 * 1.0001


def test_tokens_positions_and_head(vit: ViT) -> None:
    e = vit.embedding
    assert e.class_token is not None
    assert e.positions is not None
    assert e.positions.table is not None
    assert vit.head.linear is not None
    assert not e.class_token.any()
    assert float(e.positions.table.std()) == pytest.approx(0.02, rel=0.03)
    assert not vit.head.linear.weight.any()
    assert (vit.head.linear.bias == -10).all()


def test_every_unit_of_the_stem_starts_as_its_shortcut() -> None:
    model = create_model("R26+ViT-S/32", image_size=32, classes=2)
    assert isinstance(model, ViT)
    assert model.stem is not None
    for stage in model.stem.stages:
        for unit in stage:  # type: ignore[attr-defined]
            assert not unit.norm3.weight.any()
            assert (unit.norm1.weight == 1).all()


def test_no_parameter_is_left_unwritten() -> None:
    for name in ("ViT-Ti/8", "R26+ViT-S/32", "BiT-R50x1"):
        for seed in (0, 1):
            model = create_model(name, image_size=32, classes=2, generator=torch.Generator().manual_seed(seed))
            for parameter_name, parameter in model.requires_grad_(False).named_parameters():
                assert torch.isfinite(parameter).all(), parameter_name
                assert float(parameter.abs().max()) <= 2.5, parameter_name


def test_with_zero_residuals_every_block_is_the_identity(vit: ViT) -> None:
    model = copy.deepcopy(vit)
    x = torch.randn(2, 5, 192)
    assert not torch.equal(model.encoder.blocks[0](x), x)
    zero_residuals(model)
    for block in model.encoder.blocks:
        torch.testing.assert_close(block(x), x, rtol=0, atol=1e-4)  # fc2's bias is not quite zero


def test_resnets_have_no_blocks_to_start_so() -> None:
    model = create_model("BiT-R50x1", classes=2, base_width=32, units=(1, 1))
    with pytest.raises(ConfigError, match="zero_residuals is for a ViT's blocks"):
        zero_residuals(model)
