"""The moving average of the weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from vitascope.training.ema import Ema


def test_the_average_follows_its_formula() -> None:
    # The first three steps move it more than the stated decay says; from the fourth on that decay is smaller.
    layer = nn.Linear(1, 1, bias=False)
    nn.init.constant_(layer.weight, 1.0)
    ema = Ema(layer, 0.3)
    average = 1.0
    for step, value in enumerate((3.0, -2.0, 5.0, 7.0, 0.5, 9.0, 4.0, 4.0, 6.0, 8.0)):
        nn.init.constant_(layer.weight, value)
        ema.update(layer, step)
        decay = min(0.3, (1 + step) / (10 + step))
        average = decay * average + (1 - decay) * value
        assert float(ema.tensors["weight"]) == pytest.approx(average, rel=1e-6)


def test_the_average_is_a_copy_that_training_does_not_move() -> None:
    layer = nn.Linear(2, 2)
    ema = Ema(layer, 0.9)
    before = {name: tensor.clone() for name, tensor in ema.tensors.items()}
    with torch.no_grad():
        layer.weight.add_(1)
    assert all(torch.equal(ema.tensors[name], before[name]) for name in before)
    assert set(ema.tensors) == {"weight", "bias"}
