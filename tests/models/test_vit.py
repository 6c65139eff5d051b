"""What the forward pass computes in training, where it leaves out what the head does not read."""

from __future__ import annotations

import pytest
import torch

from vitascope.errors import ConfigError
from vitascope.models.catalogue import create_model


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"registers": 2},
        {"qkv_bias": False},
        {"head_width": 10, "patch_norms": True},
        {"norm_before": True, "gelu": "quick"},
        {"representation_size": 6, "representation_activation": "none"},
        {"pooling": "attention"},
        {"positions": "rotary", "width": 16},
        {"pooling": "mean"},
        {"pooling": "token+mean"},
        {"pooling": "token+distillation", "registers": 1},
        {"norm": "pooled"},
        {"depth": 1, "representation_size": 8},
    ],
    ids=str,
)
def test_logits_in_training_are_those_in_evaluation(fields: dict[str, object]) -> None:
    small = {"image_size": 16, "width": 12, "heads": 2, "hidden": 24, "depth": 2, "classes": 3}
    model = create_model("ViT-Ti/8", **(small | fields), generator=torch.Generator().manual_seed(0))  # type: ignore[arg-type]
    torch.nn.init.normal_(model.head.linear.weight)
    images = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(model.train()(images), model.eval()(images))


def test_rotary_positions_refuse_what_leaves_patches_out() -> None:
    small = {"image_size": 16, "heads": 2, "hidden": 24, "depth": 2, "positions": "rotary"}
    model = create_model("ViT-Ti/8", width=16, **small)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="drop_tokens"):
        model(torch.zeros(1, 3, 16, 16), drop_tokens=0.5)
    with pytest.raises(ConfigError, match="multiple of 4"):
        create_model("ViT-Ti/8", width=12, **small)  # type: ignore[arg-type]


def test_only_training_leaves_tokens_out() -> None:
    model = create_model("ViT-Ti/8", image_size=16, width=12, heads=2, hidden=24, depth=2, classes=3)
    shapes: list[torch.Size] = []
    model.encoder.blocks[-1].register_forward_hook(lambda _module, _inputs, output: shapes.append(output.shape))
    images = torch.randn(2, 3, 16, 16)
    model.train()(images)
    model.eval()(images)
    model.train().tokens(images)
    assert shapes == [(2, 1, 12), (2, 5, 12), (2, 5, 12)]
