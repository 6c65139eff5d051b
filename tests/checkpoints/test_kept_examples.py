"""A run's few photographs lie beside its model, small, and whatever is wrong with them is no error."""

from __future__ import annotations

import io
import json
import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import vitascope as vs
from serving import png
from tiny_checkpoint import checkpoint
from vitascope.checkpoints.kept_examples import KeptExample, read_examples, small_file, write_examples


@pytest.fixture
def run(tmp_path: Path) -> Path:
    vs.save(checkpoint(), tmp_path / "run" / "model")
    return tmp_path / "run"


def test_what_is_written_is_read_of_the_run_and_of_its_model(run: Path) -> None:
    kept = [KeptExample(label=label, split="test", content=png()) for label in ("ant", "<b>\udce9")]
    write_examples(run, kept)
    assert read_examples(str(run)) == read_examples(str(run / "model")) == kept
    write_examples(run, [])
    assert not (run / "examples.json").exists()
    assert read_examples(str(run)) == []


def test_a_bare_checkpoint_has_none(tmp_path: Path) -> None:
    vs.save(checkpoint(), tmp_path / "bare")
    write_examples(tmp_path, [KeptExample(label="a", split="test", content=b"x")])
    assert read_examples(str(tmp_path / "bare")) == []


@pytest.mark.parametrize("text", ["", "[]", '{"examples": 3}', '{"examples": [{"label": "a"}]}', "[" * 100_000])
def test_a_damaged_file_is_passed_over_with_a_warning(run: Path, text: str, caplog: pytest.LogCaptureFixture) -> None:
    (run / "examples.json").write_text(text)
    with caplog.at_level(logging.WARNING):
        assert read_examples(str(run)) == []
    assert "no photographs of the run are shown" in caplog.text


@pytest.mark.parametrize(
    ("shape", "size", "format"),
    [((300, 400, 3), (160, 120), "JPEG"), ((8, 8, 3), (8, 8), "PNG"), ((100, 5000, 3), (5000, 100), "JPEG")],
)
def test_large_photographs_become_small_and_small_pictures_stay_as_they_are(
    shape: tuple[int, ...], size: tuple[int, int], format: str
) -> None:
    image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    with Image.open(io.BytesIO(small_file(image, 120))) as opened:
        assert (opened.size, opened.format) == (size, format)
        if format == "PNG":
            assert np.array_equal(np.asarray(opened), image)


def test_the_file_is_json_that_others_read(run: Path) -> None:
    write_examples(run, [KeptExample(label="a", split="validation", content=b"\x00\xff")])
    [row] = json.loads((run / "examples.json").read_text())["examples"]
    assert row == {"label": "a", "split": "validation", "content": "AP8="}


def test_one_that_is_no_picture_is_damage(run: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_examples(run, [KeptExample(label="a", split="test", content=b"no picture")])
    assert read_examples(str(run)) == []
    assert "no photographs of the run are shown" in caplog.text
