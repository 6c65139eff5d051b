"""Asking a run to stop: SIGTERM and Ctrl-C raise a flag that is looked at between steps and between batches."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType


class StopFlag:
    """Within its context the first signal is remembered in `number`; a second Ctrl-C interrupts at once.

    One that came too late for anybody to raise an error because of it is sent again at the end of the context.
    """

    SIGNALS = (signal.SIGTERM, signal.SIGINT)

    def __init__(self) -> None:
        self.number: int = 0
        self._before: dict[int, object] = {}

    def __enter__(self) -> StopFlag:
        if threading.current_thread() is threading.main_thread():  # elsewhere Python allows no handlers
            for number in self.SIGNALS:
                self._before[number] = signal.signal(number, self._raise)
        return self

    def __exit__(self, kind: type[BaseException] | None, value: object, trace: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        heard_by_us = bool(self._before)
        self._before.clear()
        if heard_by_us and kind is None and self.number:
            signal.raise_signal(self.number)

    def _raise(self, number: int, frame: FrameType | None) -> None:
        if self.number and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.number = self.number or number
