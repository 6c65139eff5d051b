"""A job: whose images a process sees, how often things happen, and what becomes of one image."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tiny import PLAIN, RICH, SIDE, source
from vitascope.data.preprocess import Preprocess
from vitascope.errors import ConfigError
from vitascope.training.job import Job
from vitascope.training.parallel import World
from vitascope.training.train_settings import TrainSettings


def job(steps: int = 8, channels: int = 3, **changes: Any) -> Job:
    return Job(
        settings=TrainSettings(**{"batch": 6, "seed": 5, "augment": PLAIN, **changes}),
        steps=steps,
        train=source(20),
        validation=None,
        preprocess=Preprocess(size=(SIDE, 2 * SIDE), channels=channels),
        folder=Path("run"),
    )


def test_the_order_is_this_processes_share_of_the_settings_batch() -> None:
    whole = job().order(World())
    assert (whole.size, whole.batch, whole.seed) == (20, 6, 5)
    shares = [job().order(World(rank=rank, size=2)).items(3) for rank in range(2)]
    assert [len(share) for share in shares] == [3, 3]
    assert shares[0] + shares[1] == whole.items(3)
    with pytest.raises(ConfigError, match="batch 6 cannot be shared equally by 4 processes"):
        job().order(World(size=4))


@pytest.mark.parametrize(("steps", "wanted", "interval"), [(100, None, 10), (101, None, 11), (3, None, 1), (100, 7, 7)])
def test_an_interval_is_what_was_asked_for_or_ten_in_the_run(steps: int, wanted: int | None, interval: int) -> None:
    assert job(steps).every(wanted) == interval


def test_the_classes_are_those_of_the_training_images() -> None:
    assert job().classes == 3


@pytest.mark.parametrize("channels", [1, 3])
def test_one_image_becomes_what_the_model_sees_and_workers_can_be_sent_how(channels: int) -> None:
    transform = pickle.loads(pickle.dumps(job(channels=channels, augment=RICH).transform()))
    image = source(1)[0]
    before = image.copy()
    one, same, other = (transform(image, np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert (one.shape, one.dtype) == ((SIDE, 2 * SIDE, channels), np.uint8)
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
    assert np.array_equal(image, before)
