"""A server computes with the engine it is told."""

from __future__ import annotations

import numpy as np
import pytest

from optional import needs
from tiny_checkpoint import checkpoint
from vitascope.errors import ConfigError
from vitascope.inference.engines.openvino import OpenVinoEngine
from vitascope.web.engine import Engine


def test_outputs_are_those_of_the_engine_and_equal() -> None:
    needs("openvino")
    images = np.random.default_rng(0).normal(size=(3, 3, 16, 16)).astype(np.float32)
    plain, other = (Engine(checkpoint(), max_pixels=10**6, engine=name, batch=4) for name in ("eager", "openvino"))
    assert isinstance(other._forward, OpenVinoEngine)
    np.testing.assert_allclose(other.forward(images), plain.forward(images), atol=1e-5)


def test_an_unknown_engine_is_refused() -> None:
    with pytest.raises(ConfigError, match="expected one of auto, eager"):
        Engine(checkpoint(), max_pixels=10**6, engine="warp")
