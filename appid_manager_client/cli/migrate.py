"""`appid-manager migrate` and `copy`: what is done to a database while no service uses it."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from ..errors import ConfigurationError
from ..server import require_extra
from ..server.settings import ServiceSettings, describe_database
from ..text import printable
from .database import database_url
from .errors import report
from .exits import ExitCode, UsageError
from .output import write_json, write_line


def migrate(arguments: argparse.Namespace) -> int:
    """Bring the tables of a database up to date, or show what that would do."""
    require_extra()
    url = _checked(arguments.database)
    return _tried(arguments, lambda: _migrate(arguments, url))


def _migrate(arguments: argparse.Namespace, url: str) -> int:
    from ..server.store import whole
    from ..server.store.tables import SCHEMA

    if arguments.sql:
        write_line(whole.migration_sql(url).rstrip() or f"-- schema {SCHEMA}: nothing to do")
        return ExitCode.OK
    change = whole.look(url) if arguments.check else whole.migrate(url)
    name = printable(describe_database(url))
    if arguments.json:
        write_json(
            {
                "database": describe_database(url),
                "found": change.found,
                "schema": SCHEMA,
                "steps": list(change.titles),
                "done": not arguments.check,
            }
        )
    elif not change.titles:
        write_line(f"{name} has schema {SCHEMA}: nothing to do")
    else:
        for title in change.titles:
            write_line(f"{name}: {'to do: ' if arguments.check else ''}{title}")
    return ExitCode.FAILURE if arguments.check and change.titles else ExitCode.OK


def copy(arguments: argparse.Namespace) -> int:
    """Copy a database into an empty one, which is used from then on."""
    require_extra()
    source, target = _checked(arguments.source), _checked(arguments.target)
    return _tried(arguments, lambda: _copy(arguments, source, target))


def _copy(arguments: argparse.Namespace, source: str, target: str) -> int:
    from ..server.store.copying import copy_database

    copied = copy_database(source, target)
    if arguments.json:
        write_json({"source": copied.source, "target": copied.target, "rows": dict(copied.rows)})
        return ExitCode.OK
    counts = ", ".join(f"{count} {name}" for name, count in copied.rows.items())
    write_line(f"copied {printable(copied.source)} to {printable(copied.target)}: rows of {counts}")
    write_line("services use the target from now on, and refuse the source")
    return ExitCode.OK


def _tried(arguments: argparse.Namespace, deed: Callable[[], int]) -> int:
    """Carry out `deed`. What it refuses is no wrong usage: the database can't be used now."""
    try:
        return deed()
    except ConfigurationError as error:
        problem = ConfigurationError(error.problem or str(error))
        report(problem, ExitCode.FAILURE, as_json=arguments.json)
        return ExitCode.FAILURE


def _checked(value: str) -> str:
    """The URL of a database that was given as a path or as a URL."""
    try:
        return ServiceSettings(database=database_url(value)).database
    except ConfigurationError as error:
        raise UsageError(f"the database {error.problem}") from None
