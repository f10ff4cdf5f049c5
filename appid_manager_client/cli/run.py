"""`appid-manager run`: a command under a lease, held until the command's last process has ended."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading

from ..checks import check_name
from ..client import AppIdClient
from ..lease.held import Lease
from ..runtime.identity import holder_running
from ..runtime.signals import EXIT_BASE
from ..text import printable
from .connection import open_client
from .countdown import Countdown
from .group import NOT_EXECUTABLE, CannotStart, ProcessGroup, find_program
from .output import write_error
from .relay import Relay, Signalled
from .terminal import Terminal

KILL_AFTER = 10.0
"""Seconds between SIGTERM and SIGKILL for a command that lost its AppID (`--on-lost=terminate`)."""

_REPORT_AFTER = 1.0
"""Seconds after the command's end until `run` says that it waits for what the command started."""


def run(arguments: argparse.Namespace) -> int:
    """Acquire an AppID, run the command, give the AppID back. Returns the command's exit code."""
    check_name(arguments.product, "PRODUCT")
    command = arguments.argv
    with Relay() as relay:
        try:
            relay.interrupt_wait()
            program = find_program(command[0], os.environ)
            shown = Countdown(as_json=arguments.json)
            with shown as countdown, open_client(arguments, countdown) as client:
                running = _Run(client, arguments, program)
                code = running.under_lease(relay, countdown)
        except CannotStart as error:
            write_error(error)
            return error.code
        except Signalled as signalled:
            return EXIT_BASE + signalled.number
    if running.interrupted:
        _interrupt_own_job()
    return code


def _interrupt_own_job() -> None:
    """End by SIGINT, together with all that the shell started with this process.

    A script ends by Ctrl-C only if it gets a SIGINT itself. The terminal sent it to the process
    group in the foreground, and that was the command's. Everything has been given back by now.
    """
    if sys.stdout is not None:
        sys.stdout.flush()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.killpg(os.getpgrp(), signal.SIGINT)


class _Run:
    """One run: the lease and the command, and what each of them does when the other ends."""

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
        """Acquire the AppID and run the command. Returns the command's exit code."""
        arguments = self._arguments
        lease = self._client.lease(
            arguments.product,
            timeout=arguments.wait_timeout,
            min_remaining=arguments.min_remaining,
            ttl=arguments.ttl,
            holder=arguments.holder or holder_running(self._name),
            on_lost=self._on_lost,
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
        variables = {
            "APPID": lease.appid,
            "APPID_VID": str(lease.vid),
            "APPID_START_TIME": str(lease.start_time),
            "APPID_PRODUCT": lease.product_name,
            # Empty, not left out: there can be one of a run around this one.
            "APPID_FENCE": "" if lease.fence is None else str(lease.fence),
        }
        if any("\0" in value for value in variables.values()):
            raise CannotStart(f"{lease.appid!r}: a variable can't hold a NUL", NOT_EXECUTABLE)
        # In UTF-8, also where the locale has fewer letters.
        in_utf8 = {
            name: value.encode("utf-8", "surrogatepass") for name, value in variables.items()
        }
        environment = {
            **os.environ,
            **{name: os.fsdecode(value) for name, value in in_utf8.items()},
        }
        group = ProcessGroup.start(self._program, self._command, environment, terminal)
        self._group = group
        relay.forward_to(group)
        if lease.lost:
            self._terminate_if_asked(group)  # it was lost before there was a group
        code = group.wait()

        def report_the_rest() -> None:
            write_error(
                f"{self._name} has ended, but processes that it started have not; "
                f"{printable(lease.appid)} is given back when they have"
            )

        group.wait_for_rest(_REPORT_AFTER, report_the_rest)
        return code

    def _on_lost(self, lease: Lease) -> None:
        """Called on another thread when the AppID was lost."""
        action = (
            f"terminating {self._name} (--on-lost=warn would let it go on)"
            if self._arguments.on_lost == "terminate"
            else f"{self._name} goes on and may share it with others"
        )
        what = f"{printable(lease.appid)} of {printable(lease.product_name)}"
        write_error(f"warning: {what} was lost; {action}")
        if self._group is not None:
            self._terminate_if_asked(self._group)

    def _terminate_if_asked(self, group: ProcessGroup) -> None:
        if self._arguments.on_lost != "terminate" or self._killer is not None:
            return
        self._killer = threading.Timer(KILL_AFTER, group.send, (signal.SIGKILL,))
        self._killer.daemon = True
        self._killer.start()
        group.send(signal.SIGTERM)
        group.send(signal.SIGCONT)  # a stopped process could not end
