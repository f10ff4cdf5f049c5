"""Terminals for tests: what is shown on one, a shell on one, and which job has it (Linux)."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import sys
import termios
import time
from pathlib import Path

from tests.support.waiting import PATIENCE

PROMPT = "PROMPT> "


class Screen:
    """What a process shows on a terminal, read from the terminal's other end (`master`)."""

    def __init__(self, master: int) -> None:
        self.master = master
        self.seen = ""
        """Everything that was read so far."""
        self._unread = ""
        self._matched = ""

    def expect(self, pattern: str) -> str:
        """Read until `pattern` is shown, and forget everything up to there. Returns the match."""
        self.skip_to(pattern)
        return self._matched

    def skip_to(self, pattern: str) -> str:
        """The same, but returns what was shown before the match."""
        deadline = time.monotonic() + PATIENCE
        while (found := re.search(pattern, self._unread)) is None:
            left = deadline - time.monotonic()
            assert left > 0, f"no {pattern!r} in {self._unread!r}"
            if select.select([self.master], [], [], left)[0]:
                shown = os.read(self.master, 4096).decode(errors="replace")
                self.seen += shown
                self._unread += shown
        before, self._matched = self._unread[: found.start()], found.group()
        self._unread = self._unread[found.end() :]
        return before


class OwnTerminal(Screen):
    """A terminal for a process of the test, which gets `slave`."""

    def __init__(self) -> None:
        master, self.slave = pty.openpty()
        super().__init__(master)

    def resize(self, *, columns: int, lines: int) -> None:
        """Give the terminal a size, in characters."""
        termios.tcsetwinsize(self.slave, (lines, columns))

    def close(self) -> None:
        os.close(self.master)
        os.close(self.slave)


class Shell(Screen):
    """An interactive shell with job control, on a terminal of its own."""

    def __init__(self, *command: str) -> None:
        program, *options = command or ("/bin/bash", "--norc", "--noprofile", "-i")
        self.pid, master = pty.fork()
        if self.pid == 0:
            os.execve(program, [program, *options], _environment())
        super().__init__(master)

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def close(self) -> None:
        os.close(self.master)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


def _environment() -> dict[str, str]:
    python_path = os.pathsep.join(sys.path)
    return {**os.environ, "PS1": PROMPT, "TERM": "dumb", "PYTHONPATH": python_path}


def is_stopped(pid: int) -> bool:
    return _stat(pid)[0] == "T"


def has_the_terminal(pid: int) -> bool:
    """Whether a process waits for something, with its group in the foreground of its terminal."""
    state, _, group, _, _, foreground = _stat(pid)[:6]
    return state == "S" and group == foreground


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the command's name: state, parent, group and so on."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
