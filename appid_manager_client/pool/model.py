"""What a pool is made of: its options, slots, tickets, results and statistics.

Data only. What happens to it is decided in `plan.py`, `slots.py` and `queue.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from ..checks import check_seconds
from ..lease.claim import Claim
from ..lease.held import LeaseState
from ..lease.options import DEFAULT_TTL, LeaseOptions
from ..wire.models import Wait
from .places import Wish

ON_ERROR = ("release", "keep")


@dataclass(frozen=True, slots=True)
class PoolOptions:
    """The arguments of `client.pool(...)`; see there."""

    min_size: int = 0
    max_size: int = 4
    max_uses: int | None = None
    renew_margin: float = 5.0
    timeout: float | None = 30.0
    on_error: str = "release"
    ttl: float | None = DEFAULT_TTL
    holder: str | None = None

    def __post_init__(self) -> None:
        _check_count(self.min_size, "min_size", 0)
        _check_count(self.max_size, "max_size", 1)
        if self.min_size > self.max_size:
            raise ValueError(
                f"min_size must be at most max_size ({self.max_size}), not {self.min_size}"
            )
        if self.max_uses is not None:
            _check_count(self.max_uses, "max_uses", 1)
        check_seconds(self.renew_margin, "renew_margin")
        if self.timeout is not None:
            check_seconds(self.timeout, "timeout")
        LeaseOptions(ttl=self.ttl, holder=self.holder)
        if self.on_error not in ON_ERROR:
            raise ValueError(f"on_error must be 'release' or 'keep', not {self.on_error!r}")


def _check_count(value: object, name: str, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an int, not {type(value).__name__}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, not {value}")


class SlotState(Enum):
    """The state of a slot."""

    IDLE = auto()
    CHECKED_OUT = auto()
    RETIRED = auto()
    """Not to be used again. The next decision sends its release."""
    RELEASING = auto()
    """Its release is on the wire."""
    REMOVED = auto()
    """The pool does not hold it any more."""


@dataclass(eq=False, slots=True)
class Slot:
    """One AppID that a pool holds in the hour of its grant. Guarded by the plan's lock.

    Attributes:
        claim: the keeper's record of it.
        hour_end: when its hour ends, in seconds since the Unix epoch on the service's clock.
        closes_at: the monotonic time from which on it is not handed out any more.
        ends_at: the monotonic time until which its hour has certainly not ended.
        beat_within: seconds without a heartbeat after which its lease may have ended; `None` if
            it needs no heartbeats.
        stale: whether the latest decision found that `closes_at` has passed. A stale slot that
            is given back is released, not reused.
        uses: how often it was checked out.
        loss: why it was lost; empty while it isn't.
    """

    claim: Claim
    hour_end: float
    closes_at: float
    ends_at: float
    beat_within: float | None
    stale: bool = False
    state: SlotState = SlotState.IDLE
    uses: int = 0
    loss: str = ""


class Ticket:
    """A lease of a pool as the plan, its slots and its queue see it.

    Plain attributes, not properties: nothing may be called between taking a slot and owning it
    (see `Slots.take`). `PooledLease` is a ticket, and does not have one: a second object would
    make a checkout 4 % slower. It sets all attributes.

    Attributes:
        timeout: seconds that a checkout may wait; `None`: as long as the pool's options say.
        min_remaining: seconds that must be left of the hour.
        state: the state of the lease. Guarded by the plan's lock.
        slot: the slot that it holds, or held last. Guarded by the plan's lock.
    """

    __slots__ = ("timeout", "min_remaining", "state", "slot")

    timeout: float | None
    min_remaining: float
    state: LeaseState
    slot: Slot | None


@dataclass(slots=True)
class AcquireResult:
    """How an acquire went.

    It has `hour_end` after a grant, `wait` after a 202, `error` after a failure, and none of
    them if it was not sent. `wish` is what it was for, if that stands in line.
    """

    claim: Claim | None
    sent: float
    wish: Wish | None = None
    has_line: bool | None = None
    hour_end: float | None = None
    wait: Wait | None = None
    error: Exception | None = None


@dataclass(slots=True)
class Figures:
    """Counters of a pool; `PoolStats` explains them. Guarded by the plan's lock."""

    wait_seconds: float = 0.0
    timeouts: int = 0
    acquired: int = 0
    renewals: int = 0
    burned: int = 0
    lost: int = 0


@dataclass(frozen=True, slots=True)
class PoolStats:
    """The statistics of a pool at one time. `dataclasses.asdict` makes a dict of them.

    Counts and sums run since the pool was made.

    Attributes:
        product_name: the pool's product.
        min_size, max_size: the options that the pool was made with.
        size: AppIDs that it holds: idle, checked out, and being released.
        idle: AppIDs that can be checked out at once.
        checked_out: AppIDs that are in use by code of this process.
        giving_back: AppIDs that are being released to the service.
        asking: acquires that are on the wire.
        waiting: callers that wait for a lease.
        checkouts: leases handed out.
        wait_seconds: the time that callers waited for those leases, added up.
        timeouts: checkouts that ended in a `PoolTimeout`.
        acquired: AppIDs that the service granted.
        renewals: those of them that replaced AppIDs of the hour before.
        burned: AppID-hours that served nobody: acquired and never checked out, or held over the
            turn of the hour.
        lost: AppIDs that ended before they were given back.
        errors: acquires, and calls for the service's time, that failed. Releases that failed
            are not counted: `AppIdClient.pending_releases` has them.
        last_error: the message of the latest of them; `None` if none failed since the last
            success.
        exhausted: whether the service has no more AppIDs in this hour.
        next_turn: seconds until the service's hour turns; `None` while its hours are not known.
        maintained: whether the maintenance thread runs. It starts when it is first needed, and
            starts again if it died.
        closed: whether the pool was closed.
    """

    __module__ = "appid_manager_client"

    product_name: str
    min_size: int
    max_size: int
    size: int
    idle: int
    checked_out: int
    giving_back: int
    asking: int
    waiting: int
    checkouts: int
    wait_seconds: float
    timeouts: int
    acquired: int
    renewals: int
    burned: int
    lost: int
    errors: int
    last_error: str | None
    exhausted: bool
    next_turn: float | None
    maintained: bool
    closed: bool
