"""What a service checks and notes in a database when it starts to use it.

The tables are those of this version by then. Leases are none of its business.
"""

from __future__ import annotations

from sqlalchemy import Connection

from ...errors import unusable
from ..hours import Hours
from .meta import HOURS_KEY, SCHEMA_KEY, read_meta, settle_hours, why_not_this_one, write_meta
from .registry import Registration, refuse_while_used
from .tables import SCHEMA


def take_up(
    connection: Connection, name: str, hours: Hours, now: int, *, change_hours: bool = False
) -> Registration:
    """Register this service with a database, in a write transaction that was begun.

    Args:
        name: the database, as messages name it: without a password.
        hours: the hours of this service.
        now: the service's time.
        change_hours: have the database use these hours from now on.

    Raises:
        ConfigurationError: this service must not use the database.
    """
    if change_hours and read_meta(connection).get(HOURS_KEY) != hours.definition:
        refuse_while_used(connection, name, "its hours can't be changed")
        write_meta(connection, HOURS_KEY, hours.definition)
    registration = Registration(hours)
    # First the row, on which others wait who change the database.
    registration.enter(connection)
    values = read_meta(connection)
    if values[SCHEMA_KEY] != SCHEMA:
        raise unusable("database", f"{name} was changed while this service started; start it again")
    problem = why_not_this_one(values)
    if problem is not None:
        raise unusable("database", f"{name} {problem}")
    stored = settle_hours(connection, values, hours, now)
    if stored is not None:
        raise unusable(
            "database",
            f"{name} counts its hours as {stored}, and this service as {hours.definition}: an "
            "AppID could be granted twice in one hour; use the same hours, or change those of the "
            "database on purpose (--change-hours, change_hours)",
        )
    return registration
