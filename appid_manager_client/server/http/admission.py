"""Who may call: no page of another site, and whoever has the token. Refusals are logged.

The rules stand in `origins` and `authentication`; what a call then does is its handler's business.
"""

from __future__ import annotations

import logging

from starlette.types import Scope

from ..log import BoundedEvents
from . import answers
from .answers import Reply
from .authentication import Authenticator
from .origins import Origins

_LONGEST_SHOWN = 200


class Admission:
    """Admits requests or answers them with a refusal, for all paths of one service."""

    def __init__(
        self, authenticator: Authenticator, origins: Origins, events: BoundedEvents
    ) -> None:
        self._authenticator = authenticator
        self._origins = origins
        self._events = events

    def refusal(self, scope: Scope, *, public: bool) -> Reply | None:
        """Return the answer to who may not call, or `None`. A public path asks for no token."""
        headers = scope["headers"]
        objection = self._origins.objection(scope["method"], headers)
        if objection is not None:
            self._events.log(
                logging.WARNING,
                "foreign_origin",
                "refused %(method)s %(path)s from %(peer)s with %(header)s: %(value)s; %(advice)s",
                method=scope["method"],
                path=scope["path"][:_LONGEST_SHOWN],
                peer=peer_of(scope),
                header=objection.header,
                value=objection.value[:_LONGEST_SHOWN],
                advice=objection.advice,
            )
            return answers.foreign_origin(objection.header, objection.advice)
        if public or self._authenticator.admits(headers):
            return None
        self._events.log(
            logging.WARNING,
            "unauthorized",
            "refused %(method)s %(path)s from %(peer)s: the token is %(problem)s",
            method=scope["method"],
            path=scope["path"][:_LONGEST_SHOWN],
            peer=peer_of(scope),
            problem="wrong" if self._authenticator.is_tried(headers) else "missing",
        )
        return answers.unauthorized()


def peer_of(scope: Scope) -> str:
    """The address of the caller, or of the proxy before it, as `host:port`."""
    if scope.get("client") is None:
        return "unknown"
    host, port = scope["client"]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
