"""The service's settings, checked once. Knows no file and no environment: the command line reads those."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ..errors import ConfigurationError


@dataclass(frozen=True, kw_only=True)
class ServiceSettings:
    """How the service runs. A setting that can't be used is a `ConfigurationError` that names it.

    Attributes:
        host: the address to listen on. Beyond loopback a token is required, or `insecure`.
        port: the TCP port; 0 takes a free one.
        database: an SQLAlchemy URL of an SQLite file, `sqlite:///relative.db` or `sqlite:////absolute.db`.
        auth_token: what callers must send; `None` lets everybody in. Never part of the `repr`.
        timezone: the IANA name of the zone in whose clock hours turn.
        hour_seconds: the length of an "hour" in whole seconds, counted from the Unix epoch, for tests and demos;
            `None` means real hours. `timezone` then has no effect.
        insecure: allow to listen beyond loopback without a token.
        history_days: how many days an ended lease stays in the history.
        clock: returns the time in milliseconds since the Unix epoch; `None` means this machine's clock.
    """

    host: str = "127.0.0.1"
    port: int = 5000
    database: str = "sqlite:///appids.db"
    auth_token: str | None = field(default=None, repr=False)
    timezone: str = "UTC"
    hour_seconds: int | None = None
    insecure: bool = False
    history_days: int = 90
    clock: Callable[[], int] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.host, str) or not self.host.strip():
            raise ConfigurationError(f"host: an address is required, not {self.host!r}")
        _whole_number("port", self.port, 0, 65535)
        _whole_number("history_days", self.history_days, 1, 36500)
        if self.hour_seconds is not None:
            _whole_number("hour_seconds", self.hour_seconds, 1, 86400)
        _check_database(self.database)
        _check_token(self.auth_token)
        _check_timezone(self.timezone)
        if self.auth_token is None and not self.insecure and not is_loopback(self.host):
            raise ConfigurationError(
                f"host: {self.host} can be reached from other machines and no auth_token is set; "
                "set one, listen on 127.0.0.1, or allow it with insecure (--insecure)"
            )

    @property
    def database_file(self) -> str:
        """Where the database is, whichever directory the service was started in."""
        return path_in(self.database)


def path_in(url: str) -> str:
    """The absolute path of the file that `sqlite:///FILE?options` names."""
    return os.path.abspath(url.partition("://")[2].partition("?")[0][1:])


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`. A name other than `localhost` counts as reachable."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _whole_number(name: str, value: object, least: int, most: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ConfigurationError(
            f"{name}: a whole number from {least} to {most} is required, not {value!r}"
        )


def _check_database(url: object) -> None:
    wanted = "the URL of an SQLite file is required, such as sqlite:///appids.db"
    if not isinstance(url, str) or "://" not in url:
        raise ConfigurationError(f"database: {wanted}, not {url!r}")
    scheme, _, rest = url.partition("://")
    if scheme not in ("sqlite", "sqlite+pysqlite"):
        # The rest of the URL may hold a password.
        raise ConfigurationError(f"database: {wanted}; {scheme} is not supported")
    if not rest.startswith("/") or rest.partition("?")[0] in ("/", "/:memory:"):
        raise ConfigurationError(
            f"database: {wanted}; {url!r} names no file, and the service keeps its state on disk"
        )


def _check_token(token: object) -> None:
    if token is None:
        return
    # What the client takes, too: others could not log in with it.
    if not isinstance(token, str) or not token or any(not 32 < ord(sign) < 127 for sign in token):
        raise ConfigurationError(
            "auth_token: printable ASCII text without spaces is required, or None"
        )


def _check_timezone(name: object) -> None:
    try:
        if not isinstance(name, str):
            raise ValueError("not text")
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ConfigurationError(
            f"timezone: {name!r} is no known IANA time zone, such as UTC or Asia/Shanghai "
            "(where the system has no zone data: pip install tzdata)"
        ) from None
