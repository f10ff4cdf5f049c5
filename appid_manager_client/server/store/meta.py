"""The table `meta`: single values that belong to a database as a whole.

Owns their names, and what they mean for a service that starts on the database. How the tables come
about is left to `schema`.
"""

from __future__ import annotations

import secrets

from sqlalchemy import Connection, bindparam, insert, select, text, update

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

COPYING_FROM_KEY = "copying_from"
"""The database of which this one is a copy, until that one is marked with `COPIED_TO_KEY`."""

LINE_GAP_KEY = "line_gap"
"""When a service last found that it had not looked at the line for too long."""

SESSION_KEY = "session_key"
"""What all services of a database sign the sessions of browsers with, in hexadecimal digits."""

FIRST_VALUES = {SCHEMA_KEY: SCHEMA, FENCE_FLOOR_KEY: "0"}

_ALL = select(meta.c.key, meta.c.value)
_CHANGE = update(meta).where(meta.c.key == bindparam("of_key")).values(value=bindparam("new"))

_ADD_UNLESS_THERE = text(
    "INSERT INTO meta (key, value) VALUES (:key, :value) ON CONFLICT (key) DO NOTHING"
)


def read_meta(connection: Connection) -> dict[str, str]:
    """All values, by their keys."""
    return {row.key: row.value for row in connection.execute(_ALL)}


def write_meta(connection: Connection, key: str, value: str) -> None:
    """Set one value."""
    if connection.execute(_CHANGE, {"of_key": key, "new": value}).rowcount == 0:
        connection.execute(insert(meta).values(key=key, value=value))


def session_key(connection: Connection) -> bytes:
    """The key of sessions; it is made where there is none yet."""
    new = {"key": SESSION_KEY, "value": secrets.token_hex(32)}
    connection.execute(_ADD_UNLESS_THERE, new)
    return bytes.fromhex(read_meta(connection)[SESSION_KEY])


def why_not_this_one(values: dict[str, str]) -> str | None:
    """Why another database is the one to use, after a copy; `None` if this one is.

    Args:
        values: what `read_meta` returned.
    """
    target, source = values.get(COPIED_TO_KEY), values.get(COPYING_FROM_KEY)
    if target is not None:
        return (
            f"was copied to {target}, which is used instead; to go back, copy that one to a new "
            "database (appid-manager copy)"
        )
    if source is not None:
        return f"is an unfinished copy of {source}; run appid-manager copy again"
    return None


def settle_hours(
    connection: Connection, values: dict[str, str], hours: Hours, now: int
) -> str | None:
    """Store the definition of the hours where none is stored yet, and compare it otherwise.

    Returns:
        The stored definition if it means other hours, otherwise `None`.
    """
    stored = values.get(HOURS_KEY)
    if stored is None:
        # Another service that starts at the same moment may be first.
        connection.execute(_ADD_UNLESS_THERE, {"key": HOURS_KEY, "value": hours.definition})
        stored = read_meta(connection)[HOURS_KEY]
    return None if means(stored, hours, now) else stored


def means(definition: str, hours: Hours, now: int) -> bool:
    """Return whether a stored definition means `hours`, from the hour of `now` on."""
    if definition == hours.definition:
        return True
    stored = defined_hours(definition)
    return stored is not None and same_hours(stored, hours, now)
