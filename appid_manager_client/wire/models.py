"""What the answers of the wire contract tell, as typed values. `answers.py` makes and checks them.

Times that end in `_ms`, `start_time` and `stop_time` are integers: milliseconds since the Unix
epoch, on the service's clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

END_OF_TIME_MS = 253_402_300_800_000
"""The year 10000, where Python's dates end: every time and count of the contract is less."""

FENCES_END = 2**53
"""Every `fence` is less: JavaScript and JSON readers like it hold such integers exactly."""


class AppIdState(str, Enum):
    """The state of one AppID, as a status reports it: all that the contract has."""

    AVAILABLE = "available"
    IN_USE = "in_use"
    USED_IN_CURRENT_HOUR = "used_in_current_hour"
    RELEASED = "released"
    RESERVED = "reserved"


class Acquisition(NamedTuple):
    """What `acquire_appid` returns: `appid, vid, start_time, product_name = ...`.

    `start_time` is the time of the grant in milliseconds since the Unix epoch, on the service's
    clock.
    """

    appid: str
    vid: str | int
    start_time: int
    product_name: str


Acquisition.__module__ = "appid_manager_client"  # a NamedTuple's body cannot set it


@dataclass(frozen=True, slots=True)
class Grant:
    """A 200 answer to an acquire.

    The last five fields are `None` from a service without the extensions. `fence` is also `None`
    from one that has them and was made before fences.
    """

    appid: str
    vid: str | int
    product_name: str
    start_time: int
    lease_id: str | None = None
    expires_at_ms: int | None = None
    server_time_ms: int | None = None
    hour_end_ms: int | None = None
    fence: int | None = None


@dataclass(frozen=True, slots=True)
class Asking:
    """What an acquire asks of the line of an extended service; others ignore it.

    Attributes:
        wait: take or keep a place, and hold the answer back for so many seconds; `None`: only look.
        ticket: the place that an earlier answer gave.
        min_remaining: seconds that must be left of the hour.
        not_before: grant nothing before this time of the service's clock (epoch seconds); `None`:
            now. A service without a line grants at once.
    """

    wait: float | None = None
    ticket: str | None = None
    min_remaining: float = 0.0
    not_before: float | None = None

    def fields(self) -> dict[str, object]:
        """The fields of the request."""
        body: dict[str, object] = {}
        if self.wait is not None:
            body["wait"] = round(self.wait, 3)
        if self.ticket is not None:
            body["ticket"] = self.ticket
        if self.min_remaining:
            body["minRemaining"] = self.min_remaining
        if self.not_before is not None:
            body["notBefore"] = round(self.not_before * 1000)
        return body


LOOK = Asking()
"""Neither take nor keep a place."""


@dataclass(frozen=True, slots=True)
class Place:
    """A place in line. It comes back between `come_from` and `come_by`, and is held `until` then.

    Attributes:
        ticket: what keeps it.
        place: 1 for who is next.
        waiting: how many wait.
        due: whether the place is within the number of AppIDs.
    """

    ticket: str
    place: int
    waiting: int
    due: bool
    come_from_ms: int
    come_by_ms: int
    until_ms: int


@dataclass(frozen=True, slots=True)
class Wait:
    """A 202 answer to an acquire: no AppID now. `retry_after` is in seconds.

    `reason` is `"waiting"` where every AppID is in use. It is `"no_available"` where no AppID is
    free and some are not in use: those were used in this hour. `line` is the place that the request
    has in line, where the service has one. `paused`: the service grants nothing of the product.
    """

    reason: str
    retry_after: float
    available_at_ms: int | None = None
    server_time_ms: int | None = None
    hour_end_ms: int | None = None
    line: Place | None = None
    paused: bool = False


@dataclass(frozen=True, slots=True)
class Release:
    """A 200 answer to a release. `appid` is `None` where the named request had got none."""

    appid: str | None
    stop_time: int | None = None


@dataclass(frozen=True, slots=True)
class AppIdStatus:
    """One AppID in a status. Times are in milliseconds, `None` where there was none."""

    appid: str
    vid: str | int
    product_name: str
    status: str
    is_available: bool
    start_time: int | None
    stop_time: int | None
    current_hour_ms: int


@dataclass(frozen=True, slots=True)
class ProductStatus:
    """A status: how many AppIDs there are, and an entry for each of them."""

    total: int
    appids: tuple[AppIdStatus, ...]

    def find(self, appid: str, product_name: str) -> AppIdStatus | None:
        """The entry of one AppID, or `None`."""
        for entry in self.appids:
            if entry.appid == appid and entry.product_name == product_name:
                return entry
        return None


@dataclass(frozen=True, slots=True)
class Health:
    """An answer of `/health`. The hour is `None` from a service without the extensions."""

    server_time_ms: int
    hour_start_ms: int | None = None
    hour_end_ms: int | None = None
    extended: bool = False


@dataclass(frozen=True, slots=True)
class Heartbeats:
    """The answer to a heartbeat: the leases that were extended, and those that have ended.

    `renewed` maps each extended lease to its new expiry in milliseconds.
    """

    renewed: dict[str, int | None]
    lost: frozenset[str]
