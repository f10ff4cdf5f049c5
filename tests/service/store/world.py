"""A store with a clock of its own, and operations in one call."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
from sqlalchemy import Connection, Engine, event

from appid_manager_client.server.hours import ShortHours
from appid_manager_client.server.operations import Operation
from appid_manager_client.server.store.store import Store

HOUR_MS = 100_000
DAY_MS = 24 * 3600 * 1000


class World:
    """A store on the database of `url`. Set `now`, or `jumped`, to turn its clock."""

    def __init__(self, url: str) -> None:
        self.now = 10 * HOUR_MS
        self.clock: Callable[[], int] = lambda: self.now
        self.jumped = False
        self.url = url
        self.store = self.open()

    def open(self) -> Store:
        """Another store on the same database, with the same clock."""
        return Store(
            self.url,
            ShortHours(HOUR_MS // 1000),
            lambda: self.clock(),
            clock_jumped=lambda: self.jumped,
            history_days=2,
            monotonic=lambda: self.now / 1000,
        )

    def do(self, *operations: Operation) -> Any:
        """The outcome of one operation, or the outcomes of several in one batch."""
        outcomes = self.store.execute(operations)
        return outcomes[0] if len(outcomes) == 1 else outcomes

    def run(self, statement: str) -> None:
        """Run SQL on the database beside the store."""
        connection: Any
        if self.url.startswith("sqlite:///"):
            connection = sqlite3.connect(self.url.removeprefix("sqlite:///"))
        else:
            connection = psycopg.connect(self.url)
        with contextlib.closing(connection), connection:
            connection.execute(statement)


@contextlib.contextmanager
def listening(store: Store, name: str, hook: Callable[[Connection], object]) -> Iterator[None]:
    """Call `hook` at an event of SQLAlchemy, for the connection by which this store writes.

    Other stores of the process, such as those of services that tests share, hear nothing of it.
    """
    writer = store._engine._writer  # type: ignore[attr-defined]

    def heard(connection: Connection) -> None:
        if connection.engine is writer:
            hook(connection)

    event.listen(Engine, name, heard)
    try:
        yield
    finally:
        event.remove(Engine, name, heard)
