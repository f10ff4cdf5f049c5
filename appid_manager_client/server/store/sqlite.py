"""SQLite: how a database is opened, how its transactions begin, and what is taken in them.

One process writes at a time, so that a transaction has all locks from its beginning. What an error
means stands in `sqlite_errors`, what becomes of the files in `sqlite_files`.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import stat
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy import (
    Connection,
    Engine,
    bindparam,
    create_engine,
    exists,
    event,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool, QueuePool

from ...errors import unusable
from ..clock import Clock
from ..operations import Release
from ..settings import database_path
from .contract import (
    LOCK_PATIENCE,
    NEW_APPID_COLUMNS,
    Asked,
    Begun,
    NewAppId,
    Taken,
    Touched,
    Wanted,
)
from .fences import NEXT_FENCE
from .hot import Hot
from .schema import bring_up_to_date
from .sqlite_errors import unavailable
from .sqlite_files import DatabaseFiles
from .tables import NEVER, appids, leases, line, meta, pauses

# How many seconds a start waits for the lock: another service may be changing the tables.
_START_PATIENCE = 30


class SqliteEngine:
    """An SQLite file.

    Args:
        url: an SQLAlchemy URL.
        clock: the time.
        leapt: whether that clock was set since the last call.

    Raises:
        ConfigurationError: the database can't be opened, or another version wrote it.
    """

    def __init__(self, url: str, clock: Clock, leapt: Callable[[], bool]) -> None:
        self.name = url
        self.clock = clock
        self.leapt = leapt
        self._files = DatabaseFiles(database_path(url))
        self._writer, self._reader = open_engines(url, self._files)
        # One connection for all batches: borrowing it for each one costs as much as a statement.
        self._connection = self._writer.connect()

    @contextlib.contextmanager
    def starting(self) -> Iterator[Begun]:
        """See `Engine`."""
        with opening(self.name, self._files), self._connection.begin():
            yield Begun(self._connection, self.clock())
        self._files.remember()

    @contextlib.contextmanager
    def writing(self, touched: Touched) -> Iterator[Begun]:
        """See `Engine`. The whole database is locked, so it doesn't matter what is touched."""
        try:
            self._files.ensure_present()
            if self._connection.closed:
                self._connection = self._writer.connect()
            with self._connection.begin():
                yield self._begun()
            # What was written to a file that is gone meanwhile must not be acknowledged.
            self._files.ensure_present()
        except Exception as error:
            # A commit that failed can leave its transaction open.
            self._connection.close()
            self._raise_fault(error)
            raise

    def _begun(self) -> Begun:
        now = self.clock()
        (probe,) = _PROBE.all(self._connection, now=now)
        return Begun(
            self._connection, now, due=probe.due, waiting=probe.waiting, pauses=probe.pauses
        )

    @contextlib.contextmanager
    def reading(self) -> Iterator[Begun]:
        """See `Engine`."""
        try:
            # Before: SQLite would make an empty file where the database was.
            self._files.ensure_present()
            with self._reader.begin() as connection:
                yield Begun(connection, self.clock())
        except Exception as error:
            self._raise_fault(error)
            raise

    def take(
        self, connection: Connection, now: int, asked: Sequence[Asked]
    ) -> list[Sequence[Taken]]:
        """See `Engine`."""
        taken: list[Sequence[Taken]] = []
        rows: list[dict[str, object]] = []
        for product, before, since, wanted in asked:
            of_these = {
                "of_product": product,
                "before": before,
                "since": since,
                "count": len(wanted),
                "now": now,
            }
            # SQLite returns the rows in an order of its own.
            held = sorted(_HOLD_NEXT.all(connection, **of_these), key=_place)
            taken.append([Taken(row.appid, row.vid, row.fence) for row in held])
            rows += (_lease(product, now, one, row) for one, row in zip(wanted, held, strict=False))
        if rows:
            _ADD_LEASES.many(connection, rows)
        return taken

    def find_in_others(
        self, connection: Connection, product: str, names: Collection[str]
    ) -> tuple[str, str] | None:
        """See `Engine`."""
        asked = {"product": product, "names": json.dumps(list(names))}
        found = connection.execute(_IN_OTHERS, asked).first()
        return None if found is None else (found.appid, found.product)

    def add_appids(self, connection: Connection, rows: Iterable[NewAppId]) -> int:
        """See `Engine`. The driver's own way: SQLAlchemy would make a dict of each row first."""
        raw: Any = connection.connection.driver_connection
        return int(raw.executemany(_ADD, rows).rowcount)

    def forsaken(self) -> list[Release]:
        """See `Engine`: SQLite loses no answer to a commit."""
        return []

    def close(self) -> None:
        """See `Engine`."""
        self._connection.close()
        self._reader.dispose()
        self._writer.dispose()

    def _raise_fault(self, error: Exception) -> None:
        fault = unavailable(error, self._files)
        if fault is not None:
            raise fault from None


_PROBE = Hot(
    select(
        exists()
        .where(leases.c.stop.is_(None), leases.c.expires.is_not(None))
        .where(leases.c.expires <= bindparam("now"))
        .label("due"),
        exists().select_from(line).label("waiting"),
        exists().select_from(pauses).label("pauses"),
    )
)
_free = appids.alias("free")
_next = (
    select(_free.c.id)
    .where(_free.c.product == bindparam("of_product"), _free.c.held.is_(False))
    .where(_free.c.last_stop < bindparam("before"), _free.c.last_stop >= bindparam("since"))
    .order_by(_free.c.last_stop, _free.c.position)
    .limit(bindparam("count"))
)
_HOLD_NEXT = Hot(
    update(appids)
    .where(appids.c.id.in_(_next))
    .values(held=True, last_start=bindparam("now"), fence=NEXT_FENCE)
    .returning(appids.c.last_stop, appids.c.position, appids.c.appid, appids.c.vid, appids.c.fence)
)
_ADD_LEASES = Hot(
    insert(leases),
    columns=[
        *("lease_id", "request_id", "holder", "ttl", "expires"),
        *("product", "start", "appid", "vid", "fence", "token"),
    ],
)


def _lease(product: str, now: int, wanted: Wanted, row: Any) -> dict[str, object]:
    return {
        "lease_id": wanted.lease_id,
        "request_id": wanted.request_id,
        "holder": wanted.holder,
        "ttl": wanted.ttl,
        "expires": wanted.expires,
        "token": wanted.token,
        "product": product,
        "start": now,
        "appid": row.appid,
        "vid": row.vid,
        "fence": row.fence,
    }


def _place(row: Any) -> tuple[int, int]:
    return row.last_stop, row.position


def open_engines(url: str, files: DatabaseFiles) -> tuple[Engine, Engine]:
    """Open a database, create its tables if they are missing, and check their version.

    Returns:
        The engine of the one writer, and the engine of the readers.

    Raises:
        ConfigurationError: the database can't be opened, or another version wrote it.
    """
    with opening(url, files), contextlib.ExitStack() as undo:
        _refuse_other_programs(url, files.path)
        files.create()
        # The writer keeps one connection; readers open one each, in whichever thread they run.
        writer = create_engine(
            url,
            poolclass=QueuePool,
            pool_size=1,
            max_overflow=0,
            connect_args=_connect_args(_START_PATIENCE),
            hide_parameters=True,
        )
        reader = create_engine(
            url,
            poolclass=NullPool,
            connect_args=_connect_args(LOCK_PATIENCE),
            hide_parameters=True,
        )
        undo.callback(writer.dispose)
        event.listen(writer, "connect", _prepare)
        event.listen(reader, "connect", _prepare)
        # The write lock is taken first: a transaction that reads and then writes could otherwise
        # fail half way.
        event.listen(writer, "begin", lambda connection: _begin(connection, "BEGIN IMMEDIATE"))
        event.listen(reader, "begin", lambda connection: _begin(connection, "BEGIN"))
        with writer.begin() as connection:
            bring_up_to_date(connection, url)
            # The start is over: callers are waiting from now on.
            connection.exec_driver_sql(f"PRAGMA busy_timeout={_milliseconds(LOCK_PATIENCE)}")
        undo.pop_all()
    event.listen(writer, "connect", _be_impatient)
    return writer, reader


