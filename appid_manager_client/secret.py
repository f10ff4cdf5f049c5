"""Tokens and passwords as text that shows as stars wherever a program shows its values."""

from __future__ import annotations

from typing import TypeVar

T = TypeVar("T")

_USER_INFO = ("@", "%40", "\N{FULLWIDTH COMMERCIAL AT}", "\N{SMALL COMMERCIAL AT}")


class Token(str):
    """A secret that prints, formats and logs as stars. `encode()` returns the bytes to send."""

    __slots__ = ()

    def __new__(cls, secret: str) -> Token:
        # `str(token)` is the stars, so wrapping a Token again would send those.
        return secret if isinstance(secret, Token) else super().__new__(cls, secret)

    def __repr__(self) -> str:
        return "'***'"

    def __str__(self) -> str:
        return "***"

    def __format__(self, spec: str) -> str:
        return format("***", spec)


def hidden(secret: T) -> T | Token:
    """Return text as a `Token`, and anything else as it is, for a later check to refuse.

    Called before anything else: the locals of a traceback then hold no plain token.
    """
    return Token(secret) if isinstance(secret, str) else secret


def hidden_url(url: T) -> T | Token:
    """Return a URL that can hold a password or a token as a `Token`, any other as it is."""
    if isinstance(url, str) and (has_user_info(url) or "?" in url or "#" in url):
        return Token(url)
    return url


def has_user_info(url: str) -> bool:
    """Whether a URL may hold a user name or a password, also in a spelling that no parser takes."""
    return any(sign in url for sign in _USER_INFO)
