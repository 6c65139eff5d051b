"""Reading a whole source: every image in order, decoded ahead by threads as far as memory allows."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from vitascope.data.images import UInt8
from vitascope.data.remarks import Remarks
from vitascope.data.source import Source
from vitascope.errors import ImageError

Progress = Callable[[int, int], None]
"""Called as progress(done, total) from the caller's own thread."""

SAMPLED = 16
"""Images decoded to guess the size of all."""
IN_FLIGHT = 1 << 30
"""Bytes of images that are being decoded or wait for their reader: four photographs of 24 million pixels at a time."""
_WORTH_A_THREAD = 100_000  # bytes decoded; handing smaller images between threads takes longer than decoding them
_TOGETHER = 64  # generated images made at once
_AHEAD = 2  # images for each thread that are begun before their turn
_WHILE_DECODING = 3  # times its size: Pillow keeps four bytes a pixel, and hands them over in a copy


def estimate_bytes(source: Source, remarks: Remarks | None = None) -> int:
    """About how many bytes all images take decoded, from up to 16 readable ones spread evenly."""
    spread = np.unique(np.linspace(0, len(source) - 1, SAMPLED).astype(int)).tolist() if len(source) else []
    sizes = [size for index in spread if (size := _size(_one(source, index, remarks or Remarks())))]
    return round(float(np.mean(sizes)) * len(source)) if sizes else 0


def decode_all(
    source: Source, *, workers: int | None = None, in_flight: int = IN_FLIGHT, remarks: Remarks | None = None
) -> Iterator[UInt8 | ImageError]:
    """Every image in order, or the ImageError it raised; what is odd about them is counted in `remarks`.

    Decoded by `workers` threads; by default by one per core, or by the caller's own where the images are small or
    generated together. At most `in_flight` bytes are in use for images not yet taken, or one image, whatever its size.
    """
    if source.together:
        for start in range(0, len(source), _TOGETHER):
            yield from source.read_many(range(start, min(start + _TOGETHER, len(source))))
        return
    remarks = Remarks() if remarks is None else remarks
    largest = 0
    for index in range(len(source)):
        if index >= SAMPLED and (workers is not None or largest >= _WORTH_A_THREAD):
            break
        image = _one(source, index, remarks)
        largest = max(largest, _size(image)) if index < SAMPLED else largest
        yield image
    else:
        return
    threads = max(min(workers or min(os.cpu_count() or 1, 16), in_flight // (_WHILE_DECODING * max(largest, 1))), 1)
    pool = ThreadPoolExecutor(threads)
    waiting: deque[Future[UInt8 | ImageError]] = deque()

    def full() -> bool:
        """Whether another image must wait: until one is decoded it counts as three times the largest so far."""
        nonlocal largest
        done = [_size(image.result()) for image in waiting if image.done()]
        largest = max(largest, *done, 0)
        undone = len(waiting) - len(done) + 1
        return undone > _AHEAD * threads or sum(done) + undone * _WHILE_DECODING * largest > in_flight

    try:
        for submitted in range(index, len(source)):
            while waiting and full():
                image = waiting.popleft().result()
                largest = max(largest, _size(image))
                yield image
            waiting.append(pool.submit(_one, source, submitted, remarks))
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _one(source: Source, index: int, remarks: Remarks) -> UInt8 | ImageError:
    """An image or why there is none; what is odd about it goes to `remarks`."""
    with remarks.about(source.describe(index)):
        try:
            return source[index]
        except ImageError as error:
            return error


def _size(image: UInt8 | ImageError) -> int:
    return 0 if isinstance(image, ImageError) else image.nbytes
