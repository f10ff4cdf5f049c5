"""When heartbeats are due, and the call that sends them: one for all leases of a client."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from ..errors import AppIdManagerError
from ..runtime.time import SystemTime
from ..text import get_logger
from ..wire.api import ServiceApi
from .claim import Claim

logger = get_logger()

BEATS_PER_TTL = 3
"""A heartbeat is due after a third of the smallest `ttl`: some can fail before a lease ends."""

_LONGEST_PAUSE = 5.0
"""Seconds from a heartbeat that failed to the next; a tenth of the `ttl` where that is less."""

_LEASES_PER_CALL = 1000
"""How many leases one call extends: its body stays far below the 1 MiB that a service takes."""


class Beat(NamedTuple):
    """What a heartbeat brought: which claims live, which were lost, and when it was sent."""

    alive: list[Claim]
    lost: list[Claim]
    sent: float


class Heartbeat:
    """The heartbeats of one client: every third of the smallest `ttl`, sooner after a failure."""

    def __init__(self, api: ServiceApi, system: SystemTime) -> None:
        self._api = api
        self._system = system
        self._failures = 0
        self._last_try = float("-inf")

    def next_due(self, held: Iterable[Claim]) -> float | None:
        """When the next heartbeat is due (monotonic), or `None` if no claim needs one."""
        beating = [claim for claim in held if claim.beating]
        if not beating:
            return None
        due = min(claim.heard_at + (claim.ttl or 0.0) / BEATS_PER_TTL for claim in beating)
        shortest = min(claim.ttl or 0.0 for claim in beating)
        return max(due, self._last_try + min(_LONGEST_PAUSE, shortest / 10))

    def send(self, held: list[Claim]) -> Beat:
        """Send a heartbeat for all of them if one is due. A failure is logged, not raised."""
        now = self._system.monotonic()
        due = self.next_due(held)
        if due is None or due > now:
            return Beat([], [], now)
        by_id = {
            claim.grant.lease_id: claim
            for claim in held
            if claim.grant is not None and claim.grant.lease_id is not None
        }
        beat = Beat([], [], now)
        ids = list(by_id)
        self._last_try = now
        try:
            for start in range(0, len(ids), _LEASES_PER_CALL):
                answer = self._api.heartbeat(ids[start : start + _LEASES_PER_CALL])
                beat.alive.extend(by_id[lease] for lease in answer.renewed if lease in by_id)
                beat.lost.extend(by_id[lease] for lease in answer.lost if lease in by_id)
            self._failures = 0
        except AppIdManagerError as error:
            self._failures += 1
            log = logger.warning if self._failures == 1 else logger.debug
            log("a heartbeat for %d leases failed: %s", len(ids), error)
        return beat
