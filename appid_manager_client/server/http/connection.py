"""What both parsers' connections have in common: limits, and a caller that is gone or half gone.

A caller that has closed its side after a complete request gets its answer. Which phase a connection
is in, and for how long it may be, is left to `limits`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from starlette.types import Scope

from .limits import Phase, Watch

_CONNECTION = "appid_manager.connection"


class WatchedConnection(asyncio.Protocol):
    """One connection, over a protocol of uvicorn.

    Attributes:
        gone: whether nobody waits for an answer any more, or may not: the caller closed its side.
            A process that was killed does the same as one that only has nothing more to send.
    """

    # Of uvicorn's protocol.
    transport: Any
    cycle: Any
    connections: Any
    loop: Any

    # Of `limits`.
    phase: Phase
    phase_of: object
    since: float
    allowed: float

    gone = False

    def __init__(self, watch: Watch, **options: Any) -> None:
        super().__init__(**options)
        self._watch = watch
        self._tell_gone: Callable[[], None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A caller has connected."""
        super().connection_made(transport)
        self._watch.begin(self, self.loop.time())

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is closed, by either side."""
        self._note_gone()
        super().connection_lost(exc)

    def eof_received(self) -> Any:  # a bool, but uvicorn declares that there is none
        """The caller sends no more: keep the connection for answers that are due."""
        self._note_gone()
        cycle = self.cycle
        if cycle is None or cycle.response_complete:
            return False
        if cycle.more_body and not self.has_pipelined():
            return False
        cycle.keep_alive = False
        return True

    def _note_gone(self) -> None:
        self.gone = True
        tell, self._tell_gone = self._tell_gone, None
        if tell is not None:
            tell()

    def when_gone(self, tell: Callable[[], None]) -> None:
        """Call `tell` once the caller has closed its side; in place of what was given before."""
        if self.gone:
            tell()
        else:
            self._tell_gone = tell

    def has_begun_head(self) -> bool:
        """Whether a part of a request's head came."""
        raise NotImplementedError

    def has_pipelined(self) -> bool:
        """Whether an earlier request than `cycle` is not answered yet."""
        return False

    def show_in(self, scope: Any) -> None:
        """Have the handler of a request see its connection."""
        scope[_CONNECTION] = self


class Caller:
    """Who sent a request, as far as its connection shows it."""

    __slots__ = ("_connection",)

    def __init__(self, scope: Scope) -> None:
        self._connection: WatchedConnection | None = scope.get(_CONNECTION)

    def is_gone(self) -> bool:
        """Return whether it has closed its side of the connection, or lost it."""
        return self._connection is not None and self._connection.gone

    def when_gone(self, tell: Callable[[], None]) -> None:
        """Call `tell` once that is so. The last `tell` of a connection counts."""
        if self._connection is not None:
            self._connection.when_gone(tell)
