"""Signals that raise: where they are set, what was set before, and what stays afterwards."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import FrameType

import pytest

from appid_manager_client import ConfigurationError, release_on_termination
from appid_manager_client.runtime.signals import (
    TemporaryHandlers,
    exit_on,
    raise_exit,
    sigterm_raises,
)

USED = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)


@pytest.fixture(autouse=True)
def _default_handlers() -> Iterator[None]:
    earlier = {number: signal.signal(number, signal.SIG_DFL) for number in USED}
    yield
    for number, handler in earlier.items():
        signal.signal(number, handler)


def assert_exits(number: int) -> None:
    with pytest.raises(SystemExit) as caught:
        signal.raise_signal(number)
    assert caught.value.code == 128 + number


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_release_on_termination_has_both_signals_exit_however_often_it_is_called(
    number: int,
) -> None:
    release_on_termination()
    handler = signal.getsignal(number)
    release_on_termination()
    assert signal.getsignal(number) is handler
    assert_exits(number)


def test_release_on_termination_is_refused_outside_the_main_thread() -> None:
    with ThreadPoolExecutor(1) as thread, pytest.raises(ConfigurationError, match="main thread"):
        thread.submit(release_on_termination).result()


def test_an_earlier_handler_is_called_before_the_exit() -> None:
    received: list[int] = []
    signal.signal(signal.SIGUSR1, lambda number, frame: received.append(number))
    exit_on(signal.SIGUSR1)
    assert_exits(signal.SIGUSR1)
    assert received == [signal.SIGUSR1]


def test_a_handler_that_somebody_else_replaced_is_set_again() -> None:
    """RQ resets the signals of a work-horse, whose parent may have called this before the fork."""
    exit_on(signal.SIGUSR1)
    signal.signal(signal.SIGUSR1, signal.SIG_DFL)
    exit_on(signal.SIGUSR1)
    assert_exits(signal.SIGUSR1)


def test_an_ignored_signal_stays_ignored() -> None:
    for number in USED:
        signal.signal(number, signal.SIG_IGN)
    release_on_termination()
    with sigterm_raises(), TemporaryHandlers() as handlers:
        handlers.set_unless_ignored(signal.SIGUSR1, raise_exit)
        assert [signal.getsignal(number) for number in USED] == [signal.SIG_IGN] * 3


def test_sigterm_raises_within_the_block_and_is_as_before_after_it() -> None:
    with sigterm_raises():
        assert_exits(signal.SIGTERM)
    with sigterm_raises(signal.default_int_handler), pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_sigterm_is_left_to_a_program_that_has_a_handler() -> None:
    def own(number: int, frame: FrameType | None) -> None:
        """Do nothing."""

    signal.signal(signal.SIGTERM, own)
    with sigterm_raises():
        assert signal.getsignal(signal.SIGTERM) is own
    assert signal.getsignal(signal.SIGTERM) is own


def test_sigterm_is_left_alone_outside_the_main_thread() -> None:
    def enter() -> object:
        with sigterm_raises():
            return signal.getsignal(signal.SIGTERM)

    with ThreadPoolExecutor(1) as thread:
        assert thread.submit(enter).result() == signal.SIG_DFL


def test_temporary_handlers_put_back_what_was_there_first() -> None:
    with TemporaryHandlers() as handlers:
        handlers.set(signal.SIGUSR1, raise_exit)
        handlers.set(signal.SIGUSR1, signal.default_int_handler)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGUSR1)
    assert signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL
