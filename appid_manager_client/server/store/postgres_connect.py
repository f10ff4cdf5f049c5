"""Connections to PostgreSQL: how they are opened and used, and what is asked of a server.

A password is in the URL only. It is in no error, and in no frame that an error keeps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from sqlalchemy import Connection, Engine, Pool, create_engine

from ...errors import unusable
from ...secret import Token
from ..operations import Unavailable
from ..settings import describe_database
from .postgres_errors import away, first_line
from .postgres_sql import INCARNATION
from .postgres_watch import Watch

OLDEST = 15
"""The oldest PostgreSQL that works, by its major version."""

_SECONDS_TO_CONNECT = 2

_OPTIONS: dict[str, Any] = {
    "autocommit": True,  # transactions are begun with statements of our own
    # Named statements don't survive behind a pooler of transactions.
    "prepare_threshold": None,
    "client_encoding": "utf8",
    "application_name": "appid-manager",
    "connect_timeout": _SECONDS_TO_CONNECT,
    # A machine that is gone is noticed in about ten seconds.
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,  # milliseconds
}
_WISH = (
    "must be a URL such as postgresql://USER:PASSWORD@HOST:5432/DATABASE; write signs other than "
    "letters, digits and -._~ in its parts as %XX"
)


_WHO_ARE_YOU = f"""
SELECT current_setting('server_version_num')::int / 10000, current_setting('server_encoding'),
  pg_is_in_recovery(), {INCARNATION}
"""


class Unfit(Exception):
    """A server was reached, and can't be used. The message is one line."""


@dataclass(frozen=True, slots=True)
class Server:
    """What a server said of itself.

    Attributes:
        incarnation: see `INCARNATION`.
    """

    incarnation: str


class Connector:
    """Opens connections to the database of one URL.

    Raises:
        ConfigurationError: it is no URL of a PostgreSQL database.

    Attributes:
        name: the database as people may read it.
        server: what the last server said of itself, to which a connection was opened.
        watch: ends what a server keeps waiting for too long.
    """

    def __init__(self, url: str) -> None:
        self._url = Token(url)
        _check(self._url)
        self.name = describe_database(url)
        self.server = Server("")
        self.watch = Watch()

    def make_engine(self, pool: type[Pool], **options: Any) -> Engine:
        """SQLAlchemy's engine over these connections."""
        return create_engine(
            "postgresql+psycopg://",
            creator=self._connect,
            poolclass=pool,
            isolation_level="AUTOCOMMIT",  # transactions are begun with statements of our own
            hide_parameters=True,  # values that callers sent stay out of errors and logs
            use_native_hstore=False,
            **options,
        )

    def close(self) -> None:
        """End the watch. No connection may be in use."""
        self.watch.close()

    def _connect(self) -> psycopg.Connection[Any]:
        """Open a connection.

        Raises:
            psycopg.OperationalError: there is no server, or it refuses.
            Unfit: it can't be used.
        """
        failed: psycopg.Error | None = None
        try:
            connection = psycopg.connect(self._url.encode().decode(), **_OPTIONS)
            with self.watch.over(connection, _SECONDS_TO_CONNECT):
                self.server = _ask(connection)
            return connection
        except psycopg.Error as error:
            failed = psycopg.OperationalError(str(error))
        # Outside of the handler: the error's own frames held the password.
        raise failed


def takes_connections(url: str) -> bool:
    """Whether a server is there, as `pg_isready` tells; it needs no password for that.

    Raises:
        ConfigurationError: it is no URL of a PostgreSQL database.
    """
    hidden = Token(url)
    _check(hidden)
    asked = make_conninfo(hidden.encode().decode(), connect_timeout=_SECONDS_TO_CONNECT)
    return psycopg.pq.PGconn.ping(asked.encode()) == psycopg.pq.Ping.OK


def _ask(connection: psycopg.Connection[Any]) -> Server:
    answer = connection.execute(_WHO_ARE_YOU).fetchone()
    assert answer is not None  # it has one row, always
    version, encoding, is_standby, incarnation = answer
    problem = None
    if version < OLDEST:
        problem = f"it is PostgreSQL {version}, and {OLDEST} is the oldest that works"
    elif encoding != "UTF8":
        problem = f"its encoding is {encoding}, and must be UTF8"
    elif is_standby:
        problem = "it is a read-only standby: name the primary"
    if problem is not None:
        connection.close()
        raise Unfit(problem)
    return Server(incarnation)


def _check(url: Token) -> None:
    """Refuse what libpq can't read, or what it reads otherwise than it was meant.

    Its own errors would show a part of the password.
    """
    try:
        parts = conninfo_to_dict(url.encode().decode())
    except psycopg.ProgrammingError:
        parts = {}
    ports = str(parts.get("port", "")).replace(",", "")
    signs = f"{parts.get('host', '')}{parts.get('dbname', '')}"
    understood = bool(parts) and "@" not in signs and (not ports or ports.isdecimal())
    parts.clear()
    if not understood:
        raise unusable("database", _WISH)


def open_from(engine: Engine) -> Connection:
    """A connection of `engine`.

    Raises:
        Unavailable: there is no server, or it can't be used.
    """
    try:
        return engine.connect()
    except Unfit as error:
        fault = away(f"the database can't be used: {error}")
    except Exception as error:
        fault = cannot_connect(error)
    # Outside of the handler: a caller's error keeps no frame of an attempt.
    raise fault


def cannot_connect(error: Exception) -> Unavailable:
    """What callers hear when no connection can be opened."""
    return away(f"the database can't be reached: {first_line(error)}")


def raw_of(connection: Connection) -> psycopg.Connection[Any]:
    """The driver's own connection."""
    raw = connection.connection.driver_connection
    assert isinstance(raw, psycopg.Connection)
    return raw


def run_together(connection: Connection, text: str) -> tuple[Any, ...]:
    """Run several statements in one message. Returns the last row of the last one."""
    cursor = raw_of(connection).execute(text)
    while cursor.nextset():
        pass
    return cursor.fetchone() or () if cursor.description else ()


def commit(connection: Connection) -> str | None:
    """Commit. Returns PostgreSQL's warning, if there is one; only its own disk has it then.

    So it is when the wait for a synchronous standby was cut off, by the bound on statements or by
    an administrator: a standby that takes over may not have the transaction.
    """
    raw = raw_of(connection)
    warnings: list[str] = []

    def note(said: psycopg.errors.Diagnostic) -> None:
        if said.severity_nonlocalized == "WARNING":
            warnings.append(said.message_primary or "")

    raw.add_notice_handler(note)
    try:
        connection.commit()
    finally:
        raw.remove_notice_handler(note)
    return warnings[0] if warnings else None


def is_broken(connection: Connection) -> bool:
    """Whether a connection was lost."""
    if connection.invalidated or connection.closed:  # SQLAlchemy has noticed it before
        return True
    raw = connection.connection.driver_connection
    return raw is None or bool(raw.closed)
