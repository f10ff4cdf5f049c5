"""Brings a database to the schema of this version: makes the tables, or migrates old ones.

Owns when that is done and when it is refused. What a migration changes stands in `migrations`; how
a database is opened, and its transactions begun, is left to the engines.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, insert, inspect, text

from ..._version import __version__
from ...errors import unusable
from .meta import FIRST_VALUES, SCHEMA_KEY, read_meta
from .registry import refuse_while_used
from .tables import POSTGRES_STORAGE, SCHEMA, appids, leases, meta, metadata, processes

_OURS = {meta.name, appids.name, leases.name}

# Only services take this lock of PostgreSQL; the number means nothing to anybody else.
_ADVISORY_LOCK = 0x617070_6964


@dataclass(frozen=True, slots=True)
class Change:
    """What has to be done to a database before this version can use it.

    Attributes:
        found: the schema that it has; `None` if it has no tables yet.
        titles: what each step does, in their order; empty if nothing has to be done.
    """

    found: str | None
    titles: tuple[str, ...]


NEW = Change(None, ("make the tables",))
"""What has to be done to a database without tables."""


def bring_up_to_date(connection: Connection, name: str) -> Change:
    """Make the tables where there are none, migrate those of an older version.

    Args:
        connection: in a write transaction of its own.
        name: the database, as messages name it: without a password.

    Returns:
        What was done.

    Raises:
        ConfigurationError: the database is newer than this version, or of another program, or a
            service of an older version uses it. Nothing was changed.
    """
    change = pending(connection, name)
    if not change.titles:
        return change
    if connection.dialect.name == "postgresql":
        # Replicas that start together wait here, and then find it done.
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
        change = pending(connection, name)
    if change.found is None:
        metadata.create_all(connection)
        if connection.dialect.name == "postgresql":
            for statement in POSTGRES_STORAGE:
                connection.execute(text(statement))
        connection.execute(insert(meta), [{"key": k, "value": v} for k, v in FIRST_VALUES.items()])
    elif change.titles:
        if inspect(connection).has_table(processes.name):
            refuse_while_used(connection, name, "its tables can't be changed")
        # Alembic takes longer to import than a start takes.
        from .migrations.steps import run

        run(connection, change.found)
    return change


def pending(connection: Connection, name: str) -> Change:
    """What has to be done to a database. Changes nothing.

    Raises:
        ConfigurationError: the database is newer than this version, or of another program.
    """
    found = _find_schema(connection, name)
    if found is None:
        return NEW
    if found == SCHEMA:
        return Change(found, ())
    if not found.isdecimal() or int(found) > int(SCHEMA):
        raise unusable(
            "database",
            f"{name} has schema {found}, and this version ({__version__}) knows schemas up to "
            f"{SCHEMA}: update appid-manager-client",
        )
    from .migrations.steps import titles

    return Change(found, titles(found))


def _find_schema(connection: Connection, name: str) -> str | None:
    inspector = inspect(connection)
    # One statement: another service may make all of them between two.
    tables = inspector.get_table_names()
    if meta.name in tables:
        columns = {column["name"] for column in inspector.get_columns(meta.name)}
        if {"key", "value"} <= columns:
            found = read_meta(connection).get(SCHEMA_KEY)
            if found is not None:
                return found
    taken = _OURS & set(tables)
    if taken:
        raise unusable(
            "database", f"{name} belongs to another program: it has a table {min(taken)} of its own"
        )
    return None
