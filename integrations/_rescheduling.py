"""When a rescheduled task or job runs again, and what it carries along about its waits.

How it is put back into its queue is for `celery.py` and `rq.py`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from appid_manager_client import NoAppIdInTime
from appid_manager_client.runtime.time import SystemTime

LONGEST_HOP = 300.0
"""Seconds that a rescheduled task stays away at the most.

Far below the visibility timeouts of brokers, after which they deliver a message again.
"""

_UNKNOWN_HOP = 60.0
_JITTER = 0.5

WAITS = "appid_waits"
SINCE = "appid_waiting_since"
CARRIED = (WAITS, SINCE)
"""What the headers of a Celery task, and the meta of an RQ job, say about its waits so far."""


def hop_seconds(error: NoAppIdInTime) -> float:
    """Returns the seconds until a rescheduled task tries again. Jitter is included."""
    seconds = _UNKNOWN_HOP if error.retry_after is None else error.retry_after
    return min(seconds, LONGEST_HOP) + SystemTime().uniform(0.0, _JITTER)


@dataclass(frozen=True, slots=True)
class Hop:
    """One wait of a rescheduled task outside of its worker, until its next try.

    Attributes:
        seconds: how long it takes.
        next_try: when it ends, in seconds since the Unix epoch.
        since: when the first wait began, in seconds since the Unix epoch.
        count: how many hops there were, this one included.
    """

    seconds: float
    next_try: float
    since: float
    count: int

    @classmethod
    def after(
        cls,
        error: NoAppIdInTime,
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
            NoAppIdInTime: `error` itself, where the hop would end after the timeout.
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
        )
        if timeout is not None and hop.next_try > hop.since + timeout:
            raise error
        return hop

    def carry(self) -> dict[str, Any]:
        """Returns what the task carries along; see `CARRIED`."""
        return {SINCE: self.since, WAITS: self.count}
