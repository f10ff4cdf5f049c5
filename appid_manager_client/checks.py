"""Checks of the arguments of calls: each message names the argument and says what it must be.

Settings, which can come from the environment, are checked in `config.py`.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping


def check_seconds(value: object, name: str, *, minimum: float = 0.0) -> float:
    """Return `value` if it is a finite number of seconds, at least `minimum`.

    Raises:
        TypeError: it is not a number (a `bool` does not count as one).
        ValueError: it is too small, infinite or NaN.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number of seconds, not {type(value).__name__}")
    if not math.isfinite(value) or value < minimum:
        raise ValueError(f"{name} must be at least {minimum:g} and finite, not {value!r}")
    return value


def longer_than_an_hour(min_remaining: float, hour_length: float) -> ValueError:
    """The error for a `min_remaining` that no hour is long enough for. Both are in seconds."""
    return ValueError(
        f"min_remaining must be less than an hour ({hour_length:g} s), not {min_remaining:g}"
    )


def check_name(value: object, name: str, *, longest: int | None = None) -> None:
    """Check the text of a name that is sent to the service.

    Raises:
        TypeError: it is not text.
        ValueError: it is blank, too long, or cannot be encoded.
    """
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, not {type(value).__name__}")
    if not value.strip():
        raise ValueError(f"{name} is required")
    if longest is not None and len(value) > longest:
        raise ValueError(f"{name} must have at most {longest} characters, not {len(value)}")
    check_sendable(value, name)


def check_product(value: object) -> None:
    """Check the product of decorated calls: text, or a function of their arguments.

    Raises:
        TypeError: it is neither, or a coroutine function.
        ValueError: it is text that can't be sent.
    """
    if not callable(value):
        check_name(value, "product")
    elif inspect.iscoroutinefunction(value):
        raise TypeError("product must be text or a plain function, not a coroutine function")


def check_sendable(value: str, name: str) -> None:
    """Check that text can be encoded.

    Raises:
        ValueError: it holds a lone surrogate (half of a character), as text from JSON can.
    """
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{name} holds characters that can't be sent: {value!r}") from None


def check_appids(appids: object) -> None:
    """Check a mapping of AppIDs to vids, as `init_product` takes it.

    Raises:
        TypeError: it is not a mapping, or a vid is neither a `str` nor an `int`.
        ValueError: it is empty, or a name in it cannot be sent.
    """
    if not isinstance(appids, Mapping):
        raise TypeError(f"appids must be a mapping of AppIDs to vids, not {type(appids).__name__}")
    if not appids:
        raise ValueError("appids is required: it names no AppID")
    for appid, vid in appids.items():
        check_name(appid, "an AppID in appids")
        if isinstance(vid, bool) or not isinstance(vid, (str, int)):
            raise TypeError(
                f"appids[{appid!r}] must be a vid, a str or an int, not {type(vid).__name__}"
            )
        if isinstance(vid, str):
            check_sendable(vid, f"the vid of {appid!r} in appids")


def is_numeric(vid: str | int) -> bool:
    """Return whether a vid is a number: field services store only those."""
    return isinstance(vid, int) or vid.strip().lstrip("+-").isdecimal()


def is_token(value: str) -> bool:
    """Return whether text can be sent as a token: printable ASCII without spaces, not empty."""
    return bool(value) and all(32 < ord(letter) < 127 for letter in value)
