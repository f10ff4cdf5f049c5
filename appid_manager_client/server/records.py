"""What a reader can ask the store for, and what it gets: queries and records, plain values.

A query changes nothing. Times are in milliseconds since the Unix epoch on the service's clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from .operations import AppIdState

ActKind: TypeAlias = Literal["init", "release", "reserve", "free", "pause", "resume"]
"""What an operator can do; `free` takes a reserved AppID back into use."""


@dataclass(frozen=True, slots=True)
class StatusQuery:
    """Which AppIDs to count: those of `product`, or all; `details` lists each of them too.

    With a `limit`, at most so many are listed, in the order in which they were added; `after` is
    the `next` of the page before. Then nothing is counted. Only those are listed that are in
    `state`, and whose name or holder contains `text`.
    """

    product: str | None = None
    details: bool = True
    limit: int | None = None
    after: int | None = None
    state: AppIdState | None = None
    text: str | None = None


@dataclass(frozen=True, slots=True)
class AppIdEntry:
    """One AppID in a status.

    `start` and `stop` belong to its last use: both are `None` for an AppID that was never used,
    `stop` is `None` while it is in use. `stop_hour` is the start of the hour of `stop`. `holder`
    and `expires` belong to the lease that holds it, as do `lease_id` and `ttl`, in milliseconds.
    `fence` is that of the last grant. One that is `reserved` may be in use still; `note` says why
    it is reserved.
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
    lease_id: str | None
    ttl: int | None


@dataclass(frozen=True, slots=True)
class PauseRecord:
    """Since when a product is paused, and why."""

    since: int
    note: str | None


@dataclass(frozen=True, slots=True)
class Status:
    """The AppIDs that a query asked for, in the hour that began at `hour_start`.

    `appids` is `None` if no details were asked for, `next` if there are no more of them. A page
    after the first one has no counts. `paused` is the pause of the one product, if there is one.
    """

    product: str | None
    total: int | None
    available: int | None
    hour_start: int
    appids: list[AppIdEntry] | None
    next: int | None = None
    paused: PauseRecord | None = None


@dataclass(frozen=True, slots=True)
class ProductCounts:
    """How many AppIDs a product has, and how many of them are available now.

    No AppID is both `in_use` and `reserved`: one that is reserved while it is in use counts as
    reserved. `waiting` is how many wait in line. `next` is when the next AppID can be available:
    `None` while one is, and where none will be, because all are reserved. `paused` says since when
    nothing is granted, and why. `carried` is how many AppIDs had this hour used up by a lease that
    began in an earlier one.
    """

    product: str
    total: int
    available: int
    in_use: int
    reserved: int
    waiting: int
    next: int | None
    paused: PauseRecord | None = None
    carried: int = 0


@dataclass(frozen=True, slots=True)
class Products:
    """All products, at the time `now` in the hour that ends at `hour_end`."""

    products: list[ProductCounts]
    now: int
    hour_end: int


@dataclass(frozen=True, slots=True)
class LineQuery:
    """Who waits for `product`: the first `limit`, or those after the `next` of the page before."""

    product: str
    limit: int = 1_000
    after: int = 0


@dataclass(frozen=True, slots=True)
class Waiter:
    """One place in line.

    `since` is when its ticket was drawn, `heard` when its holder asked last. `due` is whether the
    place is within the number of AppIDs.
    """

    place: int
    holder: str | None
    since: int
    heard: int
    forced: bool
    due: bool


@dataclass(frozen=True, slots=True)
class Line:
    """Who waits for a product at the time `now`, one page of it; `waiting` is how many they are.

    `next` is `None` if there are no more of them.
    """

    product: str
    waiters: list[Waiter]
    waiting: int
    now: int
    hour_end: int
    next: int | None


@dataclass(frozen=True, slots=True)
class HistoryQuery:
    """Which leases to list: the newest `limit` that match.

    They began at `since` at the earliest, and before `before`.
    """

    product: str | None = None
    appid: str | None = None
    since: int | None = None
    limit: int = 100
    before: int | None = None


@dataclass(frozen=True, slots=True)
class LeaseRecord:
    """One lease in the history. While it is live, `stop` and `ended` are `None`.

    `ended` says how it ended: `released`, `expired`, or `reset` by an init. `token` is the name of
    the token with which it was acquired, `ended_by` of that with which it was released.
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
    token: str | None
    ended_by: str | None


@dataclass(frozen=True, slots=True)
class Act:
    """Something that an operator did, at the time `at`.

    `lease_id` is the lease that it ended. `token` is the name of the token with which it was asked,
    `said_by` who did it, as the caller said, and `note` why.
    """

    at: int
    kind: ActKind
    product: str
    appid: str | None
    lease_id: str | None
    token: str | None
    said_by: str | None
    note: str | None


@dataclass(frozen=True, slots=True)
class History:
    """What a query found, the newest first: leases, and what operators did."""

    leases: list[LeaseRecord]
    acts: list[Act]
    now: int


@dataclass(frozen=True, slots=True)
class Use:
    """A time in which an AppID was in use: `stop` and `ended` are `None` while it is."""

    appid: str
    start: int
    stop: int | None
    ended: str | None
