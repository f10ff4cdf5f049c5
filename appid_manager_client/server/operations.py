"""What can be asked of the store, and what it answers: plain values, without HTTP and without SQL.

Times are in milliseconds since the Unix epoch on the service's clock.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias


@dataclass(slots=True, eq=False)
class Acquire:
    """Hand out an AppID of `product`; with `force` even one that was used in this hour."""

    product: str
    force: bool = False
    request_id: str | None = None
    ttl_ms: int | None = None
    holder: str | None = None


@dataclass(slots=True, eq=False)
class Release:
    """Take an AppID back. `lease_id` and `request_id` narrow it to the lease that they name."""

    product: str
    appid: str
    lease_id: str | None = None
    request_id: str | None = None


@dataclass(slots=True, eq=False)
class Abandon:
    """Give up an acquire whose answer never came: release what it got, or see to it that it never gets anything."""

    product: str
    request_id: str


@dataclass(slots=True, eq=False)
class Heartbeat:
    """Extend each lease by its own ttl, unless it had ended at `received`, when the request came in."""

    lease_ids: list[str]
    received: int


@dataclass(slots=True, eq=False)
class Init:
    """Replace the AppIDs of `product`; with `keep_state` without forgetting who has which and when it was used."""

    product: str
    appids: dict[str, str | int]
    keep_state: bool = False


@dataclass(slots=True, eq=False)
class Sweep:
    """End the leases that are due, as every other operation does too; `prune` also forgets what is old enough."""

    prune: bool = False


Operation: TypeAlias = Acquire | Release | Abandon | Heartbeat | Init | Sweep


@dataclass(slots=True)
class Granted:
    """An acquire that got an AppID. The hour is that of the answer, not that of `start`, when an id is repeated."""

    appid: str
    vid: str | int
    product: str
    start: int
    lease_id: str
    expires: int | None
    now: int
    hour_end: int


@dataclass(slots=True)
class Exhausted:
    """An acquire that got nothing: `reason` is `waiting` when all are in use, otherwise `no_available`."""

    reason: str
    product: str
    available_at: int
    now: int
    hour_end: int


@dataclass(slots=True)
class Released:
    """A release, or an acquire that was given up; `appid` is `None` where that had got nothing."""

    product: str
    appid: str | None
    stop: int


@dataclass(slots=True)
class Initialised:
    """How many AppIDs went and came."""

    product: str
    removed: int
    added: int


@dataclass(slots=True)
class Renewed:
    """The new expiry of each lease that lives on (`None` for one without a ttl), and those that do not."""

    renewed: dict[str, int | None] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Swept:
    """The moment of the sweep."""

    now: int


@dataclass(slots=True)
class Refused:
    """An operation that changed nothing, with the code of the wire contract; `field` names what was wrong."""

    code: str
    message: str
    field: str | None = None


Outcome: TypeAlias = Granted | Exhausted | Released | Initialised | Renewed | Swept | Refused


def describe(error: Exception) -> str:
    """A failure for the log: its kind and the database's own words, without the statement and its values."""
    original = getattr(error, "orig", None) or error
    return f"{type(error).__name__}: {original}"


class BadRequest(Exception):
    """A request that can't be carried out; carries the answer."""

    def __init__(self, refused: Refused) -> None:
        super().__init__(refused.code)
        self.refused = refused


@dataclass(frozen=True, slots=True)
class HistoryQuery:
    """Which leases to show: the newest `limit` of those that fit; `since` is the earliest start."""

    product: str | None = None
    appid: str | None = None
    since: int | None = None
    limit: int = 100
