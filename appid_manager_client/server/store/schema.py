"""Brings a database to the schema of this version: makes the tables, or upgrades old ones.

Owns which versions there were and how one becomes the next. How a database is opened, and its
transactions begun, is left to the engines.
"""

from __future__ import annotations

from sqlalchemy import Connection, insert, inspect, select, update

from .tables import SCHEMA, meta, metadata, processes

_FROM_1 = (
    "ALTER TABLE appids ADD COLUMN fence BIGINT DEFAULT 0 NOT NULL",
    "ALTER TABLE appids ADD COLUMN reserved BOOLEAN DEFAULT 0 NOT NULL",
    "ALTER TABLE appids ADD COLUMN note TEXT",
    "ALTER TABLE leases ADD COLUMN fence BIGINT",
)


def bring_up_to_date(connection: Connection) -> str:
    """Make the tables where there are none, upgrade those of an older version.

    Args:
        connection: in a transaction that holds the write lock of the database.

    Returns:
        The schema that the database had, which is another one only if it is newer, and then
        nothing was changed.
    """
    if not inspect(connection).has_table(meta.name):
        metadata.create_all(connection)
        connection.execute(insert(meta), _FIRST_VALUES)
        return SCHEMA
    found = connection.execute(_SCHEMA).scalar()
    if found == "1":
        for statement in _FROM_1:
            connection.exec_driver_sql(statement)
        processes.create(connection)
        connection.execute(insert(meta).values(key="fence_floor", value="0"))
        connection.execute(update(meta).where(meta.c.key == "schema").values(value=SCHEMA))
        found = SCHEMA
    return str(found)


_SCHEMA = select(meta.c.value).where(meta.c.key == "schema")
_FIRST_VALUES = [{"key": "schema", "value": SCHEMA}, {"key": "fence_floor", "value": "0"}]
