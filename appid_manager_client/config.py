"""Settings of a client: arguments before environment before the seed's defaults, checked once.

Every refusal names the argument or the variable and what it held; a token is never among what is shown.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from .checks import is_token
from .errors import ConfigurationError

DEFAULT_BASE_URL = "http://101.64.234.17:8888"
"""The seed's built-in service. A token is never sent there."""

DEFAULT_TIMEOUT = 5
"""The seed's request timeout, in seconds."""

URL_VARIABLE = "APPID_MANAGER_URL"
TIMEOUT_VARIABLE = "APPID_MANAGER_TIMEOUT"
TOKEN_VARIABLE = "APPID_MANAGER_TOKEN"
JOURNAL_VARIABLE = "APPID_MANAGER_JOURNAL"

T = TypeVar("T")

_TRUE_WORDS = frozenset({"1", "true", "yes", "on"})
_FALSE_WORDS = frozenset({"0", "false", "no", "off"})


class Token(str):
    """A token that shows itself to nobody who prints, formats or logs it; `encode()` gives the bytes to send."""

    __slots__ = ()

    def __new__(cls, secret: str) -> Token:
        # `str(token)` would give the stars, and a second wrapping would send them.
        return secret if isinstance(secret, Token) else super().__new__(cls, secret)

    def __repr__(self) -> str:
        return "'***'"

    def __str__(self) -> str:
        return "***"

    def __format__(self, spec: str) -> str:
        return format("***", spec)


@dataclass(frozen=True, slots=True)
class Settings:
    """The checked settings of one client. `timeout` is in seconds."""

    base_url: str
    timeout: float
    auth_token: Token | None = field(repr=False)
    journal: Path | bool
    """A directory, `True` for the user's state directory, or `False` for no journal."""
    default_url: bool = False
    """No URL was configured: `base_url` is the built-in default."""
    token_withheld: bool = False
    """A token was configured, but the URL is the built-in default, which never gets one."""

    @classmethod
    def resolve(
        cls,
        base_url: str | None = None,
        timeout: float | None = None,
        auth_token: str | None = None,
        journal: str | os.PathLike[str] | bool | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> Settings:
        """Take each setting from its argument, else its variable, else its default.

        Raises:
            ConfigurationError: a value can't be used.
            TypeError: an argument has a wrong type.
        """
        env = _own_variables(os.environ if environ is None else environ)
        auth_token = hidden(auth_token)
        url, url_source = _pick("base_url", base_url, URL_VARIABLE, env)
        seconds, seconds_source = _pick("timeout", timeout, TIMEOUT_VARIABLE, env)
        secret, secret_source = _pick("auth_token", auth_token, TOKEN_VARIABLE, env)
        token = None if secret is None else _check_token(secret, secret_source)
        return cls(
            base_url=DEFAULT_BASE_URL if url is None else check_url(url, url_source),
            timeout=(
                DEFAULT_TIMEOUT if seconds is None else _check_timeout(seconds, seconds_source)
            ),
            auth_token=None if url is None else token,
            journal=_check_journal(*_pick("journal", journal, JOURNAL_VARIABLE, env)),
            default_url=url is None,
            token_withheld=url is None and token is not None,
        )


def hidden(secret: T) -> T | Token:
    """Text as a `Token`, before it can stand in the locals of a traceback; anything else as it is, to be refused."""
    return Token(secret) if isinstance(secret, str) else secret


def _own_variables(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that are ours, and no others: a traceback may show them all."""
    names = (URL_VARIABLE, TIMEOUT_VARIABLE, JOURNAL_VARIABLE)
    own = {name: environ[name] for name in names if name in environ}
    if TOKEN_VARIABLE in environ:
        own[TOKEN_VARIABLE] = Token(environ[TOKEN_VARIABLE])
    return own


def _pick(name: str, argument: Any, variable: str, env: Mapping[str, str]) -> tuple[Any, str]:
    """A value and the name of where it came from; an empty variable counts as unset."""
    if argument is not None:
        return argument, name
    return env.get(variable) or None, variable


def check_url(url: object, source: str = "base_url") -> str:
    """A usable base URL without its trailing slash.

    Raises:
        ConfigurationError: it isn't one; the message names `source`, and never shows a password.
        TypeError: it isn't text.
    """
    if not isinstance(url, str):
        raise TypeError(f"{source} must be a str, not {type(url).__name__}")
    if "@" in url:
        # Before anything else: every other message shows the URL, or quotes one that does.
        raise ConfigurationError(
            f"{source} must not hold a user name or password; pass the token as auth_token or in {TOKEN_VARIABLE}"
        )
    if "?" in url or "#" in url:
        shown = url.partition("?")[0].partition("#")[0]
        raise ConfigurationError(f"{source} must end before any '?' or '#', after {shown!r}")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ConfigurationError(f"{source} is no valid URL: {url!r}") from None
    if parts.scheme.lower() not in ("http", "https") or not parts.hostname:
        raise ConfigurationError(f"{source} must look like http://host:port, not {url!r}")
    if port == 0 or any(ord(letter) <= 32 or ord(letter) >= 127 for letter in url):
        raise ConfigurationError(f"{source} is no valid URL: {url!r}")
    return url.rstrip("/")


def _check_timeout(value: Any, source: str) -> float:
    seconds = value
    if source == TIMEOUT_VARIABLE:
        try:
            seconds = float(value)
        except ValueError:
            raise ConfigurationError(
                f"{source} must be a number of seconds, not {value!r}"
            ) from None
    elif isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{source} must be a number of seconds, not {type(value).__name__}")
    if not 0 < seconds <= 86400:
        raise ConfigurationError(
            f"{source} must be more than 0 and at most 86400 seconds, not {value!r}"
        )
    return float(seconds) if isinstance(value, str) else seconds


def _check_token(value: Any, source: str) -> Token:
    if not isinstance(value, str):
        raise TypeError(f"{source} must be a str, not {type(value).__name__}")
    if not is_token(value):
        raise ConfigurationError(
            f"{source} holds no usable token: it is empty, or has white space, control or non-ASCII characters"
        )
    return Token(value)


def _check_journal(value: Any, source: str) -> Path | bool:
    if value is None or isinstance(value, bool):
        return bool(value)
    if source == JOURNAL_VARIABLE and value.lower() in _TRUE_WORDS:
        return True
    if source == JOURNAL_VARIABLE and value.lower() in _FALSE_WORDS:
        return False
    if not isinstance(value, (str, os.PathLike)):
        raise TypeError(f"{source} must be a directory or a bool, not {type(value).__name__}")
    path = os.fspath(value)
    if not isinstance(path, str) or not path or "\0" in path:
        raise ConfigurationError(f"{source} must name a directory, not {path!r}")
    return Path(path)
