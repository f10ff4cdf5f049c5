"""What a pool is made of: its options, its slots and its statistics. Data only, decided upon in `pool_plan.py`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from ..checks import check_seconds
from ..lease.claim import Claim
from ..lease.options import DEFAULT_TTL, LeaseOptions

ON_ERROR = ("release", "keep")


@dataclass(frozen=True, slots=True)
class PoolOptions:
    """What `client.pool(...)` was asked for; see there."""

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
    """Where a slot stands in its life."""

    IDLE = auto()
    OUT = auto()
    """Checked out."""
    LEAVING = auto()
    """Not to be used again; its release will be sent at the next decision."""
    GIVING_BACK = auto()
    """Its release is on the way."""
    GONE = auto()
    """The pool has no more to do with it."""


@dataclass(eq=False, slots=True)
class Slot:
    """One AppID that a pool holds, for the hour in which it was granted. Guarded by the pool's lock.

    Attributes:
        claim: what the keeper knows of it.
        hour_end: when its hour ends, in seconds since the Unix epoch on the service's clock.
        closes_at: from this monotonic moment on it is not handed out any more.
        ends_at: until this monotonic moment its hour has certainly not ended.
        beat_within: seconds without a heartbeat after which it may have ended; `None` if it needs none.
        stale: the latest decision found that its hour has closed: it is given back when it returns.
        uses: how often it was checked out.
        loss: why it is lost; empty while it isn't.
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


@dataclass(slots=True)
class Figures:
    """What a pool counts, for its statistics; see there. Guarded by the pool's lock."""

    checkouts: int = 0
    wait_seconds: float = 0.0
    timeouts: int = 0
    acquired: int = 0
    renewals: int = 0
    burned: int = 0
    lost: int = 0


@dataclass(frozen=True, slots=True)
class PoolStats:
    """A pool at one moment. Counts and sums run since the pool was made; `dataclasses.asdict` makes a dict of it.

    Attributes:
        product_name: the pool's product.
        min_size, max_size: as the pool was made.
        size: AppIDs that it holds: idle, checked out, and being given back.
        idle: AppIDs that wait for a checkout.
        checked_out: AppIDs that are in use by this process's code.
        giving_back: AppIDs whose release is on its way.
        asking: acquires that are on their way.
        waiting: callers that wait for a lease.
        checkouts: leases handed out.
        wait_seconds: the time that callers spent waiting for those, added up.
        timeouts: checkouts that ended in a `PoolTimeout`.
        acquired: AppIDs got from the service.
        renewals: those of them that were got to replace the ones of the hour before.
        burned: AppID-hours that served nobody: acquired and never checked out, or held over the turn of the hour.
        lost: AppIDs that ended before they were given back.
        errors: calls to the service that failed.
        last_error: what the latest of them said; `None` if none failed since the last success.
        exhausted: whether the service has no more AppIDs in this hour.
        next_turn: seconds to the turn of the service's hour; `None` while its hours are not known yet.
        maintained: whether the maintenance thread runs (it starts with the first need, and again after it died).
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
