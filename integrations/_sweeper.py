"""When a worker's main process sweeps the journal: at its start and end, and between.

What a sweep does is in `_journal.py`; the thread is the `Worker` of the package.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias

from appid_manager_client import AppIdClient
from appid_manager_client.runtime.time import SystemTime
from appid_manager_client.runtime.worker import Worker

from ._journal import sweep

SWEEP_INTERVAL = 30.0
"""Seconds between two sweeps while no child ends."""

_WATCH_SECONDS = 15.0
"""How long to sweep for a child that doesn't end, although it was said to."""

_WATCH_UNKNOWN_SECONDS = 2.0
_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 2.0

_UNKNOWN_CHILD = 0


@dataclass(frozen=True, slots=True)
class _LastRound:
    """The message that ends a worker's thread after one more sweep."""

    worker: Worker[Message]


Message: TypeAlias = "int | _LastRound"
"""What the thread hears of: the pid of a child that ends, or its own end."""


class Sweeper:
    """Sweeps when it starts, from time to time, after a child's death, and when it stops."""

    def __init__(
        self, clients: Callable[[], Iterable[AppIdClient]], interval: float = SWEEP_INTERVAL
    ) -> None:
        self._clients = clients
        self._interval = interval
        self._system = SystemTime()
        self._worker: Worker[Message] | None = None
        # Used only by the worker's thread: until when each child is watched, and the pause before
        # the next sweep.
        self._watched: dict[int, float] = {}
        self._pause = _FIRST_PAUSE

    def start(self) -> None:
        """Start the thread. Does nothing if it runs. A stopped sweeper can be started again."""
        if self._worker is not None and self._worker.running:
            return
        self._watched = {}
        self._worker = Worker("appid-sweeper", self._round, self._system)
        self._worker.start()

    def watch(self, pid: int | None) -> None:
        """A child ends, or is about to: sweep until it is gone. Its kill may follow this notice.

        `None`: nobody knows which child it is; then sweep for two seconds. Does nothing in a
        process whose sweeper doesn't run, such as a forked child.
        """
        worker = self._worker
        if worker is not None and worker.running and pid != os.getpid():
            worker.post(_UNKNOWN_CHILD if pid is None else pid)

    def stop(self, timeout: float = 10.0) -> None:
        """End the thread after a last sweep. Waits `timeout` seconds for it at the most."""
        worker, self._worker = self._worker, None
        if worker is not None and worker.running:
            worker.post(_LastRound(worker))
            worker.join(timeout)

    def _round(self, message: Message | None) -> float:
        now = self._system.monotonic()
        if isinstance(message, _LastRound):
            message.worker.stop()
        elif message is not None:
            unknown = message == _UNKNOWN_CHILD
            self._watched[message] = now + (_WATCH_UNKNOWN_SECONDS if unknown else _WATCH_SECONDS)
            self._pause = _FIRST_PAUSE
        # Before the sweep: a child that is gone by now has left its locks, and is swept up below.
        self._watched = {
            pid: until for pid, until in self._watched.items() if until > now and _is_alive(pid)
        }
        sweep(self._clients())
        if not self._watched:
            return self._interval
        self._pause = min(self._pause * 2, _LONGEST_PAUSE)
        return self._pause


def _is_alive(pid: int) -> bool:
    if pid == _UNKNOWN_CHILD:
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
