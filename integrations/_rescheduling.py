"""When a rescheduled task or job runs again, and what it carries along about its waits.

How it is put back into its queue is for `celery.py` and `rq.py`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from appid_manager_client import NoAppIdAvailable
from appid_manager_client.runtime.time import SystemTime
from appid_manager_client.wire.answers import LONGEST_TICKET

LONGEST_HOP = 300.0
"""Seconds that a rescheduled task stays away at the most.

Far below the visibility timeouts of brokers, after which they deliver a message again.
"""

_UNKNOWN_HOP = 60.0
_JITTER = 0.5

WAITS = "appid_waits"
SINCE = "appid_waiting_since"
TICKET = "appid_ticket"
COME_BACK = "appid_come_back"
CARRIED = (WAITS, SINCE, TICKET, COME_BACK)
"""What the headers of a Celery task, and the meta of an RQ job, say about its waits so far.

A request's id is never among it: a broker may deliver a task twice, and one request must not serve
two runs.
"""


def hop_seconds(error: NoAppIdAvailable) -> float:
    """Returns the seconds until a rescheduled task tries again.

    Jitter is included, but where the service's line told the moment: there it has some already.
    """
    seconds = _UNKNOWN_HOP if error.retry_after is None else error.retry_after
    jitter = 0.0 if error.come_back_at is not None else SystemTime().uniform(0.0, _JITTER)
    return min(seconds, LONGEST_HOP) + jitter


@dataclass(frozen=True, slots=True)
class Standing:
    """The place in line that a task carries along, and when it should come back with it."""

    ticket: str | None = None
    come_back: float = 0.0

    @classmethod
    def of(cls, carried: Mapping[str, Any]) -> Standing:
        """That of a task. What isn't ours, or can't be one, is no place."""
        ticket, come_back = carried.get(TICKET), carried.get(COME_BACK)
        if not isinstance(ticket, str) or not 0 < len(ticket) <= LONGEST_TICKET:
            return cls()
        if isinstance(come_back, bool) or not isinstance(come_back, (int, float)):
            return cls(ticket)
        return cls(ticket, come_back if 0 <= come_back < math.inf else 0.0)


@dataclass(frozen=True, slots=True)
class Hop:
    """One wait of a rescheduled task outside of its worker, until its next try.

    Attributes:
        seconds: how long it takes.
        next_try: when it ends, in seconds since the Unix epoch.
        since: when the first wait began, in seconds since the Unix epoch.
        count: how many hops there were, this one included.
        ticket: the place in line that it keeps.
        come_back: when it is to come back with it, on the service's clock.
        place, waiting: where in line that is, and how many wait.
    """

    seconds: float
    next_try: float
    since: float
    count: int
    ticket: str | None
    come_back: float | None
    place: int | None
    waiting: int | None

    @classmethod
    def after(
        cls,
        error: NoAppIdAvailable,
        carried: Mapping[str, Any],
        timeout: float | None,
        *,
        whole_seconds: bool = False,
    ) -> Hop:
        """The hop that follows an acquire which got nothing.

        Args:
            error: what the acquire raised.
            carried: what the task carries from earlier waits; see `CARRIED`.
            timeout: seconds that all waits may take together; `None`: no bound.
            whole_seconds: the queue counts whole seconds, and takes 0 for "at once".

        Raises:
            NoAppIdAvailable: `error` itself, where the hop would end after the timeout.
        """
        seconds = hop_seconds(error)
        if whole_seconds:
            seconds = max(1, math.ceil(seconds))
        now = time.time()
        hop = cls(
            seconds=seconds,
            next_try=now + seconds,
            since=float(carried.get(SINCE) or now - error.waited),
            count=int(carried.get(WAITS, 0)) + 1,
            ticket=error.ticket,
            come_back=error.come_back_at,
            place=error.place,
            waiting=error.waiting,
        )
        if timeout is not None and hop.next_try > hop.since + timeout:
            raise error
        return hop

    def carry(self) -> dict[str, Any]:
        """Returns what the task carries along; see `CARRIED`."""
        standing = {TICKET: self.ticket, COME_BACK: self.come_back}
        return {SINCE: self.since, WAITS: self.count, **standing}

    def in_line(self) -> dict[str, int]:
        """Returns what the task's state says of its place in line; empty where it has none."""
        if self.place is None or self.waiting is None:
            return {}
        return {"place": self.place, "waiting": self.waiting}
