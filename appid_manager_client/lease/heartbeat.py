"""The call that sends heartbeats: one for all leases of a client. `ledger.py` says when."""

from __future__ import annotations

from typing import NamedTuple

from ..errors import AppIdManagerError
from ..runtime.time import SystemTime
from ..text import get_logger
from ..wire.api import ServiceApi
from .claim import Claim

logger = get_logger()

_LEASES_PER_CALL = 1000
"""How many leases one call extends: its body stays far below the 1 MiB that a service takes."""


class Beat(NamedTuple):
    """What a heartbeat brought: which claims live, which were lost, and when it was sent."""

    alive: list[Claim]
    lost: list[Claim]
    sent: float


class Heartbeat:
    """Sends the heartbeats of one client."""

    def __init__(self, api: ServiceApi, system: SystemTime) -> None:
        self._api = api
        self._system = system
        self._failures = 0

    def send(self, held: list[Claim]) -> Beat:
        """Send a heartbeat for all of them. A failure is logged, not raised."""
        by_id = {
            claim.grant.lease_id: claim
            for claim in held
            if claim.grant is not None and claim.grant.lease_id is not None
        }
        beat = Beat([], [], self._system.monotonic())
        ids = list(by_id)
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
