"""Evaluation: each image once, in evaluation mode, whatever the batches and processes."""

from __future__ import annotations

import multiprocessing

import numpy as np
import pytest
import torch
from torch import nn

from tiny import CLASSES, FIELDS, SIDE, source
from vitascope.data.preprocess import Preprocess
from vitascope.data.source import Source
from vitascope.errors import ImageError
from vitascope.evaluation.evaluate import evaluate
from vitascope.evaluation.metrics import Tally
from vitascope.models.catalogue import create_model
from vitascope.models.vit import ViT

PREPROCESS = Preprocess(size=(SIDE, SIDE))


@pytest.fixture(scope="module")
def model() -> ViT:
    torch.manual_seed(0)
    made = create_model("ViT-Ti/8", **FIELDS, classes=3, image_size=SIDE, dropout=0.5)
    assert isinstance(made, ViT)
    nn.init.normal_(made.head.linear.weight)
    return made


class Counting(nn.Module):
    """Sees which images come, and in which mode."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[bytes] = []
        self.sizes: list[int] = []

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        assert not self.training
        assert not torch.is_grad_enabled()
        self.seen += [image.numpy().tobytes() for image in images]
        self.sizes.append(len(images))
        return torch.zeros(len(images), 3)


def test_every_image_is_seen_once_also_in_a_last_batch_of_one() -> None:
    counting = Counting()
    tally = evaluate(counting, source(11), PREPROCESS, batch=5)
    assert counting.sizes == [5, 5, 1]
    assert len(set(counting.seen)) == 11
    assert tally.images == 11


def test_workers_change_nothing_and_are_gone_afterwards(model: ViT) -> None:
    def stop(done: int) -> None:
        if done == 4:
            raise KeyboardInterrupt

    plain, read = (evaluate(model, source(11), PREPROCESS, batch=4, workers=workers) for workers in (0, 2))
    assert np.array_equal(read.vector(), plain.vector())
    assert read.images == 11
    with pytest.raises(KeyboardInterrupt):
        evaluate(model, source(11), PREPROCESS, batch=4, workers=2, each_batch=stop)
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize("processes", [2, 3, 12])
def test_shares_of_processes_are_together_the_whole(model: ViT, processes: int) -> None:
    whole = evaluate(model, source(11), PREPROCESS, batch=4)
    shares = [
        evaluate(model, source(11), PREPROCESS, batch=4, rank=rank, processes=processes) for rank in range(processes)
    ]
    assert sum(share.images for share in shares) == 11
    total = Tally(3)
    total.restore(np.sum([share.vector() for share in shares], axis=0))
    assert np.array_equal(total.confusion, whole.confusion)
    assert total.summary() == pytest.approx(whole.summary(), rel=1e-5)


@pytest.mark.parametrize("training", [True, False])
def test_the_models_mode_comes_back(model: ViT, training: bool) -> None:
    model.train(training)
    first = evaluate(model, source(6), PREPROCESS).summary()
    assert model.training == training
    assert evaluate(model, source(6), PREPROCESS).summary() == first  # no dropout


def test_the_mode_comes_back_after_a_fault(model: ViT) -> None:
    class Broken(Source):
        name, classes, labels = "broken", CLASSES, np.zeros(3, np.int64)

        def __getitem__(self, index: int) -> np.ndarray:
            raise ImageError("photo.jpg: truncated")

    model.train()
    with pytest.raises(ImageError, match=r"photo\.jpg"):
        evaluate(model, Broken(), PREPROCESS)
    assert model.training


def test_progress_is_told_and_may_stop(model: ViT) -> None:
    told: list[int] = []

    def each(done: int) -> None:
        told.append(done)
        if done >= 8:
            raise StopIteration

    with pytest.raises(StopIteration):
        evaluate(model, source(20), PREPROCESS, batch=4, each_batch=each)
    assert told == [4, 8]


def test_bfloat16_differs_a_little(model: ViT) -> None:
    exact = evaluate(model, source(11), PREPROCESS).summary()["loss"]
    rounded = evaluate(model, source(11), PREPROCESS, precision="bfloat16").summary()["loss"]
    assert rounded != exact
    assert rounded == pytest.approx(exact, rel=0.05)
