from __future__ import annotations

import subprocess
import sys

import pytest

from vitascope.data.settings import AugmentConfig
from vitascope.errors import ConfigError


@pytest.mark.parametrize(
    "fields",
    [
        {"crop": "random"},
        {"pad_mode": "edge"},
        {"crop_area": (0.0, 1.0)},
        {"crop_area": (0.5, 0.1)},
        {"crop_area": (0.5, 1.5)},
        {"crop_area": 0.5},
        {"crop_ratio": (-1.0, 1.0)},
        {"crop_ratio": (float("nan"), 1.0)},
        {"pad_shift": -1},
        {"pad_shift": 0, "crop": "shift"},
        {"pad_shift": 1.5},
        {"flip": 1},
        {"randaugment_layers": -1},
        {"randaugment_layers": 1.0},
        {"randaugment_magnitude": 10.5},
        {"erasing": 1.5},
        {"mixup": -0.1},
        {"cutmix": float("inf")},
        {"mix_probability": 1.1},
        {"mix_probability": 0.0, "mixup": 0.2},
        {"mix_switch": -0.5},
        # Without effect beside what the others say:
        {"crop_area": (0.3, 1.0), "crop": "none"},
        {"crop_ratio": (1.0, 1.0), "crop": "shift"},
        {"pad_shift": 2},
        {"pad_mode": "zero"},
        {"randaugment_magnitude": 5.0},
        {"mix_probability": 0.5},
        {"mix_switch": 0.2, "mixup": 0.8},
    ],
)
def test_contradictions_fail_at_construction(fields: dict[str, object]) -> None:
    with pytest.raises(ConfigError) as caught:
        AugmentConfig(**fields)  # type: ignore[arg-type]
    assert next(iter(fields)) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_defaults_are_the_papers() -> None:
    config = AugmentConfig()
    assert (config.crop, config.crop_area, config.flip) == ("inception", (0.05, 1.0), True)
    assert not config.mixes
    assert config.randaugment_layers == config.erasing == 0


def test_mixes() -> None:
    assert AugmentConfig(mixup=0.2).mixes
    assert AugmentConfig(cutmix=1.0).mixes


def test_lists_from_a_file_become_tuples() -> None:
    assert AugmentConfig(crop_area=[0.08, 1]) == AugmentConfig(crop_area=(0.08, 1.0))  # type: ignore[arg-type]


def test_settings_do_not_import_torch() -> None:
    code = "import sys, vitascope.data.settings; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
