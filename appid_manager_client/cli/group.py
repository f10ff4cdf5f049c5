"""A command in a process group of its own: start it, send it signals, wait for its last process.

Runs no shell and knows nothing of AppIDs; `run.py` holds a lease while the group runs.
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

from ..runtime.signals import EXIT_BASE
from .terminal import Terminal

NOT_FOUND = 127
NOT_EXECUTABLE = 126

_SHORTEST_PAUSE = 0.005
_LONGEST_PAUSE = 0.2
_PR_SET_CHILD_SUBREAPER = 36
# Python ignores these; programs expect the system's default.
_RESTORED = {signal.SIGPIPE, signal.SIGXFSZ}


class CannotStart(Exception):
    """The command can't be started; `code` is the exit code that a shell would use."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


def find_program(name: str, environment: Mapping[str, str]) -> str:
    """The path of the program `name`, searched for as a shell does.

    Raises:
        CannotStart: there is none (127), or it can't be executed (126).
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
    """A running command, and every process that it started and that stayed in its group."""

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
        """Start `command`, and put it into the terminal's foreground if this process is there.

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
        """Send a signal to the whole group. Takes no lock: signal handlers call it."""
        if not self._gone:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)

    def resume(self) -> None:
        """Continue a stopped group, in the foreground if this process is there."""
        if self._terminal is not None and self._terminal.is_ours and not self._gone:
            self._terminal.give(self.pid)
        self.send(signal.SIGCONT)

    def wait(self) -> int:
        """Wait until the command itself ends. Returns its exit code, 128+n for signal n.

        If the terminal stops the command, this process stops too. SIGCHLD must have a handler.
        """
        with Wakeups() as wakeups:
            while (status := self._status()) is None:
                wakeups.wait()
        number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        self._take_terminal_back(number)
        return EXIT_BASE + number if number else os.WEXITSTATUS(status)

    def _status(self) -> int | None:
        """Handle all children that ended or stopped. Returns the command's status if it ended."""
        while True:
            pid, status = os.waitpid(-1, os.WUNTRACED | os.WNOHANG)
            if not pid:
                return None
            if pid != self.pid:
                continue  # an orphan that this process adopted
            if not os.WIFSTOPPED(status):
                return status
            self._stopped(os.WSTOPSIG(status))

    def _take_terminal_back(self, ended_by: int) -> None:
        if self._terminal is None or self._terminal.owner != self.pid:
            return
        self._terminal.take_back()
        self.interrupted = ended_by == signal.SIGINT
        if ended_by:
            self._terminal.restore_modes()  # the command could not do it any more

    def wait_for_rest(self, report_after: float, report: Callable[[], None]) -> None:
        """Wait until the last process of the group has ended.

        If that takes longer than `report_after` seconds, `report` is called once.
        """
        deadline = time.monotonic() + report_after
        reported = False
        pause = _SHORTEST_PAUSE
        while self._any_left():
            if not reported and time.monotonic() >= deadline:
                reported = True
                report()
            time.sleep(pause)
            pause = min(pause * 1.5, _LONGEST_PAUSE)
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
            pass  # it runs as another user now
        return True

    def _stopped(self, number: int) -> None:
        """The command was stopped. If the terminal did it, stop this process's own job as well."""
        terminal = self._terminal
        if terminal is None or number == signal.SIGSTOP:
            return  # whoever stopped it continues it
        if number in (signal.SIGTTIN, signal.SIGTTOU):
            if terminal.owner in (os.getpgrp(), self.pid):
                # It used the terminal before it was put into the foreground, or after a shell put
                # this process there again.
                terminal.give(self.pid)
                self.send(signal.SIGCONT)
                return
        if terminal.owner == self.pid:
            terminal.take_back()
        _stop_own_job(number)
        self.resume()


class Wakeups:
    """Waits for any signal that has a handler, and misses none that comes just before the wait.

    A blocking system call would miss it: Python runs handlers only between its own instructions.
    Main thread only.
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
        """Return once a signal has come since the last return. Its handler has run by then."""
        select.select([self._read], [], [])
        with contextlib.suppress(BlockingIOError):
            while os.read(self._read, 512):
                pass


def _stop_own_job(number: int) -> None:
    """Stop this process's group, so that the shell prompts. Returns when it is continued."""
    handler = signal.signal(number, signal.SIG_DFL)
    try:
        os.killpg(os.getpgrp(), number)
    finally:
        signal.signal(number, handler)


def _adopt_orphans() -> None:
    """Become the parent of the processes that the command leaves behind (Linux only).

    A group is gone only after all its ended processes were waited for, and in a container nobody
    else may do that. On other systems the first process does.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
