"""The catalogue: every registered model has a published, pinned number of parameters."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from vitascope.errors import ConfigError
from vitascope.models.catalogue import (
    architecture_name,
    count_parameters,
    create_model,
    empty_model,
    forward_flops,
    model_config,
    model_names,
)
from vitascope.models.config import BiTConfig, ViTConfig

# 1000 classes, 224 pixels. ViTs and hybrids: `models_test.py` of google-research/vision_transformer; ViT-b/32 has the
# sizes of S/32; R50+ViT-B/32 and L/16, of the paper alone, have the stem of L/32 and B/16, the rest of B/32 and L/16.
# ResNets: R50x1, R50x3, R101x1, R101x3, R152x2 and R152x4 agree with timm's table of the released BiT
# models; the other sizes, all small ones among them, were never released and are what this code gives.
PARAMETERS = {
    "ViT-Ti/16": 5_717_416,
    "ViT-S/32": 22_878_952,
    "ViT-S/16": 22_050_664,
    "ViT-b/32": 22_878_952,
    "ViT-B/32": 88_224_232,
    "ViT-B/16": 86_567_656,
    "ViT-B/8": 86_576_872,
    "ViT-L/32": 306_535_400,
    "ViT-L/16": 304_326_632,
    "ViT-H/14": 632_045_800,
    "ViT-128/8": 1_444_200,
    "ViT-256/8": 5_246_696,
    "R+ViT-Ti/16": 6_337_704,
    "R26+ViT-S/32": 36_431_912,
    "R26+ViT-B/32": 101_383_976,
    "R50+ViT-B/16": 98_659_112,
    "R50+ViT-B/32": 110_945_832,
    "R50+ViT-L/16": 316_483_624,
    "R50+ViT-L/32": 328_994_856,
    "R+ViT-128/8": 1_440_776,
    "BiT-R14x½": 3_032_328,
    "BiT-R14x1": 10_057_256,
    "BiT-R26x½": 4_517_768,
    "BiT-R26x1": 15_987_496,
    "BiT-R50x½": 6_913_800,
    "BiT-R50x1": 25_549_352,
    "BiT-R50x2": 97_988_712,
    "BiT-R50x3": 217_319_080,
    "BiT-R50x4": 383_540_456,
    "BiT-R101x1": 44_541_480,
    "BiT-R101x2": 173_852_776,
    "BiT-R101x3": 387_934_888,
    "BiT-R101x4": 686_787_816,
    "BiT-R152x1": 60_185_128,
    "BiT-R152x2": 236_335_208,
    "BiT-R152x3": 528_451_240,
    "BiT-R152x4": 936_533_224,
    "BiT-R200x1": 64_666_152,
    "BiT-R200x2": 254_210_152,
    "BiT-R200x3": 568_633_000,
    "BiT-R200x4": 1_007_934_696,
}


@pytest.mark.parametrize(("name", "millions"), [("ViT-B/16", 86), ("ViT-L/16", 307), ("ViT-H/14", 632)])
def test_sizes_are_those_of_table_1(name: str, millions: int) -> None:
    assert count_parameters(model_config(name, classes=0)) / 1e6 == pytest.approx(millions, rel=0.015)


def test_every_registered_model_is_pinned() -> None:
    assert set(model_names()) == set(PARAMETERS)


@pytest.mark.parametrize("name", model_names())
def test_parameters(name: str) -> None:
    assert count_parameters(model_config(name)) == PARAMETERS[name]


@pytest.mark.parametrize("name", [name for name in model_names() if name != "ViT-b/32"])  # S/32, as the paper calls it
def test_a_model_is_called_by_its_name(name: str) -> None:
    assert architecture_name(model_config(name)) == name


def test_a_half_may_be_written_in_ascii() -> None:
    assert model_config("BiT-R50x0.5") == model_config("BiT-R50x½")


def test_the_patch_number_is_free() -> None:
    config = model_config("ViT-Ti/4", image_size=32, classes=10)
    assert isinstance(config, ViTConfig)
    assert config.grid == (8, 8)
    assert model_config("ViT-S/14").image_size == (224, 224)
    assert model_config("ViT-S/13").image_size == (221, 221)


def test_the_root_only_hybrid_really_has_32_pixels_per_token() -> None:
    config = model_config("R+ViT-Ti/16")
    assert isinstance(config, ViTConfig)
    assert config.pixels_per_token == 32
    assert config.tokens == 50


def test_dropout_of_the_official_configs() -> None:
    rates = {name: getattr(model_config(name), "dropout", None) for name in model_names()}
    assert {name for name, rate in rates.items() if rate == 0.1} == {
        "ViT-L/32", "ViT-L/16", "ViT-H/14", "R50+ViT-B/16", "R50+ViT-L/32", "R50+ViT-L/16",
    }  # fmt: skip
    assert {rate for rate in rates.values() if rate} == {0.1}


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("ViT-B16", {}, "did you mean ViT-B/16"),
        ("ViT-X/16", {}, "no model 'ViT-X/16'"),
        ("ResNet50", {}, "no model 'ResNet50'"),
        ("ViT-Ti/4", {"clases": 3}, "did you mean 'classes'"),
        ("ViT-Ti/4", {"image_size": 30}, "not divisible by 4"),
        ("ViT-Ti/4", {"heads": 5}, "width 192 is not divisible by heads 5"),
        ("ViT-Ti/4", {"depth": 0}, "depth is 0"),
        ("ViT-Ti/4", {"dropout": 1.0}, r"expected a number in \[0, 1\)"),
        ("ViT-Ti/4", {"class_token": False}, "needs class_token=True"),
        ("BiT-R50x1", {"width": 3}, "BiTConfig has no field 'width'"),
        ("BiT-R50x1", {"base_width": 20}, "multiple of 32"),
        ("BiT-R50x1", {"small_images": "no"}, "small_images is 'no', expected true or false"),
        ("BiT-R50x1", {"units": []}, "units is ()"),
        ("BiT-R50x1", {"units": [1, 0]}, "expected a whole number from 1 to 1,024"),
        ("BiT-R50x1", {"units": 3}, "units is 3, expected a few values"),
        ("R26+ViT-S/32", {"stem": {"width_factor": 0.3}}, "width_factor is 0.3"),
        ("R26+ViT-S/32", {"stem": {"width_factor": 0.75}}, "multiple of 32"),
        ("R26+ViT-S/32", {"stem": "big"}, "stem is 'big', expected a StemConfig"),
        ("ViT-Ti/4", {"depth": 10**9}, "depth is 1000000000, expected a whole number from 1 to 1,024"),
        ("ViT-Ti/4", {"classes": 10**5000}, "thousands of digits"),
        ("ViT-Ti/4", {"width": 3 << 18, "depth": 1024}, r"expected at most 8\.6e"),
        ("ViT-Ti/1", {"image_size": 16384}, r"expected at most 8\.6e"),
        ("BiT-R50x1", {"units": [1024, 1024, 1024, 1024, 1024, 1024, 1024]}, r"expected at most 8\.6e"),
        ("ViT-Ti/4", {"norm_eps": float("nan")}, "norm_eps is nan, expected a number"),
        ("ViT-Ti/4", {"layer_scale": 10**400}, "layer_scale is 1000"),
        ("ViT-Ti/4", {"dropout": True}, "dropout is True, expected a number"),
        ("ViT-Ti/4", {"image_size": 224.5}, "image_size is 224.5"),
    ],
)
def test_mistakes_are_named(name: str, changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        model_config(name, **changes)


@pytest.mark.parametrize("name", ["ViT-Ti/8", "R+ViT-Ti/16", "BiT-R50x1"])
def test_a_generator_fixes_the_initial_values(name: str) -> None:
    one, other, third = (
        create_model(name, classes=3, image_size=32, generator=torch.Generator().manual_seed(seed))
        for seed in (1, 1, 2)
    )
    pairs = list(zip(one.parameters(), other.parameters(), third.parameters(), strict=True))
    assert all(torch.equal(a, b) for a, b, _ in pairs)
    assert not all(torch.equal(a, c) for a, _, c in pairs)


@pytest.mark.parametrize("name", ["ViT-Ti/8", "R+ViT-Ti/16", "R26+ViT-S/32", "BiT-R50x1"])
def test_contract_of_every_kind(name: str) -> None:
    model = create_model(name, classes=5, image_size=64, channels=2).eval()
    config = model.config
    for size in ((64, 64), (96, 32)):
        images = torch.randn(2, 2, *size)
        with torch.no_grad():
            assert model(images).shape == (2, 5)
            assert model.features(images).shape == (2, config.features)
            n = (size[0] // config.pixels_per_token) * (size[1] // config.pixels_per_token)
            expected = n + (config.prefix if isinstance(config, ViTConfig) else 0)
            assert model.tokens(images).shape[:2] == (2, expected)
    with pytest.raises(ConfigError, match=r"expected a tensor \(1 or more, 2, height, width\)"):
        model(torch.randn(1, 3, 64, 64))


def test_small_images_keep_the_resnets_resolution() -> None:
    config = model_config("BiT-R50x1", small_images=True, base_width=32, image_size=32, classes=10)
    assert isinstance(config, BiTConfig)
    model = create_model("BiT-R50x1", small_images=True, base_width=32, image_size=32, classes=10)
    assert model.tokens(torch.zeros(1, 3, 32, 32)).shape == (1, 16, config.features)


@pytest.mark.parametrize("name", ["ViT-Ti/16", "R+ViT-Ti/16", "BiT-R50x1"])
def test_operations_are_those_that_pytorch_counts(name: str) -> None:
    config = model_config(name, classes=10, image_size=64)
    with torch.device("meta"), FlopCounterMode(display=False) as counter, torch.no_grad():
        empty_model(config).eval()(torch.empty(1, 3, 64, 64))
    assert forward_flops(config) == counter.get_total_flops() > 1e7


def test_the_work_of_attention_pooling_is_counted() -> None:
    mean = forward_flops(model_config("ViT-Ti/16", pooling="mean", class_token=False))
    attention = forward_flops(model_config("ViT-Ti/16", pooling="attention", class_token=False))
    assert 0 < attention - mean < 0.2 * mean
