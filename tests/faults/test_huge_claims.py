"""What claims to be enormous is refused before it takes memory or time."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

import vitascope as vs
from vitascope.cli import main
from vitascope.errors import ConfigError


@pytest.mark.parametrize("changes", [{"depth": 10**9}, {"width": 2**40}, {"classes": 10**12}, {"image_size": 2**40}])
def test_a_model_beyond_any_machine(changes: dict[str, int]) -> None:
    start = time.monotonic()
    with pytest.raises(ConfigError, match="expected"):
        vs.create_model("ViT-Ti/16", **changes)
    assert time.monotonic() - start < 1


def test_so_does_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    start = time.monotonic()
    words = ["pretrain", "digits", "--model=ViT-Ti/8", "--model_fields.depth=1000000000", f"--out={tmp_path / 'run'}"]
    assert main(words) == 2
    assert "depth is 1000000000, expected a whole number from 1 to 1,024" in capsys.readouterr().err
    assert time.monotonic() - start < 30
    assert not (tmp_path / "run").exists()
