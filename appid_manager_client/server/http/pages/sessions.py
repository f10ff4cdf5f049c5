"""Sessions of browsers: signed cookies that name their token, and what a form carries against CSRF.

A cookie holds no token. It is good for twelve hours, and only while its token is; the services of
one database share the key that signs it.
"""

from __future__ import annotations

import hmac
import json
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ...tokens import ANYBODY, Identity, Tokens

COOKIE = "appid_session"
LASTS = 12 * 3600
"""Seconds for which a session is good."""

_LONGEST_COOKIE = 1_000


@dataclass(frozen=True, slots=True)
class Session:
    """A browser that has logged in, or one that needs no login.

    `csrf` is what each of its forms must carry.
    """

    identity: Identity
    csrf: str


class Sessions:
    """Makes cookies and reads them.

    Args:
        key: what they are signed with.
        tokens: the tokens of the service.
        clock: the time in milliseconds since the Unix epoch.
    """

    def __init__(self, key: bytes, tokens: Tokens, clock: Callable[[], int]) -> None:
        self._key = key
        self._tokens = tokens
        self._clock = clock

    def open(self, identity: Identity) -> str:
        """The value of the cookie of a new session."""
        facts = {
            "name": identity.name,
            "token": self._sign(b"token", identity.digest),
            "until": self._clock() // 1000 + LASTS,
            "id": secrets.token_hex(16),
        }
        content = urlsafe_b64encode(json.dumps(facts).encode("ascii"))
        return f"{content.decode('ascii')}.{self._sign(b'session', content)}"

    def read(self, cookie: str) -> Session | None:
        """The session of a cookie; `None` if it isn't ours, or is over, or its token is gone."""
        content, _, signature = cookie[:_LONGEST_COOKIE].partition(".")
        signed = self._sign(b"session", content.encode("latin-1"))
        if not hmac.compare_digest(signed.encode("ascii"), signature.encode("latin-1")):
            return None
        facts: dict[str, Any] = json.loads(urlsafe_b64decode(content))
        identity = self._tokens.find(facts["name"])
        if identity is None or facts["until"] <= self._clock() // 1000:
            return None
        if not hmac.compare_digest(facts["token"], self._sign(b"token", identity.digest)):
            return None
        return Session(identity, self._sign(b"csrf", facts["id"].encode("ascii")))

    def without_login(self, identity: Identity = ANYBODY) -> Session:
        """The session of a caller that shows who it is with each request, or needs not to."""
        return Session(identity, self._sign(b"csrf", identity.digest))

    def _sign(self, purpose: bytes, content: bytes) -> str:
        return hmac.new(self._key, purpose + b":" + content, "sha256").hexdigest()


def cookie_of(headers: list[tuple[bytes, bytes]]) -> str | None:
    """The cookie of a session that a request carries."""
    for name, value in headers:
        if name == b"cookie":
            for part in value.decode("latin-1").split(";"):
                key, _, content = part.strip().partition("=")
                if key == COOKIE:
                    return content
    return None
