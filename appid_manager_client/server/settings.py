"""The service's settings, checked once. Reads no file and no environment: the command line does.

Every refusal is a `ConfigurationError` that names the setting, and never shows a token or a
password.
"""

from __future__ import annotations

import functools
import ipaddress
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ..checks import is_token
from ..errors import unusable
from ..secret import Token, has_user_info, hidden
from .authority import Authority, parse_authority, parse_url

_SQLITE = ("sqlite", "sqlite+pysqlite")
_POSTGRES = ("postgresql", "postgres")


ClassT = TypeVar("ClassT", bound=type)


def _hides_secrets(cls: ClassT) -> ClassT:
    """Have a class of settings hide its secrets before anything else.

    The locals of a traceback, and `vars()`, then hold no plain token and no password.
    """
    init = cls.__init__  # type: ignore[misc]

    @functools.wraps(init)
    def hide_and_init(self: object, **options: Any) -> None:
        for name, hide in (("auth_token", hidden), ("database", _hidden_database)):
            if name in options:
                options[name] = hide(options[name])
        init(self, **options)

    setattr(cls, "__init__", hide_and_init)
    return cls


@_hides_secrets
@dataclass(frozen=True, kw_only=True)
class ServiceSettings:
    """How the service runs.

    Attributes:
        host: the address to listen on. Beyond loopback a token is required, or `insecure`.
        port: the TCP port; 0 takes a free one.
        database: the URL of an SQLite file, `sqlite:///relative.db` or `sqlite:////absolute.db`,
            or of a PostgreSQL database, `postgresql://user:password@host:5432/name`, with all that
            libpq knows. Shown as stars if it may hold a password.
        auth_token: the token that callers must send; `None` admits everybody. Shown as stars.
        timezone: the IANA name of the time zone in which hours begin and end.
        hour_seconds: the length of an "hour" in whole seconds, counted from the Unix epoch, for
            tests and demos; `None` means real hours. `timezone` then has no effect.
        insecure: allow to listen beyond loopback without a token.
        history_days: how many days an ended lease stays in the history.
        public_urls: the URLs under which browsers reach the service, such as
            `https://appids.example`.
        allowed_hosts: names under which the service may be called without a token, besides the
            loopback addresses; one without a port holds for every port.
        change_hours: have the database use these hours from now on, if it uses others. Each AppID
            is then judged by the new hours alone: one whose last use ended before the present new
            hour began is free at once, though the old hour of that use may not be over.
        tokens_file: the path of a file with more tokens, each with a name and a role; `None`:
            there is none.
        access_log: log each request.
        wait_for_database: for how many seconds a start waits for a PostgreSQL server that takes no
            connections yet; 0 fails at once.

    Raises:
        ConfigurationError: a setting can't be used.
    """

    host: str = "127.0.0.1"
    port: int = 5000
    database: str = "sqlite:///appids.db"
    auth_token: str | None = field(default=None, repr=False)
    timezone: str = "UTC"
    hour_seconds: int | None = None
    insecure: bool = False
    history_days: int = 90
    public_urls: Sequence[str] = ()
    allowed_hosts: Sequence[str] = ()
    change_hours: bool = False
    wait_for_database: float = 0.0
    tokens_file: str | None = None
    access_log: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.host, str) or not self.host.strip():
            raise unusable("host", f"must be an address, not {self.host!r}")
        _check_whole_number("port", self.port, 0, 65535)
        _check_whole_number("history_days", self.history_days, 1, 36500)
        if self.hour_seconds is not None:
            _check_whole_number("hour_seconds", self.hour_seconds, 1, 86400)
        _check_seconds("wait_for_database", self.wait_for_database, 86400)
        _check_database(self.database)
        _check_token(self.auth_token)
        if self.tokens_file is not None and not (
            isinstance(self.tokens_file, str) and self.tokens_file.strip()
        ):
            raise unusable("tokens_file", f"must be the path of a file, not {self.tokens_file!r}")
        _check_timezone(self.timezone)
        _check_each("public_urls", self.public_urls, parse_url, "a URL like https://appids.example")
        _check_each("allowed_hosts", self.allowed_hosts, parse_authority, "a host or host:port")
        for name in ("public_urls", "allowed_hosts"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if not self.has_tokens and not self.insecure and not is_loopback(self.host):
            raise unusable(
                "auth_token",
                f"is required, as host {self.host} can be reached from other machines; "
                "set one or a tokens_file, listen on 127.0.0.1, or allow it with insecure "
                "(--insecure)",
            )

    @property
    def has_tokens(self) -> bool:
        """Whether callers need a token."""
        return self.auth_token is not None or self.tokens_file is not None

    @property
    def guards_host(self) -> bool:
        """Whether requests are refused by their `Host`: a token makes that needless."""
        if self.has_tokens:
            return False
        return is_loopback(self.host) or bool(self.allowed_hosts)

    @property
    def database_file(self) -> str:
        """The absolute path of the database, as seen from the present directory.

        Raises:
            ConfigurationError: it is none of SQLite.
        """
        if not is_sqlite(self.database):
            raise unusable("database", "must be an SQLite file for this")
        return database_path(self.database)


def describe_database(url: str) -> str:
    """Where a database is, for people: without user, password and options."""
    if is_sqlite(url):
        return database_path(url)
    scheme, _, rest = url.partition("://")
    where, _, options = rest.partition("?")
    if "@" in options and "@" not in where and not where.startswith("/"):
        return scheme  # the "?" may be a part of a password that should have been encoded
    return f"{scheme}://{where.rpartition('@')[2]}"


def is_sqlite(url: str) -> bool:
    """Return whether a URL is one of SQLite. The path of a file may hold any character."""
    return url.partition("://")[0] in _SQLITE


def database_path(url: str) -> str:
    """The absolute path of the file that `sqlite:///FILE?options` names."""
    return os.path.abspath(url.partition("://")[2].partition("?")[0][1:])


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach `host`.

    A name other than `localhost` counts as reachable from elsewhere.
    """
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _hidden_database(url: object) -> object:
    """A database's URL as it is if it is one of SQLite. Another one may hold a password: hidden."""
    if isinstance(url, str) and not is_sqlite(url):
        return Token(url)
    return url


def _check_whole_number(setting: str, value: object, least: int, most: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise unusable(setting, f"must be a whole number from {least} to {most}, not {value!r}")


def _check_seconds(setting: str, value: object, most: int) -> None:
    # Not a NaN either: it compares with nothing.
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
        raise unusable(setting, f"must be a number of seconds from 0 to {most}, not {value!r}")


def _check_each(
    setting: str, values: object, parse: Callable[[str], Authority | None], wanted: str
) -> None:
    if isinstance(values, str) or not isinstance(values, Sequence):
        raise unusable(setting, f"must be a list, each {wanted}, not {values!r}")
    for value in values:
        if not isinstance(value, str) or parse(value) is None:
            shown = "" if has_user_info(str(value)) else f", not {value!r}"
            raise unusable(setting, f"must be {wanted}{shown}")


def _check_database(url: object) -> None:
    wanted = (
        "must be the URL of an SQLite file, such as sqlite:///appids.db, or of a PostgreSQL "
        "database, such as postgresql://user:password@host/name"
    )
    if not isinstance(url, str) or "://" not in url:
        raise unusable("database", f"{wanted}, not {url!r}")
    scheme = url.partition("://")[0]
    if scheme in _POSTGRES:
        return  # libpq knows what it may hold
    if scheme not in _SQLITE:
        # The rest of the URL may hold a password.
        raise unusable("database", f"{wanted}; {scheme} is not supported")
    rest = url.partition("://")[2]
    if not rest.startswith("/") or rest.partition("?")[0] in ("/", "/:memory:"):
        raise unusable(
            "database",
            f"{wanted}; {url!r} names no file, and the service keeps its state on disk",
        )


def _check_token(token: object) -> None:
    # A client refuses any other token, and could not be given this one.
    if token is not None and not (isinstance(token, str) and is_token(token)):
        raise unusable("auth_token", "must be printable ASCII text without spaces, or None")


def _check_timezone(name: object) -> None:
    try:
        if not isinstance(name, str):
            raise ValueError("not text")
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise unusable(
            "timezone",
            f"must be an IANA time zone, such as UTC or Asia/Shanghai, not {name!r} "
            "(where the system has no zone data: pip install tzdata)",
        ) from None
