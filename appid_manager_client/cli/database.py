"""The option `--database`: a path or an SQLAlchemy URL of an SQLite file."""

from __future__ import annotations

from ..errors import unusable
from ..server.settings import ServiceSettings


def database_url(value: str) -> str:
    """The URL of a database that was given as a path or as a URL.

    Raises:
        ConfigurationError: a URL can't hold the path.
    """
    if "://" in value:
        return value
    if not value or any(letter in value for letter in "?%\0"):
        # What a URL would read as something else.
        raise unusable("database", f"must name an SQLite file, without '?' and '%', not {value!r}")
    return f"sqlite:///{value}"


def database_file(value: str) -> str:
    """The absolute path of that database.

    Raises:
        ConfigurationError: it is no SQLite file.
    """
    return ServiceSettings(database=database_url(value)).database_file
