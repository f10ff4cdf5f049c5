"""What `appid-manager run` does with the signals that it gets: end the wait, or pass them on."""

from __future__ import annotations

import signal
from types import FrameType
from typing import Self

from ..runtime.signals import TemporaryHandlers
from .group import ProcessGroup

_FORWARDED = (
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
)


class Signalled(BaseException):
    """A signal came before the command was started: stop waiting for an AppID."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class Relay(TemporaryHandlers):
    """Handlers that end the wait for an AppID, and later signal the process group of the command.

    Python runs handlers between any two instructions of the main thread, so nothing here takes a
    lock. Signals that were ignored stay ignored, here and in the command.
    """

    def __init__(self) -> None:
        super().__init__()
        self._kept: list[int] = []
        self._raises = False
        self._group: ProcessGroup | None = None

    def __enter__(self) -> Self:
        # SIGCHLD needs a handler, or it does not wake `ProcessGroup.wait`; a parent may have set
        # it to be ignored.
        self.set(signal.SIGCHLD, lambda number, frame: None)
        for number in _FORWARDED:
            self.set_unless_ignored(number, self._received)
        return self

    def interrupt_wait(self) -> None:
        """Have signals raise `Signalled` from now on. One that came before this raises it here."""
        self._raises = True
        if self._kept:
            raise Signalled(self._kept.pop(0))

    def hold(self) -> None:
        """Keep signals from now on, until there is a group to send them to.

        From now on that includes SIGTSTP (Ctrl-Z) and SIGCONT.
        """
        self._raises = False
        self.set_unless_ignored(signal.SIGTSTP, self._received)
        self.set(signal.SIGCONT, self._continued)

    def forward_to(self, group: ProcessGroup) -> None:
        """Send the kept signals, and all that come from now on, to `group`."""
        self._group = group
        while self._kept:
            group.send(self._kept.pop(0))

    def _received(self, number: int, frame: FrameType | None) -> None:
        if self._group is not None:
            self._group.send(number)
        elif self._raises:
            self._raises = False  # a second signal must not interrupt the clean-up
            raise Signalled(number)
        else:
            self._kept.append(number)

    def _continued(self, number: int, frame: FrameType | None) -> None:
        if self._group is not None:
            self._group.resume()
