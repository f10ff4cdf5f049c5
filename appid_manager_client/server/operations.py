"""What the store can be asked and what it returns: plain values, without HTTP and without SQL.

An operation changes something and has an outcome. A query changes nothing and returns records.
Times are in milliseconds since the Unix epoch on the service's clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

AppIdState: TypeAlias = Literal["available", "in_use", "used_in_current_hour", "reserved"]

# Operations. Each one is its own key in the outcomes of a batch, so they compare by identity.


@dataclass(slots=True, eq=False)
class Acquire:
    """Grant a free AppID of `product`; with `force` also one that was used in this hour."""

    product: str
    force: bool = False
    request_id: str | None = None
    ttl_ms: int | None = None
    holder: str | None = None


@dataclass(slots=True, eq=False)
class Release:
    """End the lease that holds `appid`, if it is the one that `lease_id` and `request_id` name."""

    product: str
    appid: str
    lease_id: str | None = None
    request_id: str | None = None


@dataclass(slots=True, eq=False)
class Abandon:
    """Give up an acquire whose answer never came.

    What it got is released; if it got nothing yet, it never will.
    """

    product: str
    request_id: str


@dataclass(slots=True, eq=False)
class Heartbeat:
    """Extend each lease by its own ttl, unless it had expired at `received`.

    That is when the request came, which may have waited since.
    """

    lease_ids: list[str]
    received: int


@dataclass(slots=True, eq=False)
class Init:
    """Replace the AppIDs of `product`.

    With `keep_state` the AppIDs that stay keep their leases and their last use.
    """

    product: str
    appids: Mapping[str, str | int]
    keep_state: bool = False


@dataclass(slots=True, eq=False)
class Reserve:
    """Take an AppID out of use, for the reason in `note`; with `reserved` false, back into use."""

    product: str
    appid: str
    reserved: bool
    note: str | None = None


@dataclass(slots=True, eq=False)
class Sweep:
    """End the leases that have expired, as every operation does.

    With `prune`, a slice of what is old enough is forgotten, too.
    """

    prune: bool = False


@dataclass(slots=True, eq=False)
class Look:
    """Write something small, to learn whether the database takes it."""


Operation: TypeAlias = Acquire | Release | Abandon | Heartbeat | Init | Reserve | Sweep | Look


# Outcomes


@dataclass(slots=True)
class Granted:
    """An acquire that got an AppID.

    A repeated request gets the grant of the first one: `start` is then earlier than `now`, and
    `hour_end` belongs to `now`. `fence` is larger than that of every earlier grant of this AppID;
    it is `None` for a grant of a version that had no fences.
    """

    appid: str
    vid: str | int
    product: str
    start: int
    lease_id: str
    expires: int | None
    now: int
    hour_end: int
    fence: int | None


@dataclass(slots=True)
class Exhausted:
    """An acquire that got nothing: `waiting` when all AppIDs are in use, else `no_available`."""

    reason: Literal["waiting", "no_available"]
    product: str
    available_at: int
    now: int
    hour_end: int


@dataclass(slots=True)
class Released:
    """A release, or an abandoned acquire; `appid` is `None` if that acquire had got nothing."""

    product: str
    appid: str | None
    stop: int


@dataclass(slots=True)
class Initialized:
    """How many AppIDs an init removed and added, and how many live leases it ended."""

    product: str
    removed: int
    added: int
    ended: int = 0


@dataclass(slots=True)
class Reserved:
    """A reserve: what was asked for is so now.

    `state` is what the AppID is doing: a reserved one may be in use still.
    """

    product: str
    appid: str
    reserved: bool
    note: str | None
    state: AppIdState
    now: int


@dataclass(slots=True)
class Extended:
    """The new expiry of each live lease (`None` for one without a ttl), and the leases lost."""

    expires: dict[str, int | None] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Swept:
    """The time at which a sweep or a look ran; `more`: there is more to forget."""

    now: int
    more: bool = False


@dataclass(slots=True)
class Refused:
    """An operation that changed nothing.

    `code` is a code of the wire contract; `field` names the part of the request that was wrong.
    """

    code: str
    message: str
    field: str | None = None


Outcome: TypeAlias = (
    Granted | Exhausted | Released | Initialized | Reserved | Extended | Swept | Refused
)


UnavailableReason: TypeAlias = Literal[
    "away", "locked", "full", "replaced", "incompatible", "stopping"
]


class Unavailable(Exception):
    """The store can't do now what it was asked, and nothing was changed: ask again later.

    An operation has it as its outcome, and a query raises it.

    Attributes:
        reason: a reason of the wire contract.
        message: what is wrong and what to do, in one line, for callers and for the log.
        retry_after: in how many seconds another try is worth it; at least 1.
    """

    def __init__(self, reason: UnavailableReason, message: str, retry_after: int = 1) -> None:
        super().__init__(message)
        self.reason: UnavailableReason = reason
        self.message = message
        self.retry_after = retry_after


# Queries and records


@dataclass(frozen=True, slots=True)
class StatusQuery:
    """Which AppIDs to count: those of `product`, or all; `details` lists each of them too.

    With a `limit`, at most so many are listed, in the order in which they were added; `after` is
    the `next` of the page before. Then nothing is counted.
    """

    product: str | None = None
    details: bool = True
    limit: int | None = None
    after: int | None = None


@dataclass(frozen=True, slots=True)
class AppIdEntry:
    """One AppID in a status.

    `start` and `stop` belong to its last use: both are `None` for an AppID that was never used,
    `stop` is `None` while it is in use. `stop_hour` is the start of the hour of `stop`. `holder`
    and `expires` belong to the lease that holds it. `fence` is that of the last grant. One that is
    `reserved` may be in use still; `note` says why it is reserved.
    """

    appid: str
    vid: str | int
    product: str
    state: AppIdState
    start: int | None
    stop: int | None
    stop_hour: int | None
    holder: str | None
    expires: int | None
    fence: int | None
    reserved: bool
    note: str | None


@dataclass(frozen=True, slots=True)
class Status:
    """The AppIDs that a query asked for, in the hour that began at `hour_start`.

    `appids` is `None` if no details were asked for, `next` if there are no more of them. A page
    after the first one has no counts.
    """

    product: str | None
    total: int | None
    available: int | None
    hour_start: int
    appids: list[AppIdEntry] | None
    next: int | None = None


@dataclass(frozen=True, slots=True)
class ProductCounts:
    """How many AppIDs a product has, and how many of them are available now.

    `next` is when the next one can be: `None` while one is, and where none will be, because all
    are reserved.
    """

    product: str
    total: int
    available: int
    next: int | None


@dataclass(frozen=True, slots=True)
class Products:
    """All products, at the time `now` in the hour that ends at `hour_end`."""

    products: list[ProductCounts]
    now: int
    hour_end: int


@dataclass(frozen=True, slots=True)
class HistoryQuery:
    """Which leases to list: the newest `limit` that match; `since` is the earliest start."""

    product: str | None = None
    appid: str | None = None
    since: int | None = None
    limit: int = 100


@dataclass(frozen=True, slots=True)
class LeaseRecord:
    """One lease in the history. While it is live, `stop` and `ended` are `None`.

    `ended` says how it ended: `released`, `expired`, or `reset` by an init.
    """

    lease_id: str
    appid: str
    vid: str | int
    product: str
    holder: str | None
    start: int
    stop: int | None
    ended: str | None
    expires: int | None
    fence: int | None
