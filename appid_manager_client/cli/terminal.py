"""The controlling terminal: which process group is in its foreground, and changing that."""

from __future__ import annotations

import contextlib
import os
import signal
import termios
from typing import Any


class Terminal:
    """The terminal that controls this process. Only the foreground group may read from it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._modes: list[Any] | None = None

    @classmethod
    def open(cls) -> Terminal | None:
        """The controlling terminal; `None` without one (a service, a cron job, a container)."""
        try:
            return cls(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
        except OSError:
            return None

    def close(self) -> None:
        """Close the descriptor. The foreground stays as it is."""
        os.close(self._descriptor)

    @property
    def owner(self) -> int | None:
        """The process group in the foreground; `None` if the terminal is gone."""
        try:
            return os.tcgetpgrp(self._descriptor)
        except OSError:
            return None

    @property
    def is_ours(self) -> bool:
        """Whether this process's own group is in the foreground."""
        return self.owner == os.getpgrp()

    def keep_modes(self) -> None:
        """Remember the terminal's modes (echo, line editing and others)."""
        with contextlib.suppress(termios.error):
            self._modes = termios.tcgetattr(self._descriptor)

    def restore_modes(self) -> None:
        """Set the remembered modes. Call it only from the foreground."""
        if self._modes is not None:
            with contextlib.suppress(termios.error):
                termios.tcsetattr(self._descriptor, termios.TCSADRAIN, self._modes)

    def give(self, group: int) -> None:
        """Put `group` into the foreground, if both the group and the terminal still exist."""
        # The kernel sends SIGTTOU to a process that does this from the background, where this
        # process is when it takes the terminal back. Unblocked, that signal would stop it.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTOU})
        try:
            with contextlib.suppress(OSError):
                os.tcsetpgrp(self._descriptor, group)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def take_back(self) -> None:
        """Put this process's own group into the foreground."""
        self.give(os.getpgrp())
