"""A database as a whole: opened for those who migrate or copy it, and then leave.

Nobody else changes the database during such a transaction. Services open theirs by the engines.
"""

from __future__ import annotations

import os
from contextlib import AbstractContextManager

from sqlalchemy import Connection, make_url

from ...errors import unusable
from ..settings import database_path, describe_database
from .schema import NEW, Change, bring_up_to_date, pending
from .sqlite import changing_file


def changing(url: str, *, create: bool = False) -> AbstractContextManager[Connection]:
    """A write transaction: committed, durably, at the end of the block, unless that raises.

    Args:
        url: the database.
        create: whether an SQLite file is made where there is none.

    Raises:
        ConfigurationError: the database can't be opened.
    """
    if not create and not _exists(url):
        raise unusable("database", f"{describe_database(url)} doesn't exist")
    return changing_file(url)


def migrate(url: str) -> Change:
    """Make the tables of a database, or bring them up to date. Returns what was done.

    Raises:
        ConfigurationError: that is refused, or the database can't be opened.
    """
    with changing(url, create=True) as connection:
        return bring_up_to_date(connection, describe_database(url))


def look(url: str) -> Change:
    """What `migrate` would do. Changes nothing.

    Raises:
        ConfigurationError: the database is of no use to this version, or can't be opened.
    """
    if not _exists(url):
        return NEW
    with changing(url) as connection:
        return pending(connection, describe_database(url))


def migration_sql(url: str) -> str:
    """The SQL that `migrate` would execute, as one transaction. Changes nothing.

    Raises:
        ConfigurationError: the database is of no use to this version, or can't be opened.
    """
    from .migrations.steps import print_sql

    change = look(url)
    return print_sql(make_url(_dialect(url)).get_dialect()(), change.found) if change.titles else ""


def _exists(url: str) -> bool:
    return os.path.exists(database_path(url))


def _dialect(url: str) -> str:
    return "sqlite://"
