"""Settings of a client: each from its argument, else its variable, else its default; checked once.

Every refusal names the argument or the variable, and shows its value unless that is a token.
Arguments of calls are checked in `checks.py`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .checks import is_token
from .errors import unusable
from .secret import Token, has_user_info, hidden, hidden_url

DEFAULT_BASE_URL = "http://101.64.234.17:8888"
"""The documented default service. A token is never sent there."""

DEFAULT_TIMEOUT = 5
"""The documented default timeout of a request, in seconds."""

URL_VARIABLE = "APPID_MANAGER_URL"
TIMEOUT_VARIABLE = "APPID_MANAGER_TIMEOUT"
TOKEN_VARIABLE = "APPID_MANAGER_TOKEN"
JOURNAL_VARIABLE = "APPID_MANAGER_JOURNAL"

_TRUE_WORDS = frozenset({"1", "true", "yes", "on"})
_FALSE_WORDS = frozenset({"0", "false", "no", "off"})


@dataclass(frozen=True, slots=True)
class Settings:
    """The checked settings of one client. `timeout` is in seconds."""

    base_url: str
    timeout: float
    auth_token: Token | None = field(repr=False)
    journal: Path | bool
    """A directory, `True` for the user's state directory, or `False` for no journal."""
    default_url: bool = False
    """Whether no URL was configured, so that `base_url` is the built-in default."""
    token_withheld: bool = False
    """Whether a token was configured that is not sent, as the URL is the built-in default."""

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
            ConfigurationError: a value can't be used; `setting` is its argument or variable.
            TypeError: an argument has a wrong type.
        """
        env = _own_variables(os.environ if environ is None else environ)
        base_url, auth_token = hidden_url(base_url), hidden(auth_token)
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


def _own_variables(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables of this package, and no others: a traceback can show them all."""
    names = (URL_VARIABLE, TIMEOUT_VARIABLE, JOURNAL_VARIABLE)
    own = {name: environ[name] for name in names if name in environ}
    if URL_VARIABLE in own:
        own[URL_VARIABLE] = hidden_url(own[URL_VARIABLE])
    if TOKEN_VARIABLE in environ:
        own[TOKEN_VARIABLE] = Token(environ[TOKEN_VARIABLE])
    return own


def _pick(name: str, argument: Any, variable: str, env: Mapping[str, str]) -> tuple[Any, str]:
    """A value and the name of its argument or variable; an empty variable counts as unset.

    Raises:
        ConfigurationError: the variable of the URL is empty. It would stand for the built-in
            address, which nobody means who sets the variable.
    """
    if argument is not None:
        return argument, name
    value = env.get(variable)
    if variable == URL_VARIABLE and value == "":
        raise unusable(
            variable, "is empty: set it to the service, such as http://localhost:5000, or unset it"
        )
    return value or None, variable


def check_url(url: object, source: str = "base_url") -> str:
    """Return a usable base URL, without its trailing slash.

    Raises:
        ConfigurationError: it is not one; the message names `source`, and never shows a password.
        TypeError: it is not text.
    """
    url = hidden_url(url)
    if not isinstance(url, str):
        raise TypeError(f"{source} must be a str, not {type(url).__name__}")
    if has_user_info(url):
        # Before anything else: every other message shows the URL.
        raise unusable(
            source,
            "must not hold a user name or password; the token is a setting of its own "
            f"({TOKEN_VARIABLE})",
        )
    if "?" in url or "#" in url:
        shown = url.partition("?")[0].partition("#")[0]
        raise unusable(source, f"must end before any '?' or '#', after {shown!r}")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise unusable(source, f"is no valid URL: {url!r}") from None
    if parts.scheme.lower() not in ("http", "https") or not parts.hostname:
        raise unusable(source, f"must look like http://host:port, not {url!r}")
    if port == 0 or any(ord(letter) <= 32 or ord(letter) >= 127 for letter in url):
        raise unusable(source, f"is no valid URL: {url!r}")
    return url.rstrip("/")


def _check_timeout(value: Any, source: str) -> float:
    seconds = value
    if source == TIMEOUT_VARIABLE:
        try:
            seconds = float(value)
        except ValueError:
            raise unusable(source, f"must be a number of seconds, not {value!r}") from None
    elif isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{source} must be a number of seconds, not {type(value).__name__}")
    if not 0 < seconds <= 86400:
        raise unusable(source, f"must be more than 0 and at most 86400 seconds, not {value!r}")
    return float(seconds) if isinstance(value, str) else seconds


def _check_token(value: Any, source: str) -> Token:
    if not isinstance(value, str):
        raise TypeError(f"{source} must be a str, not {type(value).__name__}")
    if not is_token(value):
        raise unusable(
            source,
            "holds no usable token: it is empty, or has white space, control or non-ASCII "
            "characters",
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
        raise unusable(source, f"must name a directory, not {path!r}")
    return Path(path)
