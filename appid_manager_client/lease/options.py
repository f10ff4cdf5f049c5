"""What a lease, and the wait for it, were asked for: checked once, before anything is sent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..checks import check_name, check_seconds, longer_than_an_hour
from ..runtime.identity import MAX_HOLDER
from ..wire.answers import LONGEST_TICKET
from ..wire.clock import HOUR
from .held import Lease

DEFAULT_TTL = 60.0
"""Seconds without a heartbeat after which an extended service ends a lease by itself."""


@dataclass(frozen=True, slots=True)
class WaitOptions:
    """How an acquire waits.

    Attributes:
        max_retries: how many tries follow the first one (documented default: 60).
        retry_interval: seconds between polls while every AppID is taken (documented default: 60);
            also the longest backoff.
        timeout: seconds that the whole call may take; `None`: no bound but `max_retries`; 0: one
            try, no waiting.
        force: take an AppID that was already used in this hour.
        min_remaining: seconds that must be left of the hour; with less, wait for the next hour.
        not_before: nothing is of use before this time, in seconds since the Unix epoch on the
            service's clock.
        ticket: a place in line that an earlier wait kept.
        keep_place: whether a wait that ends without an AppID keeps its place, as
            `NoAppIdAvailable.ticket`.
        come_back: who waits can come back instead: it keeps its place, and is held over the turn
            only where it is due. The time (seconds since the Unix epoch on the service's clock) is
            that of the error before, and nothing is asked earlier. `None`: it can't.
    """

    max_retries: int = 60
    retry_interval: float = 60
    timeout: float | None = None
    force: bool = False
    min_remaining: float = 0.0
    not_before: float | None = None
    ticket: str | None = None
    keep_place: bool = False
    come_back: float | None = None

    def __post_init__(self) -> None:
        if isinstance(self.max_retries, bool) or not isinstance(self.max_retries, int):
            raise TypeError(f"max_retries must be an int, not {type(self.max_retries).__name__}")
        if self.max_retries < 0:
            raise ValueError(f"max_retries must not be negative, not {self.max_retries}")
        check_seconds(self.retry_interval, "retry_interval")
        if self.timeout is not None:
            check_seconds(self.timeout, "timeout")
        if not isinstance(self.force, bool):
            raise TypeError(f"force must be a bool, not {type(self.force).__name__}")
        if check_seconds(self.min_remaining, "min_remaining") >= HOUR:
            raise longer_than_an_hour(self.min_remaining, HOUR)
        if self.ticket is not None:
            check_name(self.ticket, "ticket", longest=LONGEST_TICKET)
        if not isinstance(self.keep_place, bool):
            raise TypeError(f"keep_place must be a bool, not {type(self.keep_place).__name__}")
        if self.come_back is not None:
            check_seconds(self.come_back, "come_back")


@dataclass(frozen=True, slots=True)
class LeaseOptions:
    """What `client.lease(...)` was asked for; see there."""

    wait: WaitOptions = WaitOptions()
    ttl: float | None = DEFAULT_TTL
    holder: str | None = None
    on_lost: Callable[[Lease], object] | None = None

    def __post_init__(self) -> None:
        ttl, on_lost = self.ttl, self.on_lost
        if ttl is not None and not 1 <= check_seconds(ttl, "ttl") <= 3600:
            raise ValueError(f"ttl must be between 1 and 3600 seconds, not {ttl!r}")
        if self.holder is not None:
            check_name(self.holder, "holder", longest=MAX_HOLDER)
        if on_lost is not None and not callable(on_lost):
            raise TypeError(f"on_lost must be callable, not {type(on_lost).__name__}")
