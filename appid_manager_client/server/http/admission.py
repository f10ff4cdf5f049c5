"""Who may call: no page of another site, and whoever has a token for it. Refusals are logged.

The rules stand in `origins`, `authentication` and `slowing`; what a call then does is its handler's
business.
"""

from __future__ import annotations

import asyncio
import logging

from starlette.types import Scope

from ..log import BoundedEvents
from ..tokens import ANYBODY, Identity, Role
from . import answers
from .answers import Reply
from .authentication import Authenticator
from .origins import Origins
from .slowing import WrongTokens

_LONGEST_SHOWN = 200

IDENTITY = "appid_manager.identity"
"""Where a request that was admitted says who calls."""


class Admission:
    """Admits requests or answers them with a refusal, for all paths of one service."""

    def __init__(
        self, authenticator: Authenticator, origins: Origins, events: BoundedEvents
    ) -> None:
        self._authenticator = authenticator
        self._origins = origins
        self._events = events
        self._wrong_tokens = WrongTokens()

    async def admit(self, scope: Scope, role: Role | None) -> Identity | Reply:
        """Return who calls, or the answer to who may not.

        Args:
            scope: the request.
            role: what the path asks for; `None`: no token.
        """
        refusal = self.refuse_foreign(scope)
        if refusal is not None:
            return refusal
        if role is None:
            return ANYBODY
        identity = self._authenticator.identify(scope["headers"])
        if identity is None:
            return await self._refuse_unknown(scope)
        if identity.role < role:
            return self.refuse_role(scope, identity, role)
        return identity

    def is_tried(self, scope: Scope) -> bool:
        """Whether a request carries any token."""
        return self._authenticator.is_tried(scope["headers"])

    def refuse_foreign(self, scope: Scope) -> Reply | None:
        """Return the answer to what a page of another site may have sent, or `None`."""
        objection = self._origins.objection(scope["method"], scope["headers"])
        if objection is None:
            return None
        self._events.log(
            logging.WARNING,
            "foreign_origin",
            "refused %(method)s %(path)s from %(peer)s with %(header)s: %(value)s; %(advice)s",
            **_request(scope),
            header=objection.header,
            value=objection.value[:_LONGEST_SHOWN],
            advice=objection.advice,
        )
        return answers.foreign_origin(objection.header, objection.advice)

    def refuse_role(self, scope: Scope, identity: Identity, role: Role) -> Reply:
        """Return the answer to one whose token is not good for this call."""
        self._events.log(
            logging.WARNING,
            "forbidden",
            "refused %(method)s %(path)s from %(peer)s: the token %(token)s has the role %(role)s, "
            "and this needs %(needed)s",
            **_request(scope),
            token=identity.name,
            role=identity.role.word,
            needed=role.word,
        )
        return answers.forbidden(identity, role)

    async def slow_down(self, scope: Scope) -> None:
        """Note a wrong token, and wait as long as its answer has to."""
        host = (scope.get("client") or ("unknown",))[0]
        delay = self._wrong_tokens.note(host)
        if delay:
            await asyncio.sleep(delay)

    def log_unknown(self, scope: Scope, problem: str) -> None:
        """Log a request whose token is wrong or missing."""
        self._events.log(
            logging.WARNING,
            "unauthorized",
            "refused %(method)s %(path)s from %(peer)s: the token is %(problem)s",
            **_request(scope),
            problem=problem,
        )

    async def _refuse_unknown(self, scope: Scope) -> Reply:
        tried = self._authenticator.is_tried(scope["headers"])
        self.log_unknown(scope, "wrong" if tried else "missing")
        if tried:
            await self.slow_down(scope)
        return answers.unauthorized()


def _request(scope: Scope) -> dict[str, str]:
    return {
        "method": scope["method"],
        "path": scope["path"][:_LONGEST_SHOWN],
        "peer": peer_of(scope),
    }


def peer_of(scope: Scope) -> str:
    """The address of the caller, or of the proxy before it, as `host:port`."""
    if scope.get("client") is None:
        return "unknown"
    host, port = scope["client"]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def token_of(scope: Scope) -> str | None:
    """The name of the token with which a request was admitted; `None` if there is none."""
    identity: Identity | None = scope.get(IDENTITY)
    return None if identity is None else identity.name


def who_calls(scope: Scope) -> str:
    """The caller's address, with the name of the token before it if there is one."""
    token, peer = token_of(scope), peer_of(scope)
    return peer if token is None else f"{token} at {peer}"
