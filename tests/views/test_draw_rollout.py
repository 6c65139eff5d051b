"""The figure of rollouts takes images as people have them: files, arrays, tensors, one or several."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tiny_checkpoint import checkpoint, noise
from vitascope.errors import ConfigError, ImageError
from vitascope.views import draw_rollout, rollout
from vitascope.views.pixels import as_pixels


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Two photographs of another shape than the grid."""
    paths = [tmp_path / f"{n}.png" for n in range(2)]
    for n, path in enumerate(paths):
        Image.fromarray(np.random.default_rng(n).integers(0, 256, (30, 50, 3), dtype=np.uint8)).save(path)
    return paths


def test_a_row_for_each_image(files: list[Path]) -> None:
    ck = checkpoint()
    images = torch.stack([ck.preprocess(path) for path in files])
    rolled = rollout(ck.model, images)
    for given, how in ((files, None), (images, None), (images, ck.preprocess), (list(map(str, files)), ck.preprocess)):
        drawn = draw_rollout(rolled, given, how)
        assert len(drawn.axes) == 3 * 2 + 1
        assert [axes.get_title() for axes in drawn.axes[:3]] == ["input", "lit by the rollout", "attention rollout"]
    assert len(draw_rollout(rolled[0], files[0]).axes) == 4
    assert len(draw_rollout(rolled[0].numpy(), np.asarray(Image.open(files[0]))).axes) == 4


def test_with_the_preprocessing_images_are_what_the_model_sees(files: list[Path]) -> None:
    ck = checkpoint()
    [seen] = as_pixels(files[0], ck.preprocess, (2, 2))
    assert np.array_equal(seen, ck.preprocess.pixels(files[0]))
    [back] = as_pixels(ck.preprocess(files[0]), ck.preprocess, (2, 2))
    assert np.array_equal(back, seen)


def test_without_it_files_are_cut_to_the_grids_shape_and_tensors_go_from_black_to_white(files: list[Path]) -> None:
    [square] = as_pixels(files[0], None, (2, 2))
    assert np.array_equal(square, np.asarray(Image.open(files[0]))[:, 10:40])
    [wide] = as_pixels(files[0], None, (1, 3))
    assert wide.shape == (17, 50, 3)
    [grey] = as_pixels(noise(1, 16, 16), None, (2, 2))
    assert grey.shape == (16, 16, 3)
    assert (grey.min(), grey.max()) == (0, 255)
    [small] = as_pixels(np.zeros((2000, 2000, 3), np.uint8), None, (2, 2))
    assert small.shape == (512, 512, 3)


def test_what_does_not_belong_together_is_refused(files: list[Path], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"\(2, 3, 3\) for 1 images"):
        draw_rollout(np.ones((2, 3, 3)), files[:1])
    with pytest.raises(ConfigError, match="expected \\(B, C, H, W\\)"):
        draw_rollout(np.ones((1, 3, 3)), noise(16, 16))
    with pytest.raises(ImageError):
        draw_rollout(np.ones((1, 3, 3)), [tmp_path / "nowhere.png"])
