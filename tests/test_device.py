from __future__ import annotations

import pytest
import torch

from vitascope.device import resolve_device
from vitascope.errors import ConfigError


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_the_cpu_is_taken_and_a_gpu_is_refused_in_one_line() -> None:
    assert resolve_device(None) == torch.device("cpu")
    with pytest.raises(
        ConfigError, match=r"device 'cuda' cannot be used here \(.*\); use cpu, or leave it out"
    ) as caught:
        resolve_device("cuda")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["abacus", "cuda:99", ""])
def test_a_device_that_is_not_there_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"device '{name}' cannot be used here"):
        resolve_device(name)
