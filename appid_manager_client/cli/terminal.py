"""The controlling terminal: whose foreground it is, handing it over to a process group, and taking it back."""

from __future__ import annotations

import contextlib
import os
import signal
import termios
from typing import Any


class Terminal:
    """The terminal that controls this process. Only what stands in its foreground may read from it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._modes: list[Any] | None = None

    @classmethod
    def open(cls) -> Terminal | None:
        """The controlling terminal, or `None` where there is none (a service, a cron job, a container)."""
        try:
            return cls(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
        except OSError:
            return None

    def close(self) -> None:
        """Let go of it; changes nothing about its foreground."""
        os.close(self._descriptor)

    @property
    def owner(self) -> int | None:
        """The process group in its foreground; `None` where the terminal is gone."""
        try:
            return os.tcgetpgrp(self._descriptor)
        except OSError:
            return None

    @property
    def is_ours(self) -> bool:
        """Whether this process's own group is in its foreground."""
        return self.owner == os.getpgrp()

    def keep_modes(self) -> None:
        """Remember its modes (echo, line editing, ...)."""
        with contextlib.suppress(termios.error):
            self._modes = termios.tcgetattr(self._descriptor)

    def restore_modes(self) -> None:
        """Set the modes that were remembered; to be called from its foreground."""
        if self._modes is not None:
            with contextlib.suppress(termios.error):
                termios.tcsetattr(self._descriptor, termios.TCSADRAIN, self._modes)

    def give(self, group: int) -> None:
        """Put `group` into the foreground, if it and the terminal are still there."""
        # Without this, the kernel stops a process that does it from the background, as it is when it takes it back.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTOU})
        try:
            with contextlib.suppress(OSError):
                os.tcsetpgrp(self._descriptor, group)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def take_back(self) -> None:
        """Put this process's own group into the foreground."""
        self.give(os.getpgrp())
