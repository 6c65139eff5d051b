"""Every family in every wrapping: the same model as without it, to the bit."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch

import vitascope as vs
from tiny_checkpoint import checkpoint, same
from tiny_families import ROUND_TRIPS
from vitascope.checkpoints.tensor_file import read_tensors
from vitascope.data.preprocess import Preprocess
from vitascope.models.config import ModelConfig
from wrapping import AVERAGED, WRAPPED

OF_ALL = {kind: wrap for kind, wrap in WRAPPED.items() if kind != "MAE"}  # whose decoder has timm's names alone


@pytest.mark.parametrize(("format", "config"), ROUND_TRIPS)
def test_a_family_is_found_in_every_wrapping(
    format: str, config: ModelConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    preprocess = Preprocess(size=config.image_size, channels=config.channels, fit="squash")
    ck, folder = checkpoint(config, preprocess=preprocess), tmp_path / "out"
    vs.save(ck, folder, format=format)
    described = folder.is_dir()
    state = dict(read_tensors(folder / "model.safetensors" if described else folder).tensors)
    if described:
        (folder / "model.safetensors").unlink()
    place = folder / "pytorch_model.bin" if described else tmp_path / "a.pth"
    for kind, wrap in OF_ALL.items():
        torch.save(wrap(state), place)
        caplog.clear()
        with caplog.at_level(logging.INFO):
            back = vs.load(folder if described else place, model=config)
        assert (back.format, back.config) == (format, config), kind
        assert same(back.model, ck.model), kind
        said = [record.message for record in caplog.records if "taken" in record.message]
        assert len(said) <= 1, kind
        if kind in AVERAGED:
            assert "taken: the average, " in said[0], kind
