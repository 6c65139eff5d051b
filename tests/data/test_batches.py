"""Order and randomness of training images: functions of the seed and the step, of nothing else."""

from __future__ import annotations

import multiprocessing
import os
import signal
import weakref
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tiny import SIDE, source
from vitascope.data.augment import Augment
from vitascope.data.batches import Batch, Order, evaluation_batches, permutation, training_batches
from vitascope.data.kept import in_memory
from vitascope.data.preprocess import Preprocess, to_tensor
from vitascope.data.settings import AugmentConfig
from vitascope.data.source import Source, View
from vitascope.data.sources.folder import open_folder
from vitascope.errors import ConfigError, DataError, ImageError

PREPROCESS = Preprocess(size=(SIDE, SIDE))
AUGMENT = Augment(AugmentConfig(randaugment_layers=2, erasing=0.5), PREPROCESS)


def order(**changes: int) -> Order:
    return Order(**{"size": 10, "batch": 4, "seed": 3, **changes})


def test_a_steps_items_need_no_history() -> None:
    forwards = order()
    first = [forwards.items(step) for step in range(40)]
    permutation.cache_clear()
    backwards = order()
    assert [backwards.items(step) for step in reversed(range(40))] == first[::-1]


def test_every_epoch_is_a_permutation_and_another_one() -> None:
    items = [item for step in range(10) for item in order().items(step)]  # 40 images: four epochs
    epochs = [[index for epoch, index in items if epoch == e] for e in range(4)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 4
    assert [epoch for epoch, _ in items] == sorted(epoch for epoch, _ in items)


def test_the_seed_decides_the_order() -> None:
    assert order(seed=4).items(0) != order().items(0)
    assert order(seed=3).items(7) == order().items(7)


def test_a_batch_may_be_larger_than_the_data() -> None:
    items = order(size=3, batch=8).items(0)
    assert Counter(index for epoch, index in items if epoch < 2) == {0: 2, 1: 2, 2: 2}
    assert [epoch for epoch, _ in items] == [0, 0, 0, 1, 1, 1, 2, 2]


def test_epochs_count_passes_over_the_data() -> None:
    assert [order().epoch(step) for step in (0, 5, 10)] == [0.0, 2.0, 4.0]


@pytest.mark.parametrize("processes", [1, 2, 4])
def test_shares_of_processes_are_together_what_one_process_sees(processes: int) -> None:
    for step in range(7):
        shares = [order(rank=rank, processes=processes).items(step) for rank in range(processes)]
        assert [item for share in shares for item in share] == order().items(step)
        assert {len(share) for share in shares} == {4 // processes}


def test_a_batch_that_cannot_be_shared_equally_is_refused() -> None:
    with pytest.raises(ConfigError, match="batch 4 cannot be shared equally by 3 processes; choose a --batch"):
        order(processes=3)


def test_no_images_are_refused() -> None:
    with pytest.raises(DataError, match="empty"):
        order(size=0)


def stream(start: int = 0, stop: int = 6, workers: int = 0, seed: int = 3) -> list[Batch]:
    return list(training_batches(source(10), AUGMENT, order(seed=seed), start, stop, workers))


def equal(a: list[Batch], b: list[Batch]) -> bool:
    return len(a) == len(b) and all(
        torch.equal(x, y) for p, q in zip(a, b, strict=True) for x, y in zip(p, q, strict=True)
    )


def test_a_batch_is_uint8_images_with_their_labels() -> None:
    (images, labels), *_ = stream()
    assert (images.dtype, images.shape) == (torch.uint8, (4, 3, SIDE, SIDE))
    assert labels.tolist() == [source(10).labels[index] for _, index in order().items(0)]


def test_the_stream_may_begin_anywhere() -> None:
    assert equal(stream(2), stream()[2:])
    assert stream(6) == []


def test_workers_do_not_change_the_stream() -> None:
    assert equal(stream(workers=2), stream())


@pytest.mark.skipif(not hasattr(signal, "alarm"), reason="signals of POSIX")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_workers_work_on_after_a_signal_so_that_the_run_can_save(number: int) -> None:
    batches = training_batches(source(10), AUGMENT, order(), 0, 12, workers=1)
    first = next(batches)
    (worker,) = multiprocessing.active_children()
    assert worker.pid is not None
    os.kill(worker.pid, number)
    assert equal([first, *batches], stream(0, 12))


def test_closing_the_stream_ends_its_workers() -> None:
    batches = training_batches(source(10), AUGMENT, order(), 0, 100, workers=2)
    next(batches)
    assert len(multiprocessing.active_children()) == 2
    batches.close()
    assert multiprocessing.active_children() == []


def test_the_global_random_state_does_not_change_the_stream() -> None:
    expected = stream()
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002
    assert equal(stream(), expected)


def test_the_seed_decides_the_augmentation_too() -> None:
    def of(seed: int, epoch: int) -> np.ndarray:
        steps = stream(epoch * 5 // 2, epoch * 5 // 2 + 3, seed=seed)
        images = torch.cat([images for images, _ in steps])
        items = [item for s in range(epoch * 5 // 2, epoch * 5 // 2 + 3) for item in order(seed=seed).items(s)]
        return images[items.index((epoch, 7))].numpy()

    assert not np.array_equal(of(3, 0), of(4, 0))
    assert not np.array_equal(of(3, 0), of(3, 2))  # each epoch draws anew
    assert np.array_equal(of(3, 2), of(3, 2))


def test_a_source_that_renders_many_at_once_is_asked_for_a_whole_step() -> None:
    class Rendering(Source):
        name, classes, together = "rendering", ("a", "b"), True
        labels = np.arange(10, dtype=np.int64) % 2

        def __init__(self) -> None:
            self.asked: list[list[int]] = []

        def __getitem__(self, index: int) -> np.ndarray:
            raise AssertionError("one by one")

        def read_many(self, indices: Sequence[int]) -> list[np.ndarray]:
            self.asked.append(list(indices))
            return [np.full((SIDE, SIDE, 3), index, np.uint8) for index in indices]

    made = Rendering()
    images, labels = next(training_batches(made, lambda picture, rng: picture.read(), order(), 1, 2))
    assert made.asked == [[index for _, index in order().items(1)]]
    assert images[:, 0, 0, 0].tolist() == made.asked[0]
    assert labels.tolist() == [index % 2 for index in made.asked[0]]


@pytest.mark.parametrize("workers", [0, 1])
def test_an_unreadable_image_is_named_whoever_reads_it(workers: int) -> None:
    class Broken(Source):
        name, classes, labels = "broken", ("a", "b"), np.zeros(10, np.int64)

        def __getitem__(self, index: int) -> np.ndarray:
            raise ImageError(f"photo-{index}.jpg: truncated")

    stream = training_batches(Broken(), AUGMENT, order(), 0, 1, workers)
    with pytest.raises(ImageError, match=r"^photo-\d\.jpg: truncated$"):
        next(stream)
    judged = evaluation_batches(Broken(), PREPROCESS.resize, 4, workers=workers)
    with pytest.raises(ImageError, match=r"^photo-0\.jpg: truncated$"):
        next(judged)


@pytest.mark.parametrize("processes", [1, 2, 3, 20])
@pytest.mark.parametrize("batch", [1, 4, 10, 64])
def test_evaluation_sees_every_image_once(processes: int, batch: int) -> None:
    data = source(11)  # odd, and not divisible by any of the batches or processes but one
    seen = [
        (images, labels)
        for rank in range(processes)
        for images, labels in evaluation_batches(data, lambda image: image, batch, rank, processes)
    ]
    assert all(0 < len(labels) <= batch for _, labels in seen)
    rows = Counter(image.numpy().tobytes() for images, _ in seen for image in images)
    assert rows == Counter(image.transpose(2, 0, 1).tobytes() for image in data.images)
    assert sorted(label for _, labels in seen for label in labels.tolist()) == sorted(data.labels)


def evaluated(workers: int, rank: int = 0, processes: int = 1) -> list[Batch]:
    return list(evaluation_batches(source(11), PREPROCESS.resize, 4, rank, processes, workers))


@pytest.mark.parametrize("processes", [1, 2])
def test_workers_do_not_change_an_evaluation(processes: int) -> None:
    for rank in range(processes):
        assert equal(evaluated(2, rank, processes), evaluated(0, rank, processes))


def test_an_evaluation_has_no_more_workers_than_batches_and_ends_them() -> None:
    batches = evaluation_batches(source(11), PREPROCESS.resize, 8, workers=3)
    next(batches)
    assert len(multiprocessing.active_children()) == 2
    batches.close()
    assert multiprocessing.active_children() == []
    assert list(evaluation_batches(source(2), PREPROCESS.resize, 4, rank=3, processes=4, workers=2)) == []


def test_reading_leaves_the_global_random_state_alone() -> None:
    before = torch.get_rng_state()
    evaluated(0)
    stream()
    assert torch.equal(torch.get_rng_state(), before)


def test_images_of_any_layout_in_memory_become_a_batch() -> None:
    image = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 4, 3)
    planes = np.ascontiguousarray(image.transpose(2, 0, 1)).transpose(1, 2, 0)
    fixed = image.copy()
    fixed.flags.writeable = False
    batch = to_tensor([image, planes, fixed, np.repeat(image, 2, axis=1)[:, ::2]])
    assert batch.is_contiguous()
    assert batch.shape == (4, 3, 2, 4)
    for one in batch:
        assert np.array_equal(one.permute(1, 2, 0), image)


def test_files_train_as_their_pixels_in_memory_do(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (6, 90, 70, 3), dtype=np.uint8)
    for i, pixels in enumerate(noise):
        (tmp_path / f"{i % 2}").mkdir(exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / f"{i % 2}" / f"{i}.{'png' if i == 3 else 'jpg'}")
    files = open_folder(tmp_path).train
    assert files is not None
    held = in_memory(files, 10**9)
    rest = View(files, np.array([5, 0, 3, 1]), "rest")
    for one, other in ((files, held), (rest, in_memory(rest, 10**9))):
        batches = [list(training_batches(source, AUGMENT, order(size=len(source)), 0, 5)) for source in (one, other)]
        for (images, labels), (same_images, same_labels) in zip(*batches, strict=True):
            assert torch.equal(images, same_images)
            assert torch.equal(labels, same_labels)


class Counted(Source):
    """Images that are counted while anything still holds them."""

    name, classes = "counted", ("a", "b")

    def __init__(self, size: int) -> None:
        self.labels = np.zeros(size, dtype=np.int64)
        self.alive = self.most = self.made = 0

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> np.ndarray:
        image = np.zeros((SIDE, SIDE, 3), dtype=np.uint8)
        self.alive, self.made = self.alive + 1, self.made + 1
        self.most = max(self.most, self.alive)
        weakref.finalize(image, self.gone)
        return image

    def gone(self) -> None:
        self.alive -= 1

    def describe(self, index: int) -> str:
        return str(index)


def test_no_more_than_a_batch_of_images_is_held() -> None:
    counted = Counted(1000)
    plain = Augment(AugmentConfig(), PREPROCESS)
    for images, _ in training_batches(counted, plain, order(size=1000, batch=10), 0, 150):
        assert len(images) == 10
    assert counted.made == 1500
    assert counted.most <= 2 * 10  # images of one batch, some of which still wait to be let go
    assert counted.alive <= 1


def test_the_order_of_an_epoch_takes_eight_bytes_an_image() -> None:
    permutation.cache_clear()
    orders = [permutation(0, epoch, 1000) for epoch in range(5)]
    assert {found.nbytes for found in orders} == {8000}
    assert permutation.cache_info().currsize == 2  # a batch may see the end of one epoch and the start of the next
