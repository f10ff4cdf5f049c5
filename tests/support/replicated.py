"""Our service as two replicas in this process: one PostgreSQL database, one clock, no stickiness.

They use the database by way of pgbouncer, in transaction mode, where that is installed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from appid_manager_client.testing import LocalService
from tests.support.forwarding import Forwarder
from tests.support.pgbouncer import Bouncer
from tests.support.postgres import PostgresServer


class ReplicatedService(LocalService):
    """A `LocalService` whose calls go to one replica and the other in turn, by connections."""

    def __init__(
        self,
        server: PostgresServer,
        bouncer: Bouncer | None,
        auth_token: str | None = None,
        hour_seconds: int | None = None,
    ) -> None:
        self._stack = contextlib.ExitStack()
        url = self._stack.enter_context(server.database())
        if bouncer is not None:
            url = bouncer.url(url)
        super().__init__(auth_token, hour_seconds, database=url)
        self.twin = LocalService(auth_token, hour_seconds, database=url)
        self.twin.clock = self.clock
        ports = (int(one.url.rpartition(":")[2]) for one in (self, self.twin))
        self._front = Forwarder(*ports, name="balancer").start()
        self._stack.callback(self._front.close)
        self.url = f"http://127.0.0.1:{self._front.port}"

    def start(self) -> None:
        """Start both, as replicas do: at the same time."""
        _together(super().start, self.twin.start)

    def stop(self) -> None:
        """Stop both."""
        _together(super().stop, self.twin.stop)

    def close(self) -> None:
        self.twin.close()
        super().close()
        self._stack.close()


class Replicas:
    """Where the services of a test run get their databases."""

    def __init__(self, server: PostgresServer, bouncer: Bouncer | None) -> None:
        self._server = server
        self._bouncer = bouncer

    def service(
        self, auth_token: str | None = None, hour_seconds: int | None = None
    ) -> ReplicatedService:
        """A service on a database of its own, which is not started yet."""
        return ReplicatedService(self._server, self._bouncer, auth_token, hour_seconds)


def _together(*deeds: Callable[[], None]) -> None:
    with ThreadPoolExecutor(len(deeds)) as threads:
        for done in [threads.submit(deed) for deed in deeds]:
            done.result()
