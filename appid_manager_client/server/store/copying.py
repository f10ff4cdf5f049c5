"""Copies everything that one database holds to another one, which is used from then on.

The source is locked throughout. Whenever a copy is killed, at most one of the two can be used: the
target carries a mark until the source has its own.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, Table, delete, func, insert, select, text

from ...errors import ConfigurationError, unusable
from ..settings import database_path, describe_database
from .engines import open_whole
from .meta import COPIED_TO_KEY, COPYING_FROM_KEY, read_meta, why_not_this_one, write_meta
from .registry import refuse_while_used
from .schema import bring_up_to_date, pending
from .tables import appids, leases, meta, metadata, processes

NOT_COPIED = frozenset({processes})
"""Tables that say something of one database alone."""

_COPIED = [table for table in metadata.sorted_tables if table not in NOT_COPIED]
_AT_ONCE = 1_000  # rows


@dataclass(frozen=True, slots=True)
class Copied:
    """What was copied.

    Attributes:
        source, target: the databases, without passwords.
        rows: how many rows of each table.
    """

    source: str
    target: str
    rows: Mapping[str, int]


def copy_database(source_url: str, target_url: str) -> Copied:
    """Copy everything, and mark the source as copied: services refuse it from then on.

    A copy that was interrupted just before its end is finished.

    Raises:
        ConfigurationError: a database can't be used for that. Nothing was changed.
    """
    source, target = describe_database(source_url), describe_database(target_url)
    if source == target or _same_file(source_url, target_url):
        raise ConfigurationError(f"{source} can't be copied to itself")
    with open_whole(source_url) as reading:
        _refuse_source(reading, source, target)
        with open_whole(target_url, create=True) as writing:
            _fill(reading, writing, source, target)
        # Committed, and not usable yet: from here on neither of the two is, for a moment.
        write_meta(reading, COPIED_TO_KEY, target)
    with open_whole(target_url) as writing:
        writing.execute(delete(meta).where(meta.c.key == COPYING_FROM_KEY))
        rows = {table.name: _count(writing, table) for table in _COPIED}
    return Copied(source, target, rows)


def _same_file(one: str, other: str) -> bool:
    try:
        return os.path.samefile(database_path(one), database_path(other))
    except OSError:  # one of them is no file
        return False


def _refuse_source(reading: Connection, source: str, target: str) -> None:
    change = pending(reading, source)
    if change.titles:
        state = "no tables" if change.found is None else f"schema {change.found}"
        raise unusable(
            "database", f"{source} has {state}: run appid-manager migrate before it is copied"
        )
    refuse_while_used(reading, source, "it can't be copied")
    values = read_meta(reading)
    problem = why_not_this_one(values)
    if problem is not None and values.get(COPIED_TO_KEY) != target:
        raise unusable("database", f"{source} {problem}")


def _fill(reading: Connection, writing: Connection, source: str, target: str) -> None:
    """Copy all rows into the target, which can't be used yet."""
    bring_up_to_date(writing, target)
    refuse_while_used(writing, target, "nothing can be copied into it")
    unfinished = read_meta(writing).get(COPYING_FROM_KEY) == source
    found = {table.name: _count(writing, table) for table in (appids, leases)}
    marked = COPIED_TO_KEY in read_meta(reading)
    if marked and not unfinished:
        raise unusable("database", f"{source} was copied to {target} already")
    if not unfinished and any(found.values()):
        raise unusable(
            "database",
            f"{target} is not empty: it has {found['appids']} AppIDs and {found['leases']} leases; "
            "name a new database",
        )
    if marked:
        return
    for table in _COPIED:
        _copy(reading, writing, table)
    write_meta(writing, COPYING_FROM_KEY, source)


def _copy(reading: Connection, writing: Connection, table: Table) -> None:
    writing.execute(delete(table))
    found = reading.execute(
        select(table).order_by(*table.primary_key),
        execution_options={"stream_results": True, "yield_per": _AT_ONCE},
    )
    for part in found.mappings().partitions():
        writing.execute(insert(table), [dict(row) for row in part])
    wanted, written = _count(reading, table), _count(writing, table)
    if wanted != written:
        raise ConfigurationError(
            f"table {table.name}: {written} of {wanted} rows arrived; nothing was changed"
        )
    number = table.autoincrement_column
    if number is not None and writing.dialect.name == "postgresql":
        # Rows that are added later go on behind the copied ones.
        writing.execute(
            text(
                f"SELECT setval(pg_get_serial_sequence('{table.name}', '{number.name}'),"
                f" max({number.name})) FROM {table.name} HAVING max({number.name}) IS NOT NULL"
            )
        )


def _count(connection: Connection, table: Table) -> int:
    return int(connection.execute(select(func.count()).select_from(table)).scalar_one())