@contextlib.contextmanager
def opening(url: str, files: DatabaseFiles) -> Iterator[None]:
    """Turn errors of SQLite while a database is opened into a `ConfigurationError` of one line."""
    try:
        yield
    except (SQLAlchemyError, sqlite3.Error) as error:
        reason = _why_not_opened(files.path, getattr(error, "orig", None) or error)
        raise unusable("database", f"{url} can't be opened: {reason}") from None


def _refuse_other_programs(url: str, path: str) -> None:
    """Refuse what is no file, and the database of another program, before anything is written.

    Raises:
        ConfigurationError: it is one of these.
    """
    try:
        found = os.stat(path)
    except OSError:
        return  # opening it tells why, or makes it
    if not stat.S_ISREG(found.st_mode):
        kind = "a directory" if stat.S_ISDIR(found.st_mode) else "no regular file"
        raise unusable("database", f"{url} can't be opened: {path} is {kind}")
    if not found.st_size:
        return
    with contextlib.closing(sqlite3.connect(path, timeout=_START_PATIENCE)) as database:
        names = {name for (name,) in database.execute(_NAMES_OF_TABLES)}
    if names and not _OURS <= names:
        raise unusable("database", f"{url} belongs to another program: it has other tables")


_NAMES_OF_TABLES = """
SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite!_%' ESCAPE '!'
"""
_OURS = {meta.name, appids.name, leases.name}


def _why_not_opened(path: str, error: BaseException) -> str:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_NOTADB:
        return "the file is no SQLite database, or it is encrypted"
    if code == sqlite3.SQLITE_CORRUPT:
        return "the file is damaged; bring back a backup"
    if code == sqlite3.SQLITE_BUSY:
        return "another process keeps it locked"
    # SQLite has one message for a missing directory and for one that can't be written.
    directory = os.path.dirname(path)
    if not os.path.isdir(directory):
        return f"there is no directory {directory}"
    if not os.access(directory, os.W_OK):
        return (
            f"the directory {directory} can't be written, and SQLite keeps files of its own there"
        )
    if os.path.exists(path) and not os.access(path, os.R_OK | os.W_OK):
        return "the file must be readable and writable"
    return str(error)


def _connect_args(patience: float) -> dict[str, Any]:
    return {"timeout": patience, "check_same_thread": False}


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


def _be_impatient(connection: Any, _record: object) -> None:
    connection.execute(f"PRAGMA busy_timeout={_milliseconds(LOCK_PATIENCE)}")


def _prepare(connection: Any, _record: object) -> None:
    # Otherwise the driver begins transactions by itself, too late and without the write lock.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA cache_size=-32768")
    # Fewer and larger checkpoints; the log then has at most about 16 MiB.
    cursor.execute("PRAGMA wal_autocheckpoint=4000")
    cursor.close()


def _begin(connection: Any, statement: str) -> None:
    connection.exec_driver_sql(statement)


_IN_OTHERS = text(
    "SELECT appid, product FROM appids"
    " WHERE product <> :product AND appid IN (SELECT value FROM json_each(:names)) LIMIT 1"
)
_ADD = (
    f"INSERT INTO appids ({', '.join(NEW_APPID_COLUMNS)}, retired, last_stop)"
    f" VALUES ({', '.join('?' * len(NEW_APPID_COLUMNS))}, false, {NEVER})"
)


@contextlib.contextmanager
def changing_file(url: str) -> Iterator[Connection]:
    """A write transaction of one who changes a database as a whole, and leaves it then.

    Raises:
        ConfigurationError: the database can't be opened, or belongs to another program.
    """
    files = DatabaseFiles(database_path(url))
    with opening(url, files), contextlib.ExitStack() as undo:
        _refuse_other_programs(url, files.path)
        files.create()
        engine = create_engine(
            url,
            poolclass=NullPool,
            connect_args=_connect_args(_START_PATIENCE),
            hide_parameters=True,
        )
        undo.callback(engine.dispose)
        event.listen(engine, "connect", _prepare)
        event.listen(engine, "begin", lambda connection: _begin(connection, "BEGIN IMMEDIATE"))
        with engine.begin() as connection:
            yield connection
