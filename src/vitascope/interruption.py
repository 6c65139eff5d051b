"""Signals that end a command: SIGTERM and Ctrl-C, with one line and 128 + their number, whenever they come.

Training has a way of its own, which saves first (`training/signals.py`).
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

NUMBERS = (signal.SIGTERM, signal.SIGINT)


class Interrupted(KeyboardInterrupt):
    """A signal that ends a command, its number in `args`: no `Exception`, which a library might take for a fault."""


@contextmanager
def interruptible() -> Iterator[None]:
    """Within it a signal raises `Interrupted`, so that what is open is closed in order."""
    hook, before = sys.unraisablehook, {}
    if threading.current_thread() is threading.main_thread():  # elsewhere Python allows no handlers
        sys.unraisablehook = _again
        before = handle(_interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        sys.unraisablehook = hook


def handle(handler: signal._HANDLER) -> dict[signal.Signals, signal._HANDLER]:
    """Sets the handler of both signals, but where they are ignored, as by `nohup`; returns those there were."""
    heard = [number for number in NUMBERS if signal.getsignal(number) is not signal.SIG_IGN]
    return {number: signal.signal(number, handler) for number in heard}


def leave(number: int, frame: FrameType | None) -> NoReturn:
    """Ends the process where nothing is open, or where an exception would be lost or would abort it."""
    if os.environ.get("RANK", "0") == "0":  # of several processes one speaks
        cursor = "\x1b[?25h" if sys.stderr.isatty() else ""  # which a progress bar hides
        os.write(2, f"{cursor}vitascope: stopped by {signal.Signals(number).name}\n".encode())
    os._exit(128 + number)


def number_of(error: KeyboardInterrupt) -> int:
    """Of the signal that raised it."""
    return int(error.args[0]) if isinstance(error, Interrupted) else int(signal.SIGINT)


def _interrupt(number: int, frame: FrameType | None) -> None:
    place = frame
    while place is not None:
        if place.f_code.co_filename == "<frozen importlib._bootstrap>":  # torch's own import aborts of an exception
            leave(number, frame)
        place = place.f_back
    raise Interrupted(number)


def _again(lost: sys.UnraisableHookArgs) -> None:
    """A signal that was heard in a destructor, where its exception comes to nobody, is sent once more."""
    if isinstance(lost.exc_value, KeyboardInterrupt):
        threading.Timer(0.05, os.kill, (os.getpid(), number_of(lost.exc_value))).start()
    else:
        sys.__unraisablehook__(lost)
