"""What the wire carries, typed. No I/O and no judgement: `service.py` reads and checks the answers.

Times that end in `_ms`, and `start_time`, are integer milliseconds since the Unix epoch on the service's clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple


class AppIdState(str, Enum):
    """The state of one AppID, as a status reports it (wire contract, "Base")."""

    AVAILABLE = "available"
    IN_USE = "in_use"
    USED_IN_CURRENT_HOUR = "used_in_current_hour"
    RELEASED = "released"


class Acquisition(NamedTuple):
    """What `acquire_appid` returns, to be unpacked as the seed does.

    `start_time` is the moment of the grant in milliseconds since the Unix epoch, on the service's clock.
    """

    appid: str
    vid: str | int
    start_time: int
    product_name: str


Acquisition.__module__ = "appid_manager_client"  # a NamedTuple takes no such line in its body


@dataclass(frozen=True, slots=True)
class Grant:
    """A 200 answer to an acquire. The last four fields are `None` from a service without the extensions."""

    appid: str
    vid: str | int
    product_name: str
    start_time: int
    lease_id: str | None = None
    expires_at_ms: int | None = None
    server_time_ms: int | None = None
    hour_end_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Wait:
    """A 202 answer to an acquire: no AppID now. `retry_after` is in seconds.

    `reason` is `"no_available"` (every AppID was used this hour) or `"waiting"` (all are in use).
    """

    reason: str
    retry_after: float
    message: str = ""
    available_at_ms: int | None = None
    server_time_ms: int | None = None
    hour_end_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Release:
    """A 200 answer to a release. `appid` is `None` when an acquire that got nothing was given up."""

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
    """A status: counts, and an entry for each AppID. `in_use` also counts what was used in this hour."""

    total: int
    available: int
    in_use: int
    released: int
    appids: tuple[AppIdStatus, ...]

    def find(self, appid: str, product_name: str) -> AppIdStatus | None:
        """The entry of one AppID, or `None`."""
        for entry in self.appids:
            if entry.appid == appid and entry.product_name == product_name:
                return entry
        return None


@dataclass(frozen=True, slots=True)
class Health:
    """An answer of `/health`. The last two fields are `None` from a service without the extensions."""

    server_time_ms: int
    hour_start_ms: int | None = None
    hour_end_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Heartbeats:
    """The answer to a heartbeat: the leases that live on (with their new expiry) and those that do not."""

    renewed: dict[str, int | None]
    lost: frozenset[str]
