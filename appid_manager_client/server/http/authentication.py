"""Who may call: the one place where a token that was sent is compared with the service's own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hmac import compare_digest

from ...secret import Token


class Authenticator:
    """Admits requests that carry the token; a service without a token admits all of them."""

    def __init__(self, auth_token: str | None) -> None:
        self._token = None if auth_token is None else Token(auth_token)

    def admits(self, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        """Return whether `X-API-Key` or `Authorization: Bearer` carries the token.

        Args:
            headers: those of the request, their names in lower case.
        """
        if self._token is None:
            return True
        expected = self._token.encode("ascii")
        return any(compare_digest(sent, expected) for sent in _tokens(headers))

    def is_tried(self, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        """Return whether the request carries any token."""
        return any(_tokens(headers))


def _tokens(headers: Iterable[tuple[bytes, bytes]]) -> Iterator[bytes]:
    for name, value in headers:
        if name == b"x-api-key":
            yield value
        elif name == b"authorization" and value[:7].lower() == b"bearer ":
            yield value[7:].strip()
