"""Signals raise a flag; nothing is interrupted, unless somebody insists."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from vitascope.errors import Stopped
from vitascope.training.signals import StopFlag


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_is_remembered_and_interrupts_nothing(number: int) -> None:
    with StopFlag() as stop:
        assert stop.number == 0
        os.kill(os.getpid(), number)
        assert stop.number == number
        stop.number = 0  # answered


def test_a_signal_that_nobody_answered_is_sent_again() -> None:
    with pytest.raises(KeyboardInterrupt), StopFlag():
        os.kill(os.getpid(), signal.SIGINT)


def test_a_second_ctrl_c_interrupts_at_once() -> None:
    with StopFlag() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.number == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        stop.number = 0


def test_a_second_sigterm_does_not_disturb_the_saving() -> None:
    with StopFlag() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.number == signal.SIGTERM
        stop.number = 0


def test_the_handlers_before_come_back() -> None:
    before = [signal.getsignal(number) for number in StopFlag.SIGNALS]
    with pytest.raises(ValueError), StopFlag():
        raise ValueError
    assert [signal.getsignal(number) for number in StopFlag.SIGNALS] == before


def test_it_works_in_a_thread_where_no_handlers_are_allowed() -> None:
    numbers: list[int] = []

    def run() -> None:
        with StopFlag() as stop:
            numbers.append(stop.number)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert numbers == [0]


def test_exit_codes_are_those_of_a_shell() -> None:
    assert Stopped(signal.SIGTERM, "").exit_code == 143
    assert Stopped(signal.SIGINT, "").exit_code == 130
    assert Stopped(signal.SIGTERM, "").signal_name == "SIGTERM"
