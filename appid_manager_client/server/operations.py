"""What the store can be asked to change, and what comes of it: plain values, no HTTP and no SQL.

An operation changes something and has an outcome; what only reads stands in `records`. Times are in
milliseconds since the Unix epoch on the service's clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeAlias

AppIdState: TypeAlias = Literal["available", "in_use", "used_in_current_hour", "reserved"]


@dataclass(frozen=True, slots=True)
class By:
    """Who asks for an act of an operator, and why: for the history.

    Attributes:
        token: the name of the token with which it is asked; `None`: the service has no tokens.
        said: who does it, as the caller says.
        note: why.
    """

    token: str | None = None
    said: str | None = None
    note: str | None = None


NOBODY = By()
"""A caller without a token, who says nothing."""

# Operations. Each one is its own key in the outcomes of a batch, so they compare by identity.


@dataclass(slots=True, eq=False)
class Acquire:
    """Grant a free AppID of `product`; with `force` also one that was used in this hour.

    Attributes:
        ticket: the place in line that an earlier answer gave.
        hold_until: it waits in line, and its request is held until then; a time that has passed:
            it waits without being held. `None`: it only looks, and takes no place.
        not_before: nothing is granted before that.
        min_remaining_ms: it is granted only while so much of the hour is left.
        token: the name of the token with which it is asked.
    """

    product: str
    force: bool = False
    request_id: str | None = None
    ttl_ms: int | None = None
    holder: str | None = None
    ticket: str | None = None
    hold_until: int | None = None
    not_before: int | None = None
    min_remaining_ms: int = 0
    token: str | None = None


@dataclass(slots=True, eq=False)
class Release:
    """End the lease that holds `appid`, if it is the one that `lease_id` and `request_id` name.

    `by` says who asks. With `forced`, an operator does, and it is noted among the acts.
    """

    product: str
    appid: str
    lease_id: str | None = None
    request_id: str | None = None
    by: By = NOBODY
    forced: bool = False


@dataclass(slots=True, eq=False)
class Abandon:
    """Give up an acquire whose answer never came.

    What it got is released; if it got nothing yet, it never will.
    """

    product: str
    request_id: str
    by: By = NOBODY


@dataclass(slots=True, eq=False)
class Leave:
    """Give up the place in line that `ticket` names."""

    product: str
    ticket: str


@dataclass(slots=True, eq=False)
class Heartbeat:
    """Extend each lease by its own ttl, unless it had expired at `received`.

    That is when the request came, which may have waited since.
    """

    lease_ids: list[str]
    received: int


@dataclass(slots=True, eq=False)
class Doubt:
    """The holder of a lease that has no ttl may never hear of it: it ends unless it comes again."""

    lease_id: str


@dataclass(slots=True, eq=False)
class Init:
    """Replace the AppIDs of `product`.

    With `keep_state` the AppIDs that stay keep their leases and their last use.
    """

    product: str
    appids: Mapping[str, str | int]
    keep_state: bool = False
    by: By = NOBODY


@dataclass(slots=True, eq=False)
class Reserve:
    """Take an AppID out of use, for the reason in `by.note`; with `reserved` false, back into use.

    `expected` is what the AppID is doing, as whoever asks has seen it: if it is doing something
    else meanwhile, the operation is refused.
    """

    product: str
    appid: str
    reserved: bool
    by: By = NOBODY
    expected: AppIdState | None = None


@dataclass(slots=True, eq=False)
class Pause:
    """Grant nothing of `product` from now on; with `paused` false, grant again.

    Its line stands meanwhile.
    """

    product: str
    paused: bool
    by: By = NOBODY


@dataclass(slots=True, eq=False)
class Sweep:
    """End the leases that have expired, as every operation does.

    With `prune`, a slice of what is old enough is forgotten, too.
    """

    prune: bool = False


@dataclass(slots=True, eq=False)
class Look:
    """Write something small, to learn whether the database takes it."""


@dataclass(slots=True, eq=False)
class Tend:
    """Look after the line: notice that nobody looked for too long, and forget who is gone.

    `products` are those whose stock is asked for.
    """

    products: frozenset[str] = frozenset()


Operation: TypeAlias = (
    Acquire
    | Release
    | Abandon
    | Leave
    | Heartbeat
    | Doubt
    | Init
    | Reserve
    | Pause
    | Sweep
    | Look
    | Tend
)


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


class CheckIn(NamedTuple):
    """When a waiter comes back: from `start` and not after `by`, to be held `until` then."""

    start: int
    by: int
    until: int


@dataclass(frozen=True, slots=True)
class InLine:
    """A place in line.

    Attributes:
        ticket: what the waiter shows to keep it.
        number: the order of the line: it grows with each ticket that is drawn.
        place: 1 for who is next.
        waiting: how many wait.
        due: whether its place is within the number of AppIDs.
        check_in: when to come back.
    """

    ticket: str
    number: int
    place: int
    waiting: int
    due: bool
    check_in: CheckIn


@dataclass(slots=True)
class Exhausted:
    """An acquire that got nothing: `waiting` when all AppIDs are in use, else `no_available`.

    `line` is its place in line, if it has one. `paused`: the product is, whatever is free.
    """

    reason: Literal["waiting", "no_available"]
    product: str
    available_at: int
    now: int
    hour_end: int
    line: InLine | None = None
    paused: bool = False


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
class Paused:
    """A pause: the product is `paused`, or not, since `now` or before."""

    product: str
    paused: bool
    note: str | None
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
class Tended:
    """What a look at the line found at `now`.

    Attributes:
        waiting: whether anybody waits, for whatever product.
        stock: of each product that was asked for, how many AppIDs are free to all, and how many
            that nobody holds were used in this hour.
    """

    now: int
    waiting: bool
    stock: dict[str, tuple[int, int]]


@dataclass(slots=True)
class Refused:
    """An operation that changed nothing.

    `code` is a code of the wire contract; `field` names the part of the request that was wrong.
    """

    code: str
    message: str
    field: str | None = None


Outcome: TypeAlias = (
    Granted
    | Exhausted
    | Released
    | Initialized
    | Reserved
    | Paused
    | Extended
    | Swept
    | Tended
    | Refused
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
