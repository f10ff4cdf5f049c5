"""Signals that `appid-manager run` gets before its command is there."""

from __future__ import annotations

import signal

import pytest

from appid_manager_client.cli.group import ProcessGroup
from appid_manager_client.cli.relay import Relay, Signalled


class RecordedGroup(ProcessGroup):
    """A group without processes."""

    def __init__(self) -> None:
        super().__init__(pid=0, terminal=None)
        self.sent: list[int] = []

    def send(self, number: int) -> None:
        self.sent.append(number)


def test_a_signal_before_the_wait_for_an_appid_ends_that_wait() -> None:
    with Relay() as relay, pytest.raises(Signalled) as caught:
        signal.raise_signal(signal.SIGUSR1)
        relay.interrupt_wait()
    assert caught.value.number == signal.SIGUSR1


def test_the_second_signal_does_not_interrupt_the_clean_up_after_the_first() -> None:
    with Relay() as relay:
        relay.interrupt_wait()
        with pytest.raises(Signalled):
            signal.raise_signal(signal.SIGUSR1)
        signal.raise_signal(signal.SIGTERM)


def test_signals_are_kept_while_the_command_is_started() -> None:
    group = RecordedGroup()
    with Relay() as relay:
        relay.interrupt_wait()
        relay.hold()
        signal.raise_signal(signal.SIGUSR1)
        signal.raise_signal(signal.SIGTSTP)
        relay.forward_to(group)
        signal.raise_signal(signal.SIGUSR2)
        signal.raise_signal(signal.SIGCONT)
    assert group.sent == [signal.SIGUSR1, signal.SIGTSTP, signal.SIGUSR2, signal.SIGCONT]
