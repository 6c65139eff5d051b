"""Configs: JSON and back, and what follows from the fields."""

from __future__ import annotations

import json

import pytest

from vitascope.errors import ConfigError
from vitascope.fields import height_width
from vitascope.models.catalogue import model_config, model_names
from vitascope.models.config import config_from_dict, config_to_dict


@pytest.mark.parametrize("name", model_names())
def test_json_round_trip(name: str) -> None:
    config = model_config(name)
    assert config_from_dict(json.loads(json.dumps(config_to_dict(config)))) == config


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "architecture is None"),
        ({"architecture": "vgg"}, "expected one of vit, bit"),
        ({"architecture": "vit", "widht": 3}, "did you mean 'width'"),
        ({"architecture": "vit", "stem": {"unit": 3}}, "did you mean 'units'"),
        ({"architecture": "vit", "width": "wide"}, "width is 'wide'"),
    ],
)
def test_what_is_wrong_in_a_file_is_named(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config_from_dict(values)


def test_height_and_width() -> None:
    assert height_width(32, "image_size") == (32, 32)
    assert height_width([32, 48], "image_size") == (32, 48)
    for wrong in (0, -1, (3, 4, 5), (3, 0), "32"):
        with pytest.raises(ConfigError, match="image_size is"):
            height_width(wrong, "image_size")
