"""When heartbeats are due, and the call that sends them: one for all of a client's leases."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from ..errors import AppIdManagerError
from ..runtime.time import SystemTime
from ..wire.api import ServiceApi
from .claim import Claim

logger = logging.getLogger("appid_manager_client")

BEATS_PER_TTL = 3
_LEASES_PER_CALL = 1000


class Heart:
    """The cadence of one client's heartbeats: a third of the smallest `ttl`, and sooner after a failure."""

    def __init__(self, api: ServiceApi, system: SystemTime) -> None:
        self._api = api
        self._system = system
        self._failures = 0
        self._last_try = float("-inf")

    def next_beat(self, held: Iterable[Claim]) -> float | None:
        """When the next heartbeat is due (monotonic), or `None` if nothing needs one."""
        beating = [claim for claim in held if claim.beating]
        if not beating:
            return None
        moment = min(claim.heard_at + (claim.ttl or 0.0) / BEATS_PER_TTL for claim in beating)
        shortest = min(claim.ttl or 0.0 for claim in beating)
        return max(moment, self._last_try + min(5.0, shortest / 10))

    def beat(self, held: list[Claim]) -> tuple[list[Claim], list[Claim], float]:
        """Send what is due. Gives the claims that live on, those that were lost, and when the call was sent."""
        now = self._system.monotonic()
        due = self.next_beat(held)
        if due is None or due > now:
            return [], [], now
        by_id = {
            claim.grant.lease_id: claim
            for claim in held
            if claim.grant is not None and claim.grant.lease_id is not None
        }
        renewed: list[Claim] = []
        lost: list[Claim] = []
        ids = list(by_id)
        self._last_try = now
        try:
            for start in range(0, len(ids), _LEASES_PER_CALL):
                answer = self._api.heartbeat(ids[start : start + _LEASES_PER_CALL])
                renewed += [by_id[lease] for lease in answer.renewed if lease in by_id]
                lost += [by_id[lease] for lease in answer.lost if lease in by_id]
            self._failures = 0
        except AppIdManagerError as error:
            self._failures += 1
            log = logger.warning if self._failures == 1 else logger.debug
            log("a heartbeat for %d leases failed: %s", len(ids), error)
        return renewed, lost, now
