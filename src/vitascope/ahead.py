"""Work that threads do before its turn, while what is done is in use."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Given = TypeVar("Given")
Made = TypeVar("Made")


def ahead(
    make: Callable[[Given], Made], of: Iterable[Given], *, most: int, threads: int
) -> Generator[Made, None, None]:
    """`make` of each in order, by so many threads or one a core, with at most `most` begun before their turn.

    `close()` waits for those under way and begins no more.
    """
    pool = ThreadPoolExecutor(min(os.cpu_count() or 1, threads))
    waiting: deque[Future[Made]] = deque()
    try:
        for each in of:
            waiting.append(pool.submit(make, each))
            if len(waiting) > most:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
