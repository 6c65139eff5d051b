"""Asking a run to stop: SIGTERM and Ctrl-C raise a flag that is looked at between steps and between batches."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from types import FrameType, TracebackType

log = logging.getLogger(__name__)

_PATIENCE = 1.0
"""Seconds after which a signal ends a process that has nothing to save and is deep in a product."""


class StopFlag:
    """Within its context the first signal is remembered in `number`; a second Ctrl-C interrupts at once.

    One that came too late for anybody to raise an error because of it is sent again at the end of the context. While
    `hurry` is true, nothing has been done that is worth saving, and the process ends within a second or so: Python
    hears of signals only when torch comes back from what it computes, so a thread of its own watches for them.
    """

    SIGNALS = (signal.SIGTERM, signal.SIGINT)

    def __init__(self, hurry: bool = False) -> None:
        self.number: int = 0
        self.hurry = hurry
        self._before: dict[int, object] = {}
        self._left = threading.Event()
        self._pipe: tuple[int, int] | None = None

    def __enter__(self) -> StopFlag:
        if threading.current_thread() is threading.main_thread():  # elsewhere Python allows no handlers
            for number in self.SIGNALS:
                self._before[number] = signal.signal(number, self._raise)
            if self.hurry:
                self._pipe = os.pipe()
                os.set_blocking(self._pipe[1], False)
                signal.set_wakeup_fd(self._pipe[1], warn_on_full_buffer=False)
                threading.Thread(target=self._watch, args=(self._pipe[0],), daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: object, trace: TracebackType | None) -> None:
        self._left.set()
        if self._pipe is not None:
            signal.set_wakeup_fd(-1)
            os.close(self._pipe[1])  # the watch ends
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

    def _watch(self, pipe: int) -> None:
        while heard := os.read(pipe, 1):
            if heard[0] in self.SIGNALS and not self._left.wait(_PATIENCE) and self.hurry:
                log.warning("stopped by %s before the first step: nothing to save", signal.Signals(heard[0]).name)
                sys.stderr.write("\x1b[?25h" if sys.stderr.isatty() else "")  # the cursor, which a progress bar hides
                sys.stderr.flush()
                os._exit(128 + heard[0])
        os.close(pipe)
