"""What a handler gets of a request."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.types import Scope

from ..tokens import Identity
from .admission import peer_of, who_calls
from .connection import Caller


@dataclass(slots=True)
class Call:
    """A request that was admitted.

    Attributes:
        body: the body.
        query: the query as it was sent.
        scope: the request as ASGI has it.
        caller: the connection that it came by.
        identity: whose token it carries.
    """

    body: bytes
    query: bytes
    scope: Scope
    caller: Caller
    identity: Identity

    @property
    def token(self) -> str | None:
        """The name of the token with which it is called; `None`: the service has no tokens."""
        return self.identity.name

    @property
    def peer(self) -> str:
        """The address of the caller, or of the proxy before it."""
        return peer_of(self.scope)

    @property
    def who(self) -> str:
        """Who calls, for the log: the address, and the name of the token if there is one."""
        return who_calls(self.scope)
