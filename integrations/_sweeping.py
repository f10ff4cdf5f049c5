"""Giving back what killed workers held: the journal's sweep, as task queues need it.

A process that was killed runs no `finally`; its parent, the next worker to start, or any worker of the host that looks
from time to time finds its leases in the journal. Only what no living process locks is touched, so sweeping too early
or twice does no harm.
"""

from __future__ import annotations

import logging
import os
import queue
import threading
import time
import weakref
from collections.abc import Callable, Iterable

from appid_manager_client import (
    AppIdClient,
    AppIdManagerError,
    ConfigurationError,
    get_default_client,
)
from appid_manager_client.config import JOURNAL_VARIABLE

logger = logging.getLogger("appid_manager_client")

SWEEP_INTERVAL = 30.0
"""Seconds between two looks at the journal while nothing happens."""

_WATCH_FOR = 15.0
_WATCH_ANY_FOR = 2.0
_ANY = 0
_unjournaled: weakref.WeakSet[AppIdClient] = weakref.WeakSet()  # said already
_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 2.0


def journaled_default_client() -> AppIdClient:
    """The default client, which keeps a journal in workers unless `APPID_MANAGER_JOURNAL` says otherwise."""
    client = get_default_client()
    if client.journal is None and client not in _unjournaled:
        try:
            if not os.environ.get(JOURNAL_VARIABLE):
                client.use_journal()
        except ConfigurationError as error:
            logger.warning(
                "no journal, so nobody gives back at once what a killed worker held: %s", error
            )
        _unjournaled.add(client)
    return client


def warn_without_journal(client: AppIdClient, user: str) -> None:
    """Say once that a client which the user made keeps no journal."""
    if client.journal is None and client not in _unjournaled:
        _unjournaled.add(client)
        logger.warning(
            "%s uses a client of %s that keeps no journal: what a killed worker holds there is given back only by the "
            "service's ttl, if it has one; pass journal=True to AppIdClient",
            user,
            client.base_url,
        )


def sweep(clients: Iterable[AppIdClient]) -> None:
    """Give back what dead processes of this host held at the clients' services. Never raises."""
    for client in clients:
        if client.journal is None:
            continue
        try:
            client.reap()
        except AppIdManagerError as error:
            logger.warning("could not give back yet what a dead process held: %s", error)
        except Exception:
            logger.exception("sweeping the journal of %s failed", client.base_url)


class Sweeper:
    """A daemon thread of a worker's main process that sweeps at once, from time to time, and after a child's death."""

    def __init__(
        self, clients: Callable[[], Iterable[AppIdClient]], interval: float = SWEEP_INTERVAL
    ) -> None:
        self._clients = clients
        self._interval = interval
        self._inbox: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._pid = 0

    def start(self) -> None:
        """Start the thread; without effect where it runs."""
        if self._pid == os.getpid() and self._thread is not None and self._thread.is_alive():
            return
        self._pid = os.getpid()
        self._inbox = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="appid-sweeper", daemon=True)
        self._thread.start()

    def watch(self, pid: int | None) -> None:
        """A child ends, or is about to: sweep until it is gone. Its kill may come a moment after the notice.

        `None`: nobody knows which child; then sweep for a moment.
        """
        if pid != self._pid == os.getpid():
            self._inbox.put(_ANY if pid is None else pid)

    def stop(self, timeout: float = 10.0) -> None:
        """End the thread, after a last sweep."""
        if self._thread is None or self._pid != os.getpid():
            return
        self._inbox.put(None)
        self._thread.join(timeout)
        self._thread = None

    def _run(self) -> None:
        inbox = self._inbox
        watched: dict[int, float] = {}
        pause = _FIRST_PAUSE
        while True:
            now = time.monotonic()
            # Looked at before the sweep: who is gone by then has left its locks.
            watched = {pid: until for pid, until in watched.items() if until > now and _lives(pid)}
            sweep(self._clients())
            pause = min(pause * 2, _LONGEST_PAUSE) if watched else self._interval
            try:
                pid = inbox.get(timeout=pause)
            except queue.Empty:
                continue
            if pid is None:
                sweep(self._clients())
                return
            watched[pid] = time.monotonic() + (_WATCH_ANY_FOR if pid == _ANY else _WATCH_FOR)
            pause = _FIRST_PAUSE


def _lives(pid: int) -> bool:
    if pid == _ANY:
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
