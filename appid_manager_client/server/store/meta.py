"""The table `meta`: single values that belong to a database as a whole.

Owns their names, and what they mean for a service that starts on the database. How the tables come
about is left to `schema`.
"""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, insert, select, update

from ...errors import unusable
from ..hours import Hours, defined_hours, same_hours
from .tables import SCHEMA, meta

SCHEMA_KEY = "schema"
"""The version of the tables."""

HOURS_KEY = "hours"
"""What the hours are, as `Hours.definition` has it: all services of a database share them."""

FENCE_FLOOR_KEY = "fence_floor"
"""The largest fence of all AppIDs that were ever removed; 0 where there is none."""

COPIED_TO_KEY = "copied_to"
"""The database to which everything was copied, without a password: that one is used now."""

FIRST_VALUES = {SCHEMA_KEY: SCHEMA, FENCE_FLOOR_KEY: "0"}

_ALL = select(meta.c.key, meta.c.value)
_CHANGE = update(meta).where(meta.c.key == bindparam("of_key")).values(value=bindparam("new"))


def read_meta(connection: Connection) -> dict[str, str]:
    """All values, by their keys."""
    return {row.key: row.value for row in connection.execute(_ALL)}


def write_meta(connection: Connection, key: str, value: str) -> None:
    """Set one value."""
    if connection.execute(_CHANGE, {"of_key": key, "new": value}).rowcount == 0:
        connection.execute(insert(meta).values(key=key, value=value))


def refuse_copied(values: dict[str, str], name: str) -> None:
    """Refuse a database that was copied elsewhere.

    Args:
        values: what `read_meta` returned.
        name: the database, as messages name it.

    Raises:
        ConfigurationError: it was copied.
    """
    target = values.get(COPIED_TO_KEY)
    if target is not None:
        raise unusable(
            "database",
            f"{name} was copied to {target}, which is used instead; to go back, copy that one "
            "to a new database (appid-manager copy)",
        )


def settle_hours(
    connection: Connection, values: dict[str, str], hours: Hours, now: int
) -> str | None:
    """Store the definition of the hours where none is stored yet, and compare it otherwise.

    Returns:
        The stored definition if it means other hours, otherwise `None`.
    """
    stored = values.get(HOURS_KEY)
    if stored is None:
        write_meta(connection, HOURS_KEY, hours.definition)
        return None
    return None if means(stored, hours, now) else stored


def means(definition: str, hours: Hours, now: int) -> bool:
    """Return whether a stored definition means `hours`, from the hour of `now` on."""
    if definition == hours.definition:
        return True
    stored = defined_hours(definition)
    return stored is not None and same_hours(stored, hours, now)
