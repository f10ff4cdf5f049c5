"""`appid-manager run`: a command under a lease, which ends only after the last process that the command started."""

from __future__ import annotations

import argparse
import os
import signal
import socket
import sys
import threading
from types import FrameType, TracebackType

from ..client import AppIdClient
from ..lease.held import Lease
from ..lease.options import MAX_HOLDER
from .commands import make_client
from .exits import SIGNAL_BASE
from .group import CannotStart, ProcessGroup, find_program
from .output import Countdown, complain
from .terminal import Terminal

KILL_AFTER = 10.0
"""Seconds between SIGTERM and SIGKILL for a command that lost its AppID (`--on-lost=terminate`)."""

_TELL_AFTER = 1.0
_FORWARDED = ("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2")


def run(arguments: argparse.Namespace) -> int:
    """Get an AppID, run the command with it, give it back; exit as the command did."""
    command = arguments.argv
    with Relay() as relay:
        try:
            program = find_program(command[0], os.environ)
            with Countdown() as countdown, make_client(arguments, countdown) as client:
                running = _Run(client, arguments, program)
                code = running.under_lease(relay, countdown)
        except CannotStart as error:
            complain(error)
            return error.code
        except Signalled as signalled:
            return SIGNAL_BASE + signalled.number
    if running.interrupted:
        _interrupt_own_job()
    return code


def _interrupt_own_job() -> None:
    """End by SIGINT, with all that the shell started with this process: a script ends by Ctrl-C only if it gets one.

    The terminal sent it to its foreground alone, and that was the command's group. All has been given back by now.
    """
    if sys.stdout is not None:
        sys.stdout.flush()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.killpg(os.getpgrp(), signal.SIGINT)


class Signalled(BaseException):
    """A signal came while there was no command yet: nobody waits for the AppID any more."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class Relay:
    """The signals that this process gets: they end the wait for an AppID, and later go on to the command's group.

    Handlers run between any two instructions of the main thread, so nothing here takes a lock. Signals that were
    ignored stay ignored, here and in the command.
    """

    def __init__(self) -> None:
        self._before: dict[int, object] = {}
        self._early: list[int] = []
        self._waiting = True
        self._group: ProcessGroup | None = None

    def __enter__(self) -> Relay:
        # A handler, for its signal to wake who waits for the command; a parent may have had it ignored.
        self._install(signal.SIGCHLD, lambda number, frame: None)
        for name in _FORWARDED:
            if signal.getsignal(getattr(signal, name)) is not signal.SIG_IGN:
                self._install(getattr(signal, name), self._received)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def hold(self) -> None:
        """Keep signals from now on, until there is a group that they can go to. A stop and its end go that way, too."""
        self._waiting = False
        if signal.getsignal(signal.SIGTSTP) is not signal.SIG_IGN:
            self._install(signal.SIGTSTP, self._received)
        self._install(signal.SIGCONT, self._continued)

    def forward_to(self, group: ProcessGroup) -> None:
        """Send what was kept, and all that comes, to `group`."""
        self._group = group
        while self._early:
            group.send(self._early.pop(0))

    def _install(self, number: int, handler: object) -> None:
        previous = signal.signal(number, handler)  # type: ignore[arg-type]
        self._before.setdefault(number, signal.SIG_DFL if previous is None else previous)

    def _received(self, number: int, frame: FrameType | None) -> None:
        if self._group is not None:
            self._group.send(number)
        elif self._waiting:
            self._waiting = False  # the second one doesn't disturb the giving up
            raise Signalled(number)
        else:
            self._early.append(number)

    def _continued(self, number: int, frame: FrameType | None) -> None:
        if self._group is not None:
            self._group.resume()


class _Run:
    """One run: the lease, the command, and what one of them means for the other."""

    def __init__(self, client: AppIdClient, arguments: argparse.Namespace, program: str) -> None:
        self._client = client
        self._arguments = arguments
        self._program = program
        self._command: list[str] = arguments.argv
        self._name = os.path.basename(self._command[0])
        self._group: ProcessGroup | None = None
        self._killer: threading.Timer | None = None

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C on the terminal ended the command."""
        return self._group is not None and self._group.interrupted

    def under_lease(self, relay: Relay, countdown: Countdown) -> int:
        """Do it; gives the exit code."""
        arguments = self._arguments
        lease = self._client.lease(
            arguments.product,
            timeout=arguments.patience,
            min_remaining=arguments.min_remaining,
            ttl=arguments.ttl,
            holder=arguments.holder or default_holder(self._name),
            on_lost=self._lost,
        )
        with lease:
            countdown.stop()
            relay.hold()
            terminal = Terminal.open()
            try:
                return self._supervise(lease, relay, terminal)
            finally:
                if self._killer is not None:
                    self._killer.cancel()
                if terminal is not None:
                    terminal.close()

    def _supervise(self, lease: Lease, relay: Relay, terminal: Terminal | None) -> int:
        environment = {
            **os.environ,
            "APPID": lease.appid,
            "APPID_VID": str(lease.vid),
            "APPID_START_TIME": str(lease.start_time),
            "APPID_PRODUCT": lease.product_name,
        }
        group = ProcessGroup.start(self._program, self._command, environment, terminal)
        self._group = group
        relay.forward_to(group)
        if lease.lost:
            self._act_on_loss(group)  # it was lost before there was a group to act on
        code = group.wait()

        def still_there() -> None:
            complain(
                f"{self._name} has ended, but processes that it started have not; "
                f"{lease.appid} is given back when they have"
            )

        group.wait_for_rest(_TELL_AFTER, still_there)
        return code

    def _lost(self, lease: Lease) -> None:
        """Called on another thread: the AppID isn't ours any more."""
        doing = (
            f"terminating {self._name}"
            if self._arguments.on_lost == "terminate"
            else f"{self._name} goes on and may share it with others (--on-lost=terminate would end it)"
        )
        complain(f"warning: {lease.appid} of {lease.product_name} was lost; {doing}")
        if self._group is not None:
            self._act_on_loss(self._group)

    def _act_on_loss(self, group: ProcessGroup) -> None:
        if self._arguments.on_lost != "terminate" or self._killer is not None:
            return
        self._killer = threading.Timer(KILL_AFTER, group.send, (signal.SIGKILL,))
        self._killer.daemon = True
        self._killer.start()
        group.send(signal.SIGTERM)
        group.send(signal.SIGCONT)  # one that is stopped could not end


def default_holder(name: str) -> str:
    """Host, process and command, for people who read the status. Arguments are left out: they may hold secrets."""
    holder = f"{socket.gethostname()} {os.getpid()} {name}"
    return holder.encode("utf-8", "replace").decode()[:MAX_HOLDER]
