"""What is done to a database as a whole: its tables are made, brought up to date, or looked at.

Nobody else changes the database meanwhile. Services do the same at their start.
"""

from __future__ import annotations

from ..settings import describe_database
from .engines import dialect_of, exists, open_whole
from .schema import NEW, Change, bring_up_to_date, pending


def migrate(url: str) -> Change:
    """Make the tables of a database, or bring them up to date. Returns what was done.

    Raises:
        ConfigurationError: that is refused, or the database can't be opened.
    """
    with open_whole(url, create=True) as connection:
        return bring_up_to_date(connection, describe_database(url))


def look(url: str) -> Change:
    """What `migrate` would do. Changes nothing.

    Raises:
        ConfigurationError: the database is of no use to this version, or can't be opened.
    """
    if not exists(url):
        return NEW
    with open_whole(url) as connection:
        return pending(connection, describe_database(url))


def migration_sql(url: str) -> str:
    """The SQL that `migrate` would execute, as one transaction. Changes nothing.

    Raises:
        ConfigurationError: the database is of no use to this version, or can't be opened.
    """
    from .migrations.steps import print_sql

    change = look(url)
    return print_sql(dialect_of(url), change.found) if change.titles else ""
