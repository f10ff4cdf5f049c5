"""The client while the service can't use its database: it asks again, and nothing is lost."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from appid_manager_client import AppIdClient, Event, EventKind
from appid_manager_client.testing import LocalService


def test_a_lease_that_a_locked_database_delays_comes_once_the_lock_is_gone(tmp_path: Path) -> None:
    database = tmp_path / "appids.db"
    waits: list[Event] = []
    with contextlib.ExitStack() as stack:
        service = stack.enter_context(LocalService(database=database))
        other = stack.enter_context(
            contextlib.closing(sqlite3.connect(database, isolation_level=None))
        )

        def unlock(event: Event) -> None:
            if event.kind is EventKind.WAITING:
                waits.append(event)
                other.rollback()

        client = stack.enter_context(AppIdClient(service.url, on_event=unlock))
        client.init_product("p", {"a1": 1, "a2": 2})
        other.execute("BEGIN IMMEDIATE")
        with client.lease("p", timeout=60) as lease:
            assert service.status("p")["available"] == 1
        (record,) = service.history("p")
        assert (record["leaseId"], record["ended"]) == (lease.lease_id, "released")
    (wait,) = waits
    assert wait.reason is not None and "another process has kept the database locked" in wait.reason
    assert wait.seconds is not None and wait.seconds >= 1, "Retry-After counts"
