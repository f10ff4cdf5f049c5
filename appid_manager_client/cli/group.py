"""A command in a process group of its own: started without a shell, sent signals, and waited for to the last process.

Knows nothing of AppIDs; `running.py` puts a lease around it.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType

from .exits import SIGNAL_BASE
from .terminal import Terminal

NOT_FOUND = 127
NOT_EXECUTABLE = 126

_SHORTEST_LOOK = 0.005
_LONGEST_LOOK = 0.2
_PR_SET_CHILD_SUBREAPER = 36
# What Python ignores, and programs expect to find as the system has it.
_RESTORED = {signal.SIGPIPE, signal.SIGXFSZ}


class CannotStart(Exception):
    """The command can't be started; `code` is what a shell would exit with."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


def find_program(name: str, environment: Mapping[str, str]) -> str:
    """The path of the program that `name` means, looked for as a shell does.

    Raises:
        CannotStart: there is none (127), or it may not be executed (126).
    """
    if os.sep in name:
        candidates = [name]
    else:
        candidates = [os.path.join(path or ".", name) for path in os.get_exec_path(environment)]
    found = [path for path in candidates if os.path.exists(path)]
    for path in found:
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    if not name or not found:
        raise CannotStart(f"{name}: command not found", NOT_FOUND)
    why = "is a directory" if os.path.isdir(found[0]) else "is not executable"
    raise CannotStart(f"{name}: {why}", NOT_EXECUTABLE)


class ProcessGroup:
    """A running command and all that it started and that stayed in its group."""

    def __init__(self, pid: int, terminal: Terminal | None) -> None:
        self.pid = pid
        self.interrupted = False
        """Whether SIGINT ended the command in the terminal's foreground: Ctrl-C, most likely."""
        self._terminal = terminal
        self._gone = False

    @classmethod
    def start(
        cls,
        program: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        terminal: Terminal | None,
    ) -> ProcessGroup:
        """Start `command`, and hand the terminal's foreground over if it is ours.

        Raises:
            CannotStart: the system refuses it.
        """
        _adopt_orphans()
        in_foreground = terminal is not None and terminal.is_ours
        try:
            pid = os.posix_spawn(
                program, list(command), dict(environment), setpgroup=0, setsigdef=_RESTORED
            )
        except OSError as error:
            code = NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_EXECUTABLE
            why = (error.strerror or "it can't be started").lower()
            raise CannotStart(f"{command[0]}: {why}", code) from None
        except ValueError:
            raise CannotStart(f"{command[0]}: an argument holds a NUL", NOT_EXECUTABLE) from None
        group = cls(pid, terminal)
        if terminal is not None and in_foreground:
            terminal.keep_modes()
            terminal.give(pid)
        return group

    def send(self, number: int) -> None:
        """Send a signal to all of the group. Takes no lock: signal handlers call it."""
        if not self._gone:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)

    def resume(self) -> None:
        """Have a stopped group go on, in the foreground if that is ours to give."""
        if self._terminal is not None and self._terminal.is_ours and not self._gone:
            self._terminal.give(self.pid)
        self.send(signal.SIGCONT)

    def wait(self) -> int:
        """Wait for the command's own end, following it when it is stopped; gives its exit code, 128+n for a signal.

        SIGCHLD must have a handler.
        """
        with Wakeups() as wakeups:
            while (status := self._look()) is None:
                wakeups.wait()
        number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        self._take_terminal_back(number)
        return SIGNAL_BASE + number if number else os.WEXITSTATUS(status)

    def _look(self) -> int | None:
        """Take note of every child that ended or was stopped; gives the command's status once it has ended."""
        while True:
            pid, status = os.waitpid(-1, os.WUNTRACED | os.WNOHANG)
            if not pid:
                return None
            if pid != self.pid:
                continue  # an orphan that was left to us
            if not os.WIFSTOPPED(status):
                return status
            self._stopped(os.WSTOPSIG(status))

    def _take_terminal_back(self, ended_by: int) -> None:
        if self._terminal is None or self._terminal.owner != self.pid:
            return
        self._terminal.take_back()
        self.interrupted = ended_by == signal.SIGINT
        if ended_by:
            self._terminal.restore_modes()  # it had no chance to

    def wait_for_rest(self, patience: float, still_there: Callable[[], None]) -> None:
        """Wait until the last process of the group is gone; after `patience` seconds `still_there` is called once."""
        deadline = time.monotonic() + patience
        told = False
        pause = _SHORTEST_LOOK
        while self._any_left():
            if not told and time.monotonic() >= deadline:
                told = True
                still_there()
            time.sleep(pause)
            pause = min(pause * 1.5, _LONGEST_LOOK)
        self._gone = True

    def _any_left(self) -> bool:
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        try:
            os.killpg(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass  # it has become another user's
        return True

    def _stopped(self, number: int) -> None:
        """The command was stopped. What the terminal did to it happens to this process's own job as well."""
        terminal = self._terminal
        if terminal is None or number == signal.SIGSTOP:
            return  # whoever stopped it makes it go on
        if number in (signal.SIGTTIN, signal.SIGTTOU):
            if terminal.owner in (os.getpgrp(), self.pid):
                # It wanted the terminal before it was handed over, or since a shell gave it to us again.
                terminal.give(self.pid)
                self.send(signal.SIGCONT)
                return
        if terminal.owner == self.pid:
            terminal.take_back()
        _stop_own_job(number)
        self.resume()


class Wakeups:
    """Waits for any signal that has a handler, and misses none that comes just before the wait begins.

    A system call that blocks would: Python runs handlers between its instructions only. Main thread only.
    """

    def __enter__(self) -> Wakeups:
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)
        self._before = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        signal.set_wakeup_fd(self._before)
        os.close(self._read)
        os.close(self._write)

    def wait(self) -> None:
        """Return when a signal came since the last return, or since this was entered; its handler has run then."""
        select.select([self._read], [], [])
        with contextlib.suppress(BlockingIOError):
            while os.read(self._read, 512):
                pass


def _stop_own_job(number: int) -> None:
    """Stop this process and what the shell started with it, for the shell to prompt; returns when continued."""
    handler = signal.signal(number, signal.SIG_DFL)
    try:
        os.killpg(os.getpgrp(), number)
    finally:
        signal.signal(number, handler)


def _adopt_orphans() -> None:
    """Become the parent of what the command leaves behind: an ended one must be reaped before its group is gone.

    In a container nobody else may do that. Where the system can't (Linux can), its first process does.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
