"""How long a caller may take, and how many connections there may be: looked at, and enforced.

The connections are looked at once a second, so that no request pays for it. What a connection waits
for is read off uvicorn's protocol, which is the same for both parsers (`connection`).
"""

from __future__ import annotations

import heapq
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

from ..log import BoundedEvents
from . import answers

_INIT_PATH = "/api/appid/init"

# Files besides connections: the database, the log, what a program around a `LocalService` opens.
_FEWEST_OTHER_FILES = 64


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The limits of one service. Times are in seconds.

    Attributes:
        connections: how many there may be at once.
        head: from the connection, or from the first byte of a later request, to the head's end.
        body: from the head's end to the body's end.
        init_body: the same for an init.
        idle: between two requests. Longer than clients pause between two heartbeats: a client that
            sends just as its connection is closed can't know whether it was heard.
        answer: for reading an answer.
        reading_rate: bytes; for reading each of so many, an answer gets one second more.
    """

    connections: int
    head: float = 10.0
    body: float = 30.0
    init_body: float = 120.0
    idle: float = 75.0
    answer: float = 30.0
    reading_rate: int = 64 * 1024


def limits_for(open_files: int) -> Limits:
    """The limits of a process that may have so many files open."""
    others = max(_FEWEST_OTHER_FILES, open_files // 8)
    return Limits(connections=max(open_files - others, open_files // 2, 1))


class Phase(Enum):
    """What a connection waits for; the value says it for the log."""

    HEAD = "the head of a request"
    BODY = "the body of a request"
    IDLE = "the next request"
    READER = "the caller to read its answer"
    SERVICE = "the service"


class Connection(Protocol):
    """What is read off one connection of uvicorn."""

    transport: Any
    cycle: Any
    connections: Any
    phase: Phase
    phase_of: object
    since: float
    allowed: float

    def has_begun_head(self) -> bool: ...

    def has_pipelined(self) -> bool: ...


class Watch:
    """Enforces the limits of one service, on its event loop.

    Args:
        limits: the limits.
        events: where it is logged that a limit was reached.
    """

    def __init__(self, limits: Limits, events: BoundedEvents) -> None:
        self.limits = limits
        self._events = events
        self._next_look = 0.0
        self._pause = min(1.0, limits.head / 4, limits.body / 4, limits.answer / 4)

    def begin(self, connection: Connection, now: float) -> None:
        """Take in a connection that was just made; close others if there are too many."""
        self._enter(connection, Phase.HEAD, None, now)
        if len(connection.connections) > self.limits.connections:
            self._make_room(connection)

    def look(self, connections: Iterable[Connection], now: float) -> None:
        """End the connections that have waited for too long. Does nothing if called too soon."""
        if now < self._next_look:
            return
        self._next_look = now + self._pause
        for connection in list(connections):
            phase = _phase_of(connection)
            if phase is not connection.phase or connection.cycle is not connection.phase_of:
                self._enter(connection, phase, connection.cycle, now)
            elif now - connection.since > connection.allowed:
                self._end(connection)

    def _enter(self, connection: Connection, phase: Phase, of: object, now: float) -> None:
        connection.phase, connection.phase_of, connection.since = phase, of, now
        connection.allowed = self._allowed(connection, phase)

    def _allowed(self, connection: Connection, phase: Phase) -> float:
        match phase:
            case Phase.HEAD:
                return self.limits.head
            case Phase.BODY:
                is_init = connection.cycle.scope["path"] == _INIT_PATH
                return self.limits.init_body if is_init else self.limits.body
            case Phase.IDLE:
                return self.limits.idle
            case Phase.READER:
                waiting: int = connection.transport.get_write_buffer_size()
                return self.limits.answer + waiting / self.limits.reading_rate
        return float("inf")

    def _end(self, connection: Connection) -> None:
        phase, transport = connection.phase, connection.transport
        if phase is not Phase.IDLE:
            self._log_end(connection)
        if phase is Phase.READER:
            transport.abort()
            return
        began = phase is Phase.BODY or (phase is Phase.HEAD and connection.has_begun_head())
        cycle = connection.cycle
        if began and (cycle is None or phase is Phase.HEAD or not cycle.response_started):
            transport.write(answers.as_bytes(answers.request_timeout(phase.value)))
        if phase is Phase.BODY:
            # Whoever reads the body hears that it broke off; nothing is carried out.
            cycle.disconnected = True
            cycle.message_event.set()
        transport.close()

    def _make_room(self, newcomer: Connection) -> None:
        """Close connections that wait for their caller, those that wait longest first.

        Several at once, so that not every newcomer has to look through all of them. If each has a
        request under way, the newcomer is refused.
        """
        connections = newcomer.connections
        waiting = [
            one
            for one in connections
            if one is not newcomer and _phase_of(one) in (Phase.IDLE, Phase.HEAD)
        ]
        count = max(self.limits.connections // 50, len(connections) - self.limits.connections)
        closed = heapq.nsmallest(count, waiting, key=lambda one: one.since)
        for one in closed or [newcomer]:
            if one is newcomer:
                one.transport.write(answers.as_bytes(answers.too_many_connections()))
            one.transport.close()
            connections.discard(one)
        self._events.log(
            logging.WARNING,
            "connections_full",
            "all %(bound)d connections are taken: %(closed)d that waited longest are closed; "
            "a higher limit of open files (ulimit -n) allows more",
            bound=self.limits.connections,
            closed=len(closed),
        )

    def _log_end(self, connection: Connection) -> None:
        peer = getattr(connection, "client", None)
        self._events.log(
            logging.INFO,
            "slow_caller",
            "a connection of %(peer)s is closed: it waited for %(phase)s for %(seconds).0f s",
            peer="unknown" if peer is None else f"{peer[0]}:{peer[1]}",
            phase=connection.phase.value,
            seconds=connection.allowed,
        )


def _phase_of(connection: Connection) -> Phase:
    transport, cycle = connection.transport, connection.cycle
    if transport.is_closing() or transport.get_write_buffer_size():
        return Phase.READER
    if cycle is None or (cycle.response_complete and not cycle.more_body):
        return Phase.HEAD if cycle is None or connection.has_begun_head() else Phase.IDLE
    if connection.has_pipelined():
        return Phase.SERVICE  # an earlier request is not answered yet, and reading pauses
    return Phase.BODY if cycle.more_body else Phase.SERVICE
