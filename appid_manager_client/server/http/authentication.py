"""Who calls: the one place where the tokens of a request are taken from its headers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ..tokens import ANYBODY, Identity, Tokens


class Authenticator:
    """Finds whose token a request carries; a service without tokens admits everybody."""

    def __init__(self, tokens: Tokens) -> None:
        self.tokens = tokens

    def identify(self, headers: Iterable[tuple[bytes, bytes]]) -> Identity | None:
        """Whose token `X-API-Key` or `Authorization: Bearer` carries; `None`: nobody's.

        Args:
            headers: those of the request, their names in lower case.
        """
        if not self.tokens.required:
            return ANYBODY
        found = (self.tokens.identify(sent) for sent in _tokens(headers))
        return next((one for one in found if one is not None), None)

    def is_tried(self, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        """Return whether the request carries any token."""
        return any(True for _ in _tokens(headers))


def _tokens(headers: Iterable[tuple[bytes, bytes]]) -> Iterator[bytes]:
    for name, value in headers:
        if name == b"x-api-key":
            yield value
        elif name == b"authorization" and value[:7].lower() == b"bearer ":
            yield value[7:].strip()
